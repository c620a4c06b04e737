using System.Runtime.InteropServices;
using ModelPack.Numbers;
using ModelPack.Pack;
using ModelPack.Testing;
using Xunit;

namespace ModelPack.Tests.Numbers;

/// <summary>Decoding to bf16 and f16 gives the f32 values, each rounded once.</summary>
[Trait("Category", "Simd")]
public sealed class NarrowDecodingTests
{
    private static readonly DType[] Narrow = [DType.BF16, DType.F16];

    /// <summary>Rows shorter than a piece, longer than one, and so many that there are several pieces.</summary>
    private static readonly Shape[] Shapes = [new(0, 5), new(3, 0), new(1, 1), new(5, 37), new(4, 64), new(2, 9000), new(45, 400)];

    public static TheoryData<string> Specs() => NumberFormatContractTests.Specs();

    [Theory]
    [MemberData(nameof(Specs))]
    public void DecodeRows_toSixteenBits_equalsRoundingTheF32Values(string spec)
    {
        foreach (Shape shape in Shapes)
        {
            IBoundNumberFormat bound = NumberFormatContractTests.Bind(spec, shape);
            if (!NumberFormatContractTests.IsReal(bound))
            {
                continue;
            }

            byte[][] encoded = NumberFormatContractTests.Encode(bound, NumberFormatContractTests.Input(bound, 31), int.MaxValue);
            byte[][] random = Random(bound, 32);
            foreach (IBoundNumberFormat tier in OnEveryTier(bound, shape))
            {
                foreach (byte[][] streams in new[] { encoded, random })
                {
                    if (TryDecodeWide(tier, streams) is not float[] wide)
                    {
                        Assert.All(Narrow, dtype => Assert.Equal(ErrorCodes.BadStream, Assert.Throws<ModelPackException>(() => Decode(tier, streams, dtype)).Code));
                        continue;
                    }

                    foreach (DType dtype in Narrow)
                    {
                        AssertRounded(wide, MemoryMarshal.Cast<byte, ushort>(Decode(tier, streams, dtype)), dtype, $"{tier.Spec} of {shape}");
                    }
                }
            }
        }
    }

    [Theory]
    [MemberData(nameof(Specs))]
    public void DecodeRows_toF32Bytes_equalsDecodingToF32(string spec)
    {
        IBoundNumberFormat bound = NumberFormatContractTests.Bind(spec, new Shape(5, 37));
        if (NumberFormatContractTests.IsReal(bound))
        {
            byte[][] streams = NumberFormatContractTests.Encode(bound, NumberFormatContractTests.Input(bound, 33), int.MaxValue);

            Assert.Equal(MemoryMarshal.AsBytes<float>(NumberFormatContractTests.Decode(bound, streams, int.MaxValue)).ToArray(), Decode(bound, streams, DType.F32));
        }
    }

    [Theory]
    [MemberData(nameof(Specs))]
    public void DecodeRows_toOtherTypesOrLengths_isRefused(string spec)
    {
        IBoundNumberFormat bound = NumberFormatContractTests.Bind(spec, new Shape(4, 16));
        if (!NumberFormatContractTests.IsReal(bound))
        {
            return;
        }

        ReadOnlyMemory<byte>[] streams = [.. bound.Streams.Select(s => new ReadOnlyMemory<byte>(new byte[s.BytesPerRow * bound.Shape.Rows]))];
        int rows = (int)bound.Shape.Rows;
        foreach (DType dtype in new[] { DType.I8, DType.F64, DType.F8E4M3FN, DType.I16 })
        {
            Assert.ThrowsAny<ArgumentException>(() => bound.DecodeRows(streams, rows, dtype, new byte[64 * dtype.BitsPerElement() / 8]));
        }

        foreach (int length in new[] { 0, 126, 127, 129, 130, 256 })
        {
            Assert.ThrowsAny<ArgumentException>(() => bound.DecodeRows(streams, rows, DType.BF16, new byte[length]));
        }

        streams[0] = new byte[streams[0].Length + 1];
        Assert.ThrowsAny<ArgumentException>(() => bound.DecodeRows(streams, rows, DType.F16, new byte[128]));
    }

    [Theory]
    [InlineData("int4", 70)]
    [InlineData("nf4(nested=true)", 9000)]
    [InlineData("gguf-q6_k", 256)]
    [InlineData("posit8", 33)]
    public void DenseTensorData_ofAnEncodedTensor_isItsRoundedValues_atEveryOffset(string spec, int columns)
    {
        var shape = new Shape(23, columns);
        IBoundNumberFormat bound = NumberFormatContractTests.Bind(spec, shape);
        byte[][] streams = NumberFormatContractTests.Encode(bound, Values.Weights(34, (int)shape.ElementCount), int.MaxValue);
        float[] wide = NumberFormatContractTests.Decode(bound, streams, int.MaxValue);
        var encoding = new DenseEncoding(bound.Spec, shape, [.. bound.Streams.Select((s, i) => new EncodedStream(s.Role, TensorData.FromBytes(streams[i])))]);
        foreach (DType dtype in Narrow)
        {
            TensorData dense = DenseTensorData.Of(dtype, encoding);
            byte[] whole = new byte[dense.LengthBytes];
            dense.Read(0, whole);
            AssertRounded(wide, MemoryMarshal.Cast<byte, ushort>(whole), dtype, spec);

            var random = new SplitMix(35);
            for (int i = 0; i < 60; i++)
            {
                int offset = random.Between(0, whole.Length - 1);
                byte[] part = new byte[random.Between(1, Math.Min(whole.Length - offset, 50000))];
                dense.Read(offset, part);
                Assert.True(whole.AsSpan(offset, part.Length).SequenceEqual(part), $"{spec} as {dtype}: {part.Length} bytes at {offset} differ");
            }
        }
    }

    private static void AssertRounded(float[] wide, ReadOnlySpan<ushort> narrow, DType dtype, string what)
    {
        Assert.Equal(wide.Length, narrow.Length);
        for (int i = 0; i < wide.Length; i++)
        {
            bool same = dtype == DType.BF16
                ? float.IsNaN(wide[i]) ? (narrow[i] & 0x7FFF) > 0x7F80 : narrow[i] == HalfWidthReference.NarrowBf16(wide[i])
                : float.IsNaN(wide[i]) ? (narrow[i] & 0x7FFF) > 0x7C00 : narrow[i] == SmallFloatReference.Encode(wide[i], SmallFloatFormat.Half);
            if (!same)
            {
                Assert.Fail($"{what}: value {i}, {wide[i]:R}, became {dtype} 0x{narrow[i]:X4}");
            }
        }
    }

    private static IEnumerable<IBoundNumberFormat> OnEveryTier(IBoundNumberFormat bound, Shape shape) =>
        NumberFormats.Get(bound.Spec.Id) is ITieredFormat tiered ? SimdTiers.Supported.Select(tier => tiered.Bind(bound.Spec, shape, tier)) : [bound];

    private static float[]? TryDecodeWide(IBoundNumberFormat bound, byte[][] streams)
    {
        try
        {
            return NumberFormatContractTests.Decode(bound, streams, int.MaxValue);
        }
        catch (ModelPackException e) when (e.Code == ErrorCodes.BadStream)
        {
            return null;
        }
    }

    private static byte[] Decode(IBoundNumberFormat bound, byte[][] streams, DType dtype)
    {
        PoisonBuffer[] sources = [.. streams.Select(s => PoisonBuffer.Copy<byte>(s))];
        using PoisonBuffer destination = PoisonBuffer.EndingAtGuard((int)bound.Shape.ElementCount * dtype.BitsPerElement() / 8);
        try
        {
            bound.DecodeRows([.. sources.Select(s => (ReadOnlyMemory<byte>)s.Memory)], (int)bound.Shape.Rows, dtype, destination.GetSpan());
            return destination.GetSpan().ToArray();
        }
        finally
        {
            foreach (IDisposable source in sources)
            {
                source.Dispose();
            }
        }
    }

    /// <summary>Random codes; scales with small exponents so that most of them decode.</summary>
    private static byte[][] Random(IBoundNumberFormat bound, ulong seed)
    {
        var random = new SplitMix(seed);
        byte[][] streams = [.. bound.Streams.Select(s => new byte[s.BytesPerRow * bound.Shape.Rows])];
        for (int s = 0; s < streams.Length; s++)
        {
            random.Fill(streams[s]);
            int width = bound.Streams[s].ElementType.BitsPerElement() / 8;
            for (int i = width - 1; s > 0 && width > 1 && i < streams[s].Length; i += width)
            {
                streams[s][i] = (byte)((streams[s][i] & 0x80) | 0x3A);
            }
        }

        return streams;
    }
}
