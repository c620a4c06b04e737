using ModelPack.Numbers;
using Xunit;

namespace ModelPack.Tests.Numbers;

/// <summary>Format <c>float</c>: every golden vector of scalars through the format itself, on every tier, and the properties of its types.</summary>
[Trait("Category", "Simd")]
public sealed class ScalarFormatTests
{
    /// <summary>Spec, input, codes, bytes per code, decode table.</summary>
    public static TheoryData<string, string, string, string?> GoldenCases()
    {
        var data = new TheoryData<string, string, string, string?>();
        foreach (string name in new[] { "e4m3fn", "e4m3fnuz", "e5m2", "e5m2fnuz", "e4m3_ieee", "e3m2", "e2m3", "e2m1" })
        {
            string element = name == "e4m3_ieee" ? "e4m3" : name;
            foreach (int saturate in name is "e3m2" or "e2m3" or "e2m1" ? [1] : new[] { 0, 1 })
            {
                string spec = $"scalar(element={element},overflow={(saturate == 1 ? "saturate" : "special")})";
                data.Add(spec, "base_in", $"{name}_base_sat{saturate}_codes", $"{name}_table");
                data.Add(spec, $"{name}_ties_in", $"{name}_ties_sat{saturate}_codes", $"{name}_table");
            }
        }

        data.Add("scalar(element=bf16)", "base_in", "bf16_rne_codes", null);
        data.Add("scalar(element=bf16,round=truncate)", "base_in", "bf16_trunc_codes", null);
        data.Add("scalar(element=f16)", "base_in", "fp16_rne_codes", null);
        data.Add("scalar(element=e8m0,round=up)", "e8m0_in", "e8m0_up_codes", "e8m0_table");
        data.Add("scalar(element=e8m0,round=down)", "e8m0_in", "e8m0_down_codes", "e8m0_table");
        data.Add("scalar(element=e8m0,round=nearest)", "e8m0_in", "e8m0_nearest_codes", "e8m0_table");
        return data;
    }

    [Theory]
    [MemberData(nameof(GoldenCases))]
    public void Rows_equalGolden_onEveryTier(string spec, string inputName, string codesName, string? tableName)
    {
        float[] input = Golden.Floats($"scalar/{inputName}.bin");
        byte[] expected = Golden.Bytes($"scalar/{codesName}.bin");
        float[]? table = tableName is null ? null : Golden.Floats($"scalar/{tableName}.bin");
        int codeBytes = expected.Length / input.Length;
        int[] kept = [.. Enumerable.Range(0, input.Length).Where(i => table is null || table.Any(float.IsNaN) || !float.IsNaN(input[i]))];
        float[] values = [.. kept.Select(i => input[i])];
        foreach (SimdTier tier in SimdTiers.Supported)
        {
            IBoundNumberFormat bound = ((ITieredFormat)NumberFormats.Get("scalar")).Bind(UnitSpec.Parse(spec), new Shape(values.Length), tier);
            byte[] stream = new byte[bound.Streams[0].BytesPerRow];
            bound.EncodeRows(values, 1, [stream]);
            float[] decoded = new float[values.Length];
            bound.DecodeRows([stream], 1, decoded);
            int bits = (int)Math.Round(bound.BitsPerValue);
            for (int k = 0; k < kept.Length; k++)
            {
                int code = codeBytes == 2 ? BitConverter.ToUInt16(expected, 2 * kept[k]) : expected[kept[k]];
                int actual = bits == 16 ? BitConverter.ToUInt16(stream, 2 * k) : bits == 8 ? stream[k] : CodePacking.Get(stream, k, bits);
                float value = table is not null ? table[code] : spec.Contains("bf16", StringComparison.Ordinal) ? BitConverter.Int32BitsToSingle(code << 16) : (float)BitConverter.UInt16BitsToHalf((ushort)code);
                if (!Golden.SameValue(value, decoded[k]) || !(float.IsNaN(value) || code == actual))
                {
                    Assert.Fail($"{spec}, {tier}: {values[k]:R} has code {actual:X} and decodes to {decoded[k]:R} instead of {code:X}, {value:R}");
                }
            }
        }
    }

    public static TheoryData<string> Elements() => [.. ScalarElement.Names];

    [Theory]
    [MemberData(nameof(Elements))]
    public void Encode_ofEveryDecodedCode_isThatCode(string element)
    {
        (float[] table, int bits) = Table(element);
        IBoundNumberFormat bound = Bind($"scalar(element={element},overflow={(ScalarElement.Get(element).SpecialCode < 0 ? "saturate" : "special")})", table.Length);
        int[] codes = [.. Enumerable.Range(0, table.Length).Where(c => !float.IsNaN(table[c]))];
        foreach (int code in codes)
        {
            Assert.Equal(code, Encode(bound, table[code], bits));
        }
    }

    [Theory]
    [MemberData(nameof(Elements))]
    public void Encode_betweenNeighbours_roundsToNearestEven_andIsMonotone(string element)
    {
        if (element == "e8m0")
        {
            return; // Powers of two round by significand; the golden vectors cover them.
        }

        (float[] table, int bits) = Table(element);
        IBoundNumberFormat bound = Bind($"scalar(element={element},overflow=saturate)", table.Length);
        SmallFloatFormat f = ScalarElement.Get(element).Saturating;
        int previous = 0;
        int step = bits == 16 ? 37 : 1;
        for (int code = 0; code < f.MaxCode - step; code += step)
        {
            // Exact: both have at most 11 significant bits.
            float tie = (float)(((double)table[code] + table[code + 1]) / 2);
            int even = code % 2 == 0 ? code : code + 1;
            Assert.Equal(even, Encode(bound, tie, bits));
            Assert.Equal(code, Encode(bound, MathF.BitDecrement(tie), bits));
            Assert.Equal(code + 1, Encode(bound, MathF.BitIncrement(tie), bits));
            Assert.Equal(tie == 0 || (even == 0 && !f.HasNegativeZero) ? 0 : even | (1 << (bits - 1)), Encode(bound, -tie, bits));
            Assert.True(Encode(bound, tie, bits) >= previous);
            previous = even;
        }
    }

    [Theory]
    [InlineData("e4m3fn", 464f, 0x7E, 0x7F)]
    [InlineData("e4m3fnuz", 247.99998f, 0x7F, 0x80)]
    [InlineData("e5m2", 61439.996f, 0x7B, 0x7C)]
    [InlineData("e5m2fnuz", 61439.996f, 0x7F, 0x80)]
    [InlineData("e4m3", 247.99998f, 0x77, 0x78)]
    [InlineData("f16", 65519.996f, 0x7BFF, 0x7C00)]
    public void Encode_beyondTheLargest_overflowsAfterRounding(string element, float last, int max, int special)
    {
        (_, int bits) = Table(element);
        IBoundNumberFormat saturating = Bind($"scalar(element={element},overflow=saturate)", 256);
        IBoundNumberFormat open = Bind($"scalar(element={element},overflow=special)", 256);
        int sign = 1 << (bits - 1);
        foreach (float beyond in new[] { MathF.BitIncrement(last), float.MaxValue, float.PositiveInfinity })
        {
            Assert.Equal(max, Encode(saturating, beyond, bits));
            Assert.Equal(max | sign, Encode(saturating, -beyond, bits));
            Assert.Equal(special, Encode(open, beyond, bits));
            Assert.Equal(special | sign, Encode(open, -beyond, bits));
        }

        Assert.Equal(max, Encode(open, last, bits));
        Assert.Equal(max | sign, Encode(open, -last, bits));
    }

    [Fact]
    public void Encode_bf16_overflowAndTruncation()
    {
        Assert.Equal(0x7F80, Encode(Bind("scalar(element=bf16)", 256), float.MaxValue, 16));
        Assert.Equal(0x7F7F, Encode(Bind("scalar(element=bf16,overflow=saturate)", 256), float.MaxValue, 16));
        Assert.Equal(0xFF7F, Encode(Bind("scalar(element=bf16,overflow=saturate)", 256), float.NegativeInfinity, 16));
        IBoundNumberFormat truncating = Bind("scalar(element=bf16,round=truncate)", 256);
        Assert.Equal(0x7F7F, Encode(truncating, float.MaxValue, 16));
        Assert.Equal(0x7F80, Encode(truncating, float.PositiveInfinity, 16));
        Assert.Equal(0x7FC0, Encode(truncating, BitConverter.Int32BitsToSingle(0x7F800001), 16));
        Assert.Equal(0x8000, Encode(truncating, -float.Epsilon, 16));
    }

    [Theory]
    [InlineData("scalar(element=e3m2,overflow=special)")]
    [InlineData("scalar(element=e8m0,overflow=special)")]
    [InlineData("scalar(element=e8m0,round=even)")]
    [InlineData("scalar(element=f16,round=truncate)")]
    [InlineData("scalar(element=bf16,overflow=saturate,round=truncate)")]
    [InlineData("scalar(element=e9m9)")]
    public void Bind_impossibleChoice_isMP1022(string spec) =>
        Assert.Equal(ErrorCodes.BadUnitArgument, Assert.Throws<ModelPackException>(() => NumberFormats.Bind(UnitSpec.Parse(spec), new Shape(4))).Code);

    [Theory]
    [InlineData("scalar(element=e2m1)", float.NaN)]
    [InlineData("scalar(element=e3m2)", float.NaN)]
    [InlineData("scalar(element=e8m0)", -1f)]
    public void Encode_valueWithoutACode_isMP1040(string spec, float value)
    {
        var error = Assert.Throws<ModelPackException>(() => NumberFormats.Bind(UnitSpec.Parse(spec), new Shape(2, 2)).EncodeRows([1, 1, 1, value], 2, [new byte[NumberFormats.Bind(UnitSpec.Parse(spec), new Shape(2, 2)).Streams[0].BytesPerRow * 2]]));
        Assert.Equal(ErrorCodes.UnrepresentableValue, error.Code);
        Assert.Contains("row 1, column 1", error.Message, StringComparison.Ordinal);
    }

    private static IBoundNumberFormat Bind(string spec, int count) => NumberFormats.Bind(UnitSpec.Parse(spec), new Shape(count));

    /// <summary>The values of all codes as the format decodes them.</summary>
    private static (float[] Values, int Bits) Table(string element)
    {
        ScalarElement e = ScalarElement.Get(element);
        float[] values = new float[1 << e.Bits];
        IBoundNumberFormat bound = Bind($"scalar(element={element})", values.Length);
        byte[] stream = new byte[bound.Streams[0].BytesPerRow];
        for (int code = 0; code < values.Length; code++)
        {
            if (e.Bits == 16)
            {
                BitConverter.TryWriteBytes(stream.AsSpan(2 * code), (ushort)code);
            }
            else
            {
                CodePacking.Set(stream, code, e.Bits, code);
            }
        }

        bound.DecodeRows([stream], 1, values);
        return (values, e.Bits);
    }

    /// <summary>The code in place 16 of a row of 33, so that vector and remainder agree.</summary>
    private static int Encode(IBoundNumberFormat like, float value, int bits)
    {
        IBoundNumberFormat bound = NumberFormats.Bind(like.Spec, new Shape(33));
        float[] row = [.. Enumerable.Repeat(1f, 15), value, .. Enumerable.Repeat(1f, 16), value];
        byte[] stream = new byte[bound.Streams[0].BytesPerRow];
        bound.EncodeRows(row, 1, [stream]);
        int At(int i) => bits == 16 ? BitConverter.ToUInt16(stream, 2 * i) : CodePacking.Get(stream, i, bits);
        Assert.Equal(At(15), At(32));
        return At(15);
    }
}
