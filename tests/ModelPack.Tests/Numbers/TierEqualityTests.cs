using ModelPack.Numbers;
using ModelPack.Testing;
using Xunit;

namespace ModelPack.Tests.Numbers;

/// <summary>Every vector tier of every format against its scalar reference, for all row lengths around the tiles, on buffers that end at an unmapped page.</summary>
[Trait("Category", "Simd")]
public sealed class TierEqualityTests
{
    public static TheoryData<string> Specs() =>
    [
        "int3", "int5(block=48)", "int6(block=row)", "int7(block=80,symmetric=false)", "int2(block=row)", "int4(block=48)",
        "int4(symmetric=false,zeros=float)", "int3(block=48,scale=f16,symmetric=false,zeros=float)", "int8(block=row,scale=bf16,symmetric=false,zeros=float)",
        "int4(layout=planes,symmetric=false)", "int2(block=16,layout=planes)", "int6(block=64,layout=planes,symmetric=false)", "int7(layout=planes,scale=bf16)", "int4(block=80,layout=planes,search=mse)",
        "int3(layout=planes)", "int8(block=row,layout=planes)", "int5(block=48,layout=planes,symmetric=false,zeros=float)",
        "mxfp8", "mxfp8(element=e5m2,mode=even)", "mxfp6", "mxfp6(element=e3m2,mode=ceil)", "mxfp4", "mxfp4(mode=rceil)", "mxint8", "mxint8(mode=even)", "nvfp4(global=0.0001)", "nvfp4(global=1E-43)",
        "float(exponent=0,mantissa=1,block=16)", "float(exponent=1,mantissa=0,scale=f32)", "float(exponent=1,mantissa=1,scale=e4m3,block=row)", "float(exponent=3,mantissa=0,scale=f16,block=64)",
        "float(exponent=2,mantissa=2,scale=bf16,specials=fnuz)", "float(exponent=3,mantissa=2,block=48,specials=ieee)", "float(exponent=0,mantissa=6,bias=3)", "float(exponent=7,mantissa=0,mode=even)",
        "float(exponent=4,mantissa=3,scale=none)", "float(exponent=5,mantissa=2,scale=none,bias=20)", "float(exponent=4,mantissa=3,specials=fnuz,bias=8,scale=none)", "float(exponent=2,mantissa=3,scale=none,specials=fn)",
        "float(exponent=6,mantissa=1,bias=-60,mode=ceil)", "float(exponent=4,mantissa=0,bias=110,mode=rceil,block=row)",
        "float(block=tensor,global=0.0009765625)", "float(block=tensor,exponent=2,global=0.0123,mantissa=2,scale=f32)", "float(block=tensor,exponent=2,global=0.015625,mantissa=1,scale=e4m3)",
        "nf4", "nf4(block=128)", "nf4(nested=true)", "fp4", "fp4(block=256)", "dyn8", "dyn8(block=64,nested=true)",
        "posit8", "posit8(es=0)", "posit8(es=1)", "posit16", "posit16(es=1)", "bfloat8",
        "ternary(gamma=0.04)", "ternary(gamma=0.04,packing=base3)", "ternary(rule=absmax,gamma=0.07)", "ternary(scope=row)", "ternary(packing=base3,scope=row,rule=absmax)",
        "fp8", "fp8(rule=mse)", "fp8(element=e4m3fnuz,rule=pow2)", "fp8(element=e5m2,backoff=0.5,min_amax=0.001)", "fp8(element=e5m2fnuz,rule=mse,scope=block)", "fp8(element=e4m3,rule=gaudi,scope=block)",
        "fp8(element=e4m3fn,rule=gaudi)", "fp8(element=e5m2,rule=gaudi)", "fp8(scope=tensor,scale=0.0003)", "fp8(scope=tile)", "fp8(block=48,rule=mse,scope=tile)", "fp8(block=16,rule=pow2,scope=block)",
        "scalar", "scalar(overflow=special)", "scalar(element=e4m3fn,overflow=special)", "scalar(element=e4m3fnuz,overflow=special)", "scalar(element=e5m2,overflow=special)", "scalar(element=e5m2fnuz)",
        "scalar(element=bf16)", "scalar(element=bf16,overflow=saturate)", "scalar(element=bf16,round=truncate)", "scalar(element=f16)", "scalar(element=f16,overflow=saturate)",
        "scalar(element=e3m2)", "scalar(element=e2m3)", "scalar(element=e2m1)",
        .. Palettes(),
        "bnb-int8", "bitnet-i2_s(scale=0.04)", "bitnet-tl1(scale=0.04)", "bitnet-tl2(scale=0.04)",
        "gguf-q4_0", "gguf-q4_1", "gguf-q5_0", "gguf-q8_0", "gguf-q4_k", "gguf-q6_k", "gguf-tq1_0", "gguf-tq2_0", "gguf-mxfp4", "gguf-nvfp4",
    ];

    /// <summary>Palettes of every width for the tensor (even ones over the range of the values, odd ones with many entries close together), and for every row.</summary>
    private static IEnumerable<string> Palettes()
    {
        for (int bits = 1; bits <= 8; bits++)
        {
            float[] entries = [.. Enumerable.Range(0, 1 << bits).Select(i => bits % 2 == 0 ? (i - (1 << (bits - 1)) + 0.5f) * 0.1f / (1 << bits) : 0.02f + (i * 1e-6f))];
            yield return $"palette(bits={bits},palette={PaletteText.Of(entries, DType.F32)})";
            yield return $"palette(bits={bits},group=row,entries={(bits % 2 == 0 ? "f16" : "f32")})";
        }
    }

    [Theory]
    [MemberData(nameof(Specs))]
    public void Tiers_equal_the_reference_for_every_length(string text)
    {
        UnitSpec spec = UnitSpec.Parse(text);
        var format = (ITieredFormat)NumberFormats.Get(spec.Id);
        foreach (int length in Enumerable.Range(0, 201).Concat([255, 256, 257, 511, 513, 1100]))
        {
            var shape = new Shape(1, length);
            IBoundNumberFormat reference = format.Bind(spec, shape, SimdTier.Scalar);
            float[] values = Values.Weights((ulong)length + 3, length);
            byte[][] expected = Encode(reference, values);
            float[] decoded = Decode(reference, expected);
            byte[][] random = RandomStreams(reference, (ulong)length);
            float[]? randomDecoded = TryDecode(reference, random);
            foreach (SimdTier tier in SimdTiers.Supported)
            {
                IBoundNumberFormat bound = format.Bind(spec, shape, tier);
                byte[][] actual = Encode(bound, values);
                for (int s = 0; s < expected.Length; s++)
                {
                    Assert.True(expected[s].AsSpan().SequenceEqual(actual[s]), $"{text}, {length} values, {tier}: stream '{bound.Streams[s].Role}' differs from the reference");
                }

                AssertSame(decoded, Decode(bound, expected), $"{text}, {length} values, {tier}");
                if (randomDecoded is not null)
                {
                    AssertSame(randomDecoded, Decode(bound, random), $"{text}, {length} random codes, {tier}");
                }
            }
        }
    }

    [Theory]
    [MemberData(nameof(Specs))]
    public void Tiers_equal_the_reference_for_extreme_values(string text)
    {
        float[][] rows =
        [
            [.. Enumerable.Repeat(0f, 150)],
            [.. Enumerable.Repeat(-0f, 150)],
            [.. Enumerable.Repeat(float.MaxValue, 33), -float.MaxValue, .. Enumerable.Repeat(1f, 100)],
            [.. Enumerable.Repeat(float.Epsilon, 33), -float.Epsilon, 3 * float.Epsilon],
            [.. Enumerable.Range(0, 150).Select(i => (i - 75) * float.Epsilon)],
            [.. Enumerable.Range(0, 150).Select(i => (i - 75) * 1e-39f)],
            [.. Enumerable.Range(0, 150).Select(i => (i - 75) * 1e36f)],
            [.. Enumerable.Range(0, 256).Select(i => (i - 128) * 0.5f)],
            [.. Enumerable.Range(0, 150).Select(i => 1f + i)],
            [.. Enumerable.Range(0, 150).Select(i => MathF.ScaleB(i % 3 == 0 ? -1.5f : 1.25f, (i % 60) - 30))],
        ];
        UnitSpec spec = UnitSpec.Parse(text);
        var format = (ITieredFormat)NumberFormats.Get(spec.Id);
        foreach (float[] row in rows)
        {
            var shape = new Shape(1, row.Length);
            IBoundNumberFormat reference = format.Bind(spec, shape, SimdTier.Scalar);
            byte[][]? expected = TryEncode(reference, row);
            if (expected is null)
            {
                Assert.All(SimdTiers.Supported, tier => Assert.Null(TryEncode(format.Bind(spec, shape, tier), row)));
                continue;
            }

            float[] decoded = Decode(reference, expected);
            foreach (SimdTier tier in SimdTiers.Supported)
            {
                IBoundNumberFormat bound = format.Bind(spec, shape, tier);
                Assert.Equal(expected, Encode(bound, row));
                AssertSame(decoded, Decode(bound, expected), $"{text}, row starting {row[0]}, {tier}");
            }
        }
    }

    private static byte[][] Encode(IBoundNumberFormat bound, float[] values)
    {
        using PoisonBuffer source = PoisonBuffer.Copy<float>(values);
        PoisonBuffer[] streams = [.. bound.Streams.Select(s => PoisonBuffer.EndingAtGuard((int)s.BytesPerRow))];
        foreach (PoisonBuffer stream in streams)
        {
            stream.GetSpan().Fill(0xA5);
        }

        bound.EncodeRows(source.As<float>(), 1, [.. streams.Select(s => s.Memory)]);
        byte[][] bytes = [.. streams.Select(s => s.GetSpan().ToArray())];
        foreach (IDisposable stream in streams)
        {
            stream.Dispose();
        }

        return bytes;
    }

    private static float[] Decode(IBoundNumberFormat bound, byte[][] bytes)
    {
        PoisonBuffer[] streams = [.. bytes.Select(b => PoisonBuffer.Copy<byte>(b))];
        using PoisonBuffer values = PoisonBuffer.EndingAtGuard((int)bound.Shape.Columns * 4);
        try
        {
            bound.DecodeRows([.. streams.Select(s => (ReadOnlyMemory<byte>)s.Memory)], 1, values.As<float>());
            return values.As<float>().ToArray();
        }
        finally
        {
            foreach (IDisposable stream in streams)
            {
                stream.Dispose();
            }
        }
    }

    /// <summary>Null when the format cannot hold the values.</summary>
    private static byte[][]? TryEncode(IBoundNumberFormat bound, float[] values)
    {
        try
        {
            return Encode(bound, values);
        }
        catch (ModelPackException e) when (e.Code == ErrorCodes.UnrepresentableValue)
        {
            return null;
        }
    }

    private static float[]? TryDecode(IBoundNumberFormat bound, byte[][] bytes)
    {
        try
        {
            return Decode(bound, bytes);
        }
        catch (ModelPackException e) when (e.Code == ErrorCodes.BadStream)
        {
            return null;
        }
    }

    private static byte[][] RandomStreams(IBoundNumberFormat bound, ulong seed)
    {
        var random = new SplitMix(seed);
        byte[][] streams = [.. bound.Streams.Select(s => new byte[s.BytesPerRow])];
        for (int s = 0; s < streams.Length; s++)
        {
            random.Fill(streams[s]);
            if (bound.Streams[s].ElementType == DType.F32)
            {
                // Keep exponents small so that most tries decode.
                for (int i = 3; i < streams[s].Length; i += 4)
                {
                    streams[s][i] = (byte)((streams[s][i] & 0x80) | 0x3E);
                }
            }
        }

        return streams;
    }

    private static void AssertSame(float[] expected, float[] actual, string what)
    {
        for (int i = 0; i < expected.Length; i++)
        {
            if (!Golden.SameValue(expected[i], actual[i]))
            {
                Assert.Fail($"{what}: value {i} is {actual[i]:R} instead of {expected[i]:R}");
            }
        }
    }
}
