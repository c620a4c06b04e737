using System.Runtime.InteropServices;
using ModelPack.Numbers;
using ModelPack.Testing;
using Xunit;

namespace ModelPack.Tests.Numbers;

/// <summary>Ternary formats against BitNet's own conversion, their exactness, and what they refuse.</summary>
[Trait("Category", "Simd")]
public sealed class TernaryTests
{
    [Theory]
    [InlineData("a", 64, 256, "2bit")]
    [InlineData("a", 64, 256, "base3")]
    [InlineData("b", 16, 128, "2bit")]
    [InlineData("b", 16, 128, "base3")]
    public void Ternary_equals_golden_on_every_tier(string set, int rows, int columns, string packing)
    {
        float[] input = Golden.Floats($"bitnet/{set}_in.bin");
        sbyte[] trits = MemoryMarshal.Cast<byte, sbyte>(Golden.Bytes($"bitnet/{set}_t.bin")).ToArray();
        float[] expected = Golden.Floats($"bitnet/{set}_deq.bin");
        float gamma = Golden.Floats($"bitnet/{set}_meanabs.bin")[0];
        UnitSpec spec = UnitSpec.Parse($"ternary(packing={packing})").With("gamma", SpecNumbers.Text(gamma));
        foreach (SimdTier tier in SimdTiers.Supported)
        {
            IBoundNumberFormat bound = ((ITieredFormat)NumberFormats.Get("ternary")).Bind(spec, new Shape(rows, columns), tier);
            byte[] codes = new byte[bound.Streams[0].BytesPerRow * rows];
            float[] back = new float[input.Length];
            bound.EncodeRows(input, rows, [codes]);
            bound.DecodeRows([codes], rows, back);
            Assert.Equal(expected, back);
            Assert.Equal(trits, back.Select(v => (sbyte)MathF.Sign(v)));
        }

        Assert.Equal(Golden.Floats($"bitnet/{set}_s.bin")[0], TernaryScale.Of(mean: true, gamma).Factor);

        // The mean differs from the oracle's by its order of summation only.
        string own = NumberFormats.Complete(new UnitSpec("ternary"), Reader(input, rows, columns)).Text("gamma", "");
        Assert.Equal(gamma, float.Parse(own, System.Globalization.CultureInfo.InvariantCulture), 1e-6f);
    }

    [Theory]
    [InlineData("a", 64, 256)]
    [InlineData("b", 16, 128)]
    public void I2_S_equals_golden(string set, int rows, int columns)
    {
        float[] input = Golden.Floats($"bitnet/{set}_in.bin");
        sbyte[] trits = MemoryMarshal.Cast<byte, sbyte>(Golden.Bytes($"bitnet/{set}_t.bin")).ToArray();
        byte[] file = Golden.Bytes($"bitnet/{set}_i2s.bin");
        float scale = MemoryMarshal.Read<float>(file.AsSpan(file.Length - 32));
        UnitSpec spec = new UnitSpec("bitnet-i2_s").With("scale", SpecNumbers.Text(scale));
        foreach (SimdTier tier in SimdTiers.Supported)
        {
            IBoundNumberFormat bound = ((ITieredFormat)NumberFormats.Get("bitnet-i2_s")).Bind(spec, new Shape(rows, columns), tier);
            byte[] codes = new byte[bound.Streams[0].BytesPerRow * rows];
            bound.EncodeRows(input, rows, [codes]);
            Assert.Equal(file[..^32], codes);
            float[] back = new float[input.Length];
            bound.DecodeRows([codes], rows, back);
            Assert.Equal(trits.Select(t => t * scale), back);
        }
    }

    [Fact]
    public void Tl1_equals_golden_both_ways() => CheckTables("tl1_128x256", new BitNetTables(128, 256, 64, 64, 32), two: false);

    [Fact]
    public void Tl2_equals_golden_both_ways() => CheckTables("tl2_128x448", new BitNetTables(128, 448, 64, 96, 32), two: true);

    [Fact]
    public void Tables_of_other_sizes_areMP1020_and_impossible_indexes_areMP1023()
    {
        var tables = new BitNetTables(128, 256, 64, 64, 32);
        byte[] packed = new byte[tables.Tl1Bytes];
        AssertCode(ErrorCodes.BadEncoding, () => tables.UnpackTl1(packed.AsSpan(1), new sbyte[128 * 256]));
        AssertCode(ErrorCodes.BadEncoding, () => new BitNetTables(128, 250, 64, 64, 32).UnpackTl1(packed, new sbyte[128 * 250]));
        AssertCode(ErrorCodes.BadEncoding, () => new BitNetTables(128, 256, 64, 64, 16).UnpackTl2(packed, new sbyte[128 * 256]));
        AssertCode(ErrorCodes.BadEncoding, () => new BitNetTables(0, 0, 0, 0, 0).UnpackTl1([], []));
        packed[7] = 0x90;
        AssertCode(ErrorCodes.BadStream, () => tables.UnpackTl1(packed, new sbyte[128 * 256]));
        var tables2 = new BitNetTables(128, 448, 64, 96, 32);
        byte[] packed2 = new byte[tables2.Tl2Bytes];
        packed2[0] = 0xE0;
        AssertCode(ErrorCodes.BadStream, () => tables2.UnpackTl2(packed2, new sbyte[128 * 448]));
    }

    [Fact]
    public void Packings_convert_into_each_other_exactly()
    {
        foreach (int length in Enumerable.Range(1, 330))
        {
            float[] values = Trits((ulong)length, length, 0.37f);
            float[] two = RoundTrip("ternary(rule=absmax)", values, 1);
            float[] three = RoundTrip("ternary(rule=absmax,packing=base3)", two, 1);
            Assert.Equal(values, two);
            Assert.Equal(values, three);
        }
    }

    [Fact]
    public void AreTernary_finds_one_magnitude_per_tensor_or_per_row()
    {
        float[] same = Trits(3, 400, 0.25f);
        float[] rows = [.. same.Select((v, i) => i < 200 ? v : v * 3)];
        float[] almost = [.. same];
        almost[399] = MathF.BitIncrement(0.25f);
        Assert.True(TernaryValues.AreTernary(Reader(same, 2, 200), perRow: false));
        Assert.True(TernaryValues.AreTernary(Reader(rows, 2, 200), perRow: true));
        Assert.False(TernaryValues.AreTernary(Reader(rows, 2, 200), perRow: false));
        Assert.False(TernaryValues.AreTernary(Reader(almost, 2, 200), perRow: true));
        Assert.True(TernaryValues.AreTernary(Reader(new float[6], 2, 3), perRow: false));
        Assert.True(TernaryValues.AreTernary(Reader([0, 0, 0, 2, 0, -2], 2, 3), perRow: false));
        Assert.Equal(rows, RoundTrip("ternary(rule=absmax,scope=row)", rows, 2));
    }

    [Fact]
    public void Decode_of_code_3_isMP1023()
    {
        IBoundNumberFormat bound = NumberFormats.Bind(UnitSpec.Parse("ternary(gamma=1)"), new Shape(2, 64));
        byte[] codes = new byte[32];
        codes[29] = 0x30;
        AssertCode(ErrorCodes.BadStream, () => bound.DecodeRows([codes], 2, new float[128]));
    }

    [Fact]
    public void Encode_without_gamma_isMP1020()
    {
        foreach (string id in new[] { "ternary", "bitnet-i2_s" })
        {
            IBoundNumberFormat bound = NumberFormats.Bind(new UnitSpec(id), new Shape(2, 128));
            byte[] codes = new byte[bound.Streams[0].BytesPerRow * 2];
            AssertCode(ErrorCodes.BadEncoding, () => bound.EncodeRows(new float[256], 2, [codes]));
            AssertCode(ErrorCodes.BadStream, () => bound.DecodeRows([codes], 2, new float[256]));
        }
    }

    [Theory]
    [InlineData("ternary(gamma=-1)")]
    [InlineData("ternary(gamma=NaN)")]
    [InlineData("ternary(gamma=1.0)")]
    [InlineData("ternary(gamma=1,scope=row)")]
    [InlineData("ternary(packing=3bit)")]
    [InlineData("ternary(rule=mean)")]
    [InlineData("bitnet-i2_s(scale=-2)")]
    [InlineData("bitnet-i2_s(rule=none)")]
    public void Bind_wrongArguments_isMP1022(string spec) => AssertCode(ErrorCodes.BadUnitArgument, () => NumberFormats.Bind(UnitSpec.Parse(spec), new Shape(4, 64)));

    [Fact]
    public void Bnb_int8_equals_golden_on_every_tier()
    {
        float[] input = Golden.Floats("llmint8/in.bin");
        byte[] expected = Golden.Bytes("llmint8/codes0.bin");
        byte[] absmax = Golden.Bytes("llmint8/absmax0.bin");
        foreach (SimdTier tier in SimdTiers.Supported)
        {
            IBoundNumberFormat bound = ((ITieredFormat)NumberFormats.Get("bnb-int8")).Bind(new UnitSpec("bnb-int8"), new Shape(24, 96), tier);
            byte[] codes = new byte[24 * 96];
            byte[] scales = new byte[24 * 4];
            bound.EncodeRows(input, 24, [codes, scales]);
            Assert.Equal(absmax, scales);
            Assert.Equal(expected, codes);
        }
    }

    /// <summary>LLM.int8() with a threshold is the same format without the outliers: they do not count for a row's scale, and their columns are stored elsewhere.</summary>
    [Fact]
    public void Bnb_int8_without_outliers_equals_golden()
    {
        const float Threshold = 6;
        float[] input = Golden.Floats("llmint8/in.bin");
        long[] outliers = MemoryMarshal.Cast<byte, long>(Golden.Bytes("llmint8/outlier_cols.bin")).ToArray();
        Assert.Equal(outliers, Enumerable.Range(0, 96).Where(c => Enumerable.Range(0, 24).Any(r => MathF.Abs(input[(r * 96) + c]) >= Threshold)).Select(c => (long)c));
        foreach (SimdTier tier in SimdTiers.Supported)
        {
            IBoundNumberFormat bound = ((ITieredFormat)NumberFormats.Get("bnb-int8")).Bind(new UnitSpec("bnb-int8"), new Shape(24, 96), tier);
            byte[] codes = new byte[24 * 96];
            byte[] scales = new byte[24 * 4];
            bound.EncodeRows([.. input.Select(x => MathF.Abs(x) >= Threshold ? 0 : x)], 24, [codes, scales]);
            Assert.Equal(Golden.Bytes("llmint8/absmax.bin"), scales);
            Assert.Equal(Golden.Bytes("llmint8/codes.bin"), codes.Select((c, i) => outliers.Contains(i % 96) ? (byte)0 : c));
        }
    }

    private static void CheckTables(string name, BitNetTables tables, bool two)
    {
        sbyte[] trits = MemoryMarshal.Cast<byte, sbyte>(Golden.Bytes($"bitnet/{name}_t.bin")).ToArray();
        byte[] expected = Golden.Bytes($"bitnet/{name}.bin");
        byte[] packed = new byte[expected.Length];
        sbyte[] back = new sbyte[trits.Length];
        if (two)
        {
            tables.PackTl2(trits, packed);
            tables.UnpackTl2(expected, back);
        }
        else
        {
            tables.PackTl1(trits, packed);
            tables.UnpackTl1(expected, back);
        }

        Assert.Equal(expected, packed);
        Assert.Equal(trits, back);
    }

    private static float[] Trits(ulong seed, int count, float magnitude)
    {
        var random = new SplitMix(seed);
        float[] values = [.. Enumerable.Range(0, count).Select(_ => (random.Below(3) - 1) * magnitude)];
        values[0] = magnitude;
        return [.. values.Select(v => v == 0 ? 0 : v)];
    }

    private static float[] RoundTrip(string spec, float[] values, int rows)
    {
        int columns = values.Length / rows;
        IBoundNumberFormat bound = NumberFormats.Bind(NumberFormats.Complete(UnitSpec.Parse(spec), Reader(values, rows, columns)), new Shape(rows, columns));
        byte[][] streams = [.. bound.Streams.Select(s => new byte[s.BytesPerRow * rows])];
        float[] back = new float[values.Length];
        bound.EncodeRows(values, rows, [.. streams.Select(s => new Memory<byte>(s))]);
        bound.DecodeRows([.. streams.Select(s => new ReadOnlyMemory<byte>(s))], rows, back);
        return back;
    }

    private static RawValueReader Reader(float[] values, int rows, int columns) =>
        new(DType.F32, new Shape(rows, columns), TensorData.FromBytes(MemoryMarshal.AsBytes<float>(values).ToArray()));

    private static void AssertCode(ErrorCode expected, Action action) => Assert.Equal(expected, Assert.Throws<ModelPackException>(action).Code);
}
