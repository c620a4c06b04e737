using ModelPack.Numbers;
using Xunit;

namespace ModelPack.Tests.Numbers;

/// <summary>What follows from the meaning of a number format, whatever its layout: for every registered format and its important arguments.</summary>
public sealed class NumberFormatPropertyTests
{
    /// <summary>Formats that do not give the same bytes when their own values are encoded again, and why.</summary>
    private static readonly (Func<UnitSpec, bool> Applies, string Reason)[] NotIdempotent =
    [
        (s => s.Text("symmetric", "true") == "false", "the range of decoded values is another one: zero points and ends of the range are rounded"),
        (s => s.Text("search", "none") == "mse", "the search finds a tighter range once values lie on the grid"),
        (s => s.Text("nested", "false") == "true", "scales are coded themselves"),
        (s => s.Id == "dyn8", "the least value of the map is -0.993, so a block whose largest magnitude is negative comes back smaller"),
        (s => s.Id == "ternary" && s.Text("rule", "absmean") == "absmean" && s.Text("scope", "tensor") == "row", "the mean magnitude of rounded values is another one"),
        (s => s.Id == "bnb-int8", "a scale times 127 times 1/127 in f32 is not always that scale"),
        (s => s.Id == "gguf-nvfp4", "the scale is chosen for the largest value to become 6, and rounded"),
        (s => s.Id == "gguf-q4_1", "scale and minimum are rounded to f16, so the ends of the range may take other codes"),
        (s => s.Id is "gguf-q4_k" or "gguf-q6_k", "the encoder searches scales by weighted error"),
        (s => s.Text("mode", "floor") is "rceil" or "even" or "ceil", "the scale is rounded up for the largest value, which then becomes one that a smaller scale would do for"),
        (s => s.Id == "fp8" && s.Text("rule", "absmax") == "mse", "the encoder searches scales by squared error"),
        (s => s.Id == "palette" && s.Text("entries", "f32") != "f32", "entries rounded to 16 bits may coincide"),
    ];

    public static TheoryData<string> Specs() => NumberFormatContractTests.Specs();

    /// <summary>Formats that decode values next to the largest f32 to infinity, and why.</summary>
    private static readonly (Func<UnitSpec, bool> Applies, string Reason)[] OverflowAtTheTop =
    [
        (s => s.Id is "bf16" or "f16" or "bfloat8", "rounded to the nearest code, which is infinity"),
        (s => s.Id.StartsWith("mx", StringComparison.Ordinal) && s.Text("mode", "floor") != "floor", "the power of two above the largest f32 is infinity"),
        (s => s.Id == "float" && s.Text("scale", "e8m0") is "bf16" or "f16", "the scale is rounded to 16 bits, upwards here"),
    ];

    public static TheoryData<string> ScalarSpecs() => ["f16", "bf16", "f8e4m3fn", "f8e4m3fnuz", "f8e5m2", "f8e5m2fnuz", "f6e2m3", "f6e3m2", "f4e2m1"];

    [Theory]
    [MemberData(nameof(Specs))]
    public void Encode_ofDecodedValues_givesTheSameBytes(string text)
    {
        foreach (Shape shape in new Shape[] { new(4, 16), new(5, 37), new(3, 768), new(2, 200) })
        {
            for (ulong seed = 41; seed < 49; seed++)
            {
                IBoundNumberFormat bound = NumberFormatContractTests.Bind(text, shape);
                if (!NumberFormatContractTests.IsReal(bound) || NotIdempotent.Any(e => e.Applies(bound.Spec)))
                {
                    return;
                }

                byte[][] first = NumberFormatContractTests.Encode(bound, NumberFormatContractTests.Input(bound, seed), int.MaxValue);
                byte[][] second = NumberFormatContractTests.Encode(bound, NumberFormatContractTests.Decode(bound, first, int.MaxValue), int.MaxValue);
                for (int s = 0; s < first.Length; s++)
                {
                    Assert.True(first[s].AsSpan().SequenceEqual(second[s]), $"{bound.Spec} of {shape}, seed {seed}: stream '{bound.Streams[s].Role}' changes");
                }
            }
        }
    }

    [Fact]
    public void Exceptions_fromIdempotence_areNeeded()
    {
        UnitSpec[] specs = [.. ((IEnumerable<object[]>)Specs()).Select(row => UnitSpec.Parse((string)row[0]))];
        foreach ((Func<UnitSpec, bool> applies, string reason) in NotIdempotent)
        {
            (Shape Shape, float Factor, ulong Seed)[] inputs = [(new Shape(64, 768), 1f, 43), (new Shape(64, 768), 0.3f, 43), (new Shape(4, 16), 1f, 43), (new Shape(5, 37), 1f, 44)];
            bool changed = specs.Where(applies).SelectMany(_ => inputs, (spec, input) => (spec, shape: input.Shape, factor: input.Factor, seed: input.Seed)).Any(tried =>
            {
                IBoundNumberFormat bound = NumberFormatContractTests.Bind(tried.spec.ToString(), tried.shape);
                float[] values = [.. NumberFormatContractTests.Input(bound, tried.seed).Select(v => v * tried.factor)];
                byte[][] first = NumberFormatContractTests.Encode(bound, values, int.MaxValue);
                byte[][] second = NumberFormatContractTests.Encode(bound, NumberFormatContractTests.Decode(bound, first, int.MaxValue), int.MaxValue);
                return first.Zip(second).Any(pair => !pair.First.AsSpan().SequenceEqual(pair.Second));
            });
            Assert.True(changed, $"no format needs the exception '{reason}'");
        }
    }

    [Theory]
    [MemberData(nameof(Specs))]
    public void Decode_ofAscendingValues_ascends_withinABlock(string text)
    {
        // Rows of 16 values: no format has smaller blocks.
        IBoundNumberFormat bound = NumberFormatContractTests.Bind(text, new Shape(96, 16));
        if (!NumberFormatContractTests.IsReal(bound))
        {
            return;
        }

        float[] values = NumberFormatContractTests.Input(bound, 51);
        for (int r = 0; r < values.Length; r += 16)
        {
            values.AsSpan(r, 16).Sort();
        }

        float[] decoded = NumberFormatContractTests.Decode(bound, NumberFormatContractTests.Encode(bound, values, int.MaxValue), int.MaxValue);
        for (int i = 1; i < decoded.Length; i++)
        {
            Assert.True(i % 16 == 0 || decoded[i] >= decoded[i - 1], $"{bound.Spec}: {values[i - 1]:R} <= {values[i]:R} became {decoded[i - 1]:R} > {decoded[i]:R}");
        }
    }

    [Theory]
    [MemberData(nameof(Specs))]
    public void EveryByte_inTheCodes_decodesToANumber_orIsMP1023(string text)
    {
        IBoundNumberFormat bound = NumberFormatContractTests.Bind(text, new Shape(2, 256));
        if (!NumberFormatContractTests.IsReal(bound))
        {
            return;
        }

        byte[][] valid = NumberFormatContractTests.Encode(bound, NumberFormatContractTests.Input(bound, 52), int.MaxValue);

        // Blocks of ggml hold their f16 scales themselves; these types have codes of infinity.
        bool mayBeInfinite = bound.Spec.Id.StartsWith("gguf-", StringComparison.Ordinal) || bound.Spec.Id is "f64" or "f32" or "f16" or "bf16" or "f8e5m2" or "bfloat8"
            || (bound.Spec.Id is "fp8" or "scalar" or "mxfp8" && bound.Spec.Text("element", "") is "e4m3" or "e5m2" or "bf16" or "f16");
        for (int code = 0; code < 256; code++)
        {
            byte[][] streams = [[.. valid[0].Select(_ => (byte)code)], .. valid.Skip(1)];
            try
            {
                float[] decoded = NumberFormatContractTests.Decode(bound, streams, int.MaxValue);
                Assert.True(mayBeInfinite || !Array.Exists(decoded, float.IsInfinity), $"{bound.Spec}: byte {code} decodes to infinity");
            }
            catch (ModelPackException e)
            {
                Assert.Equal(ErrorCodes.BadStream, e.Code);
            }
        }
    }

    [Theory]
    [MemberData(nameof(Specs))]
    public void Zeros_ofEitherSign_stayZeros(string text)
    {
        foreach (float zero in new[] { 0f, -0f })
        {
            // E8M0 has no zero; a palette of a whole tensor has one when that tensor, here another, has.
            bool hasZero = !text.Contains("e8m0,", StringComparison.Ordinal) && !text.StartsWith("f8e8m0", StringComparison.Ordinal)
                && (!text.StartsWith("palette", StringComparison.Ordinal) || text.Contains("group", StringComparison.Ordinal));
            if (RoundTrip(text, [.. Enumerable.Repeat(zero, 300)]) is float[] decoded && hasZero)
            {
                Assert.All(decoded, v => Assert.Equal(0f, MathF.Abs(v)));
            }
        }
    }

    [Theory]
    [MemberData(nameof(Specs))]
    public void OneHugeValue_isMP1040_orStaysTheLargest(string text)
    {
        foreach (float huge in new[] { float.MaxValue, -float.MaxValue })
        {
            float[] values = [.. Enumerable.Repeat(0f, 300)];
            values[7] = huge;
            if (RoundTrip(text, values) is float[] decoded)
            {
                Assert.All(decoded, v => Assert.False(float.IsNaN(v), $"{text}: NaN beside {huge}"));
                Assert.Equal(decoded.Max(MathF.Abs), MathF.Abs(decoded[7]));

                Assert.True(float.IsFinite(decoded[7]) || OverflowAtTheTop.Any(e => e.Applies(UnitSpec.Parse(text))), $"{text}: {huge} became {decoded[7]}");
            }
        }
    }

    [Theory]
    [MemberData(nameof(Specs))]
    public void Subnormals_stayTiny(string text)
    {
        // A posit never becomes zero, and powers of two know none.
        float limit = UnitSpec.Parse(text).Id is "posit8" or "posit16" ? 1f : MathF.ScaleB(1, -120);
        float[] values = [.. Enumerable.Range(0, 300).Select(i => (i - 150) * 1e-40f)];
        bool fixedPalette = text.StartsWith("palette", StringComparison.Ordinal) && !text.Contains("group", StringComparison.Ordinal);
        if (!fixedPalette && RoundTrip(text, values) is float[] decoded)
        {
            Assert.All(decoded, v => Assert.InRange(v, -limit, limit));
        }
    }

    [Theory]
    [MemberData(nameof(ScalarSpecs))]
    public void BothSidesOfEveryTie_goToTheirNeighbours_andTiesToTheEvenCode(string text)
    {
        int bits = NumberFormats.Bind(UnitSpec.Parse(text), new Shape(8)).BitsPerValue is double b ? (int)b : 0;
        int count = 1 << (bits - 1);
        float[] positive = [.. Decode(text, bits, Enumerable.Range(0, count)).TakeWhile(float.IsFinite)];
        var inputs = new List<float>();
        var expected = new List<int>();
        for (int code = 0; code + 1 < positive.Length; code++)
        {
            float tie = (float)(((double)positive[code] + positive[code + 1]) / 2);
            inputs.AddRange([MathF.BitDecrement(tie), tie, MathF.BitIncrement(tie)]);
            expected.AddRange([code, code + (code & 1), code + 1]);
        }

        Assert.True(positive.Length >= 8);
        Assert.Equal(expected, Encode(text, bits, inputs));

        // Negative numbers are the same codes with the sign bit; zero has one only where -0 exists.
        IEnumerable<int> negative = expected.Select(code => code == 0 && text.EndsWith("fnuz", StringComparison.Ordinal) ? 0 : code | count);
        Assert.Equal(negative, Encode(text, bits, [.. inputs.Select(x => -x)]));
    }

    [Theory]
    [InlineData("f8e4m3fn", 0x7E)]
    [InlineData("f8e4m3fnuz", 0x7F)]
    [InlineData("f8e5m2", 0x7B)]
    [InlineData("f8e5m2fnuz", 0x7F)]
    public void EightBitFloats_saturate(string text, int largest)
    {
        float max = Decode(text, 8, [largest])[0];
        float[] inputs = [max, MathF.BitIncrement(max), 1.5f * max, float.MaxValue, float.PositiveInfinity];

        Assert.Equal(Enumerable.Repeat(largest, inputs.Length), Encode(text, 8, inputs));
        Assert.Equal(Enumerable.Repeat(largest | 0x80, inputs.Length), Encode(text, 8, [.. inputs.Select(x => -x)]));
    }

    [Fact]
    public void BFloat8_truncates_belowEveryCode()
    {
        float[] positive = [.. Decode("bfloat8", 8, Enumerable.Range(0, 0x7C))];
        for (int code = 1; code < positive.Length; code++)
        {
            Assert.Equal([code - 1, code, code], Encode("bfloat8", 8, [MathF.BitDecrement(positive[code]), positive[code], MathF.BitIncrement(positive[code])]));
        }
    }

    [Fact]
    public void EveryTieredFormat_isComparedWithItsReference()
    {
        string[] compared = [.. ((IEnumerable<object[]>)TierEqualityTests.Specs()).Select(row => UnitSpec.Parse((string)row[0]).Id)];

        Assert.Empty(NumberFormats.All.OfType<ITieredFormat>().Select(f => f.Id).Except(compared));
    }

    [Theory]
    [MemberData(nameof(Specs))]
    public void Tiles_allocateNothingPerBlock(string text)
    {
        const int Rows = 32;
        IBoundNumberFormat bound = NumberFormatContractTests.Bind(text, new Shape(Rows, 2048));
        if (!NumberFormatContractTests.IsReal(bound) || text.Contains("group=", StringComparison.Ordinal))
        {
            return; // Choosing a palette for a group of rows is a search with tables of its own.
        }

        float[] values = NumberFormatContractTests.Input(bound, 61);
        int rows = (int)bound.Shape.Rows;
        Memory<byte>[] streams = [.. bound.Streams.Select(s => new Memory<byte>(new byte[s.BytesPerRow * rows]))];
        ReadOnlyMemory<byte>[] readOnly = [.. streams.Select(s => (ReadOnlyMemory<byte>)s)];
        float[] decoded = new float[values.Length];
        byte[] narrow = new byte[2 * values.Length];
        long least = long.MaxValue;
        for (int round = 0; round < 4; round++)
        {
            // The first rounds fill pools; another test may take from a pool in between, so the best round counts.
            long before = GC.GetAllocatedBytesForCurrentThread();
            bound.EncodeRows(values, rows, streams);
            bound.DecodeRows(readOnly, rows, decoded);
            bound.DecodeRows(readOnly, rows, DType.BF16, narrow);
            bound.DecodeRows(readOnly, rows, DType.F16, narrow);
            least = Math.Min(least, GC.GetAllocatedBytesForCurrentThread() - before);
        }

        // A tile has at least 256 blocks of one byte or more.
        Assert.InRange(least, 0, 255);
    }

    /// <summary>Null when the format cannot hold the values.</summary>
    private static float[]? RoundTrip(string text, float[] values)
    {
        IBoundNumberFormat bound = NumberFormatContractTests.Bind(text, new Shape(1, values.Length));
        if (!NumberFormatContractTests.IsReal(bound))
        {
            return null;
        }

        try
        {
            return NumberFormatContractTests.Decode(bound, NumberFormatContractTests.Encode(bound, values, int.MaxValue), int.MaxValue);
        }
        catch (ModelPackException e) when (e.Code == ErrorCodes.UnrepresentableValue)
        {
            return null;
        }
    }

    private static float[] Decode(string text, int bits, IEnumerable<int> codes)
    {
        int[] list = [.. codes];
        IBoundNumberFormat bound = NumberFormats.Bind(UnitSpec.Parse(text), new Shape(list.Length));
        byte[] bytes = new byte[bound.Streams[0].BytesPerRow];
        for (int i = 0; i < list.Length; i++)
        {
            SetCode(bytes, i, bits, list[i]);
        }

        float[] values = new float[list.Length];
        bound.DecodeRows([bytes], 1, values);
        return values;
    }

    private static List<int> Encode(string text, int bits, IReadOnlyList<float> values)
    {
        IBoundNumberFormat bound = NumberFormats.Bind(UnitSpec.Parse(text), new Shape(values.Count));
        byte[] bytes = new byte[bound.Streams[0].BytesPerRow];
        bound.EncodeRows([.. values], 1, [bytes]);
        return [.. Enumerable.Range(0, values.Count).Select(i => GetCode(bytes, i, bits))];
    }

    private static void SetCode(byte[] bytes, int index, int bits, int code)
    {
        for (int b = 0; b < bits; b++)
        {
            int at = (index * bits) + b;
            bytes[at / 8] |= (byte)(((code >> b) & 1) << (at % 8));
        }
    }

    private static int GetCode(byte[] bytes, int index, int bits) =>
        Enumerable.Range(0, bits).Sum(b => ((bytes[((index * bits) + b) / 8] >> (((index * bits) + b) % 8)) & 1) << b);
}
