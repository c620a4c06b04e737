using ModelPack.Numbers;
using Xunit;

namespace ModelPack.Tests.Numbers;

public sealed class SmallFloatGoldenTests
{
    public static TheoryData<string> Formats() => ["e4m3fn", "e4m3fnuz", "e5m2", "e5m2fnuz", "e4m3_ieee", "e3m2", "e2m3", "e2m1"];

    [Theory]
    [MemberData(nameof(Formats))]
    public void Encode_baseInputs_saturating_equalsGolden(string name) =>
        CheckCodes(Format(name), Golden.Floats("scalar/base_in.bin"), Golden.Bytes($"scalar/{name}_base_sat1_codes.bin"), Golden.Floats($"scalar/{name}_table.bin"));

    [Theory]
    [MemberData(nameof(Formats))]
    public void Encode_ties_saturating_equalsGolden(string name) =>
        CheckCodes(Format(name), Golden.Floats($"scalar/{name}_ties_in.bin"), Golden.Bytes($"scalar/{name}_ties_sat1_codes.bin"), Golden.Floats($"scalar/{name}_table.bin"));

    public static TheoryData<string, int> Overflowing() => new() { { "e4m3fn", 0x7F }, { "e4m3fnuz", 0x80 }, { "e5m2", 0x7C }, { "e5m2fnuz", 0x80 }, { "e4m3_ieee", 0x78 } };

    [Theory]
    [MemberData(nameof(Overflowing))]
    public void Encode_ties_overflowing_equalsGolden(string name, int overflowCode) => CheckCodes(
        Format(name).OverflowingTo(overflowCode),
        Golden.Floats($"scalar/{name}_ties_in.bin"),
        Golden.Bytes($"scalar/{name}_ties_sat0_codes.bin"),
        Golden.Floats($"scalar/{name}_table.bin"));

    [Theory]
    [MemberData(nameof(Overflowing))]
    public void Encode_baseInputs_overflowing_equalsGolden(string name, int overflowCode) => CheckCodes(
        Format(name).OverflowingTo(overflowCode),
        Golden.Floats("scalar/base_in.bin"),
        Golden.Bytes($"scalar/{name}_base_sat0_codes.bin"),
        Golden.Floats($"scalar/{name}_table.bin"));

    [Theory]
    [MemberData(nameof(Formats))]
    public void DecodeTable_everyCode_equalsGolden(string name)
    {
        float[] expected = Golden.Floats($"scalar/{name}_table.bin");
        float[] actual = SmallFloatReference.DecodeTable(Format(name));

        Assert.Equal(expected.Length, actual.Length);
        for (int code = 0; code < expected.Length; code++)
        {
            Assert.True(Golden.SameValue(expected[code], actual[code]), $"{name} code {code:X2}: {actual[code]} instead of {expected[code]}");
        }
    }

    /// <summary>Codes of ties to values, in whole vectors and on every tier.</summary>
    [Theory]
    [MemberData(nameof(Formats))]
    public void Decode_ties_equalsGolden(string name)
    {
        float[] table = SmallFloatReference.DecodeTable(Format(name));
        var bytes = new ByteTable([.. Enumerable.Range(0, 256).Select(code => table[code % table.Length])]);
        foreach (string saturate in Format(name).Bits == 8 ? new[] { "sat1", "sat0" } : ["sat1"])
        {
            byte[] codes = Golden.Bytes($"scalar/{name}_ties_{saturate}_codes.bin");
            float[] expected = Golden.Floats($"scalar/{name}_ties_{saturate}_dec.bin");
            float[] input = Golden.Floats($"scalar/{name}_ties_in.bin");
            float[] values = new float[codes.Length];
            foreach (SimdTier tier in SimdTiers.Supported)
            {
                bytes.Decode(codes, 1f, values, tier);
                for (int i = 0; i < codes.Length; i++)
                {
                    bool noNan = Format(name).NanCode < 0 && float.IsNaN(input[i]);
                    Assert.True(noNan || Golden.SameValue(expected[i], values[i]), $"{name} {saturate} on {tier}: code {codes[i]:X2} is {values[i]:R} instead of {expected[i]:R}");
                }
            }
        }
    }

    [Fact]
    public void NarrowBf16_and_NarrowHalf_equalGolden_onEveryTier()
    {
        float[] input = Golden.Floats("scalar/base_in.bin");
        ushort[] bf16 = Golden.Words("scalar/bf16_rne_codes.bin");
        ushort[] half = Golden.Words("scalar/fp16_rne_codes.bin");
        ushort[] codes = new ushort[input.Length];
        float[] back = new float[input.Length];
        foreach (SimdTier tier in SimdTiers.Supported)
        {
            WideFloatKernels.NarrowBf16(input, codes, tier);
            AssertWords(input, bf16, codes, 0x7F80, tier);
            WideFloatKernels.WidenBf16(codes, back, tier);
            Assert.All(Enumerable.Range(0, 65536), i => Assert.True(Golden.SameValue(input[i], back[i]), $"bf16 {input[i]} on {tier} came back as {back[i]}"));

            WideFloatKernels.NarrowHalf(input, codes, tier);
            AssertWords(input, half, codes, 0x7C00, tier);
        }
    }

    [Fact]
    public void WidenHalf_everyCode_equalsTheFramework_onEveryTier()
    {
        ushort[] codes = [.. Enumerable.Range(0, 65536).Select(i => (ushort)i)];
        float[] values = new float[codes.Length];
        foreach (SimdTier tier in SimdTiers.Supported)
        {
            WideFloatKernels.WidenHalf(codes, values, tier);
            for (int i = 0; i < codes.Length; i++)
            {
                Assert.True(Golden.SameValue((float)BitConverter.UInt16BitsToHalf(codes[i]), values[i]), $"half {i:X4} on {tier} is {values[i]}");
            }
        }
    }

    [Theory]
    [InlineData("up", E8M0.Rounding.Up)]
    [InlineData("down", E8M0.Rounding.Down)]
    [InlineData("nearest", E8M0.Rounding.Nearest)]
    public void E8M0_encode_equalsGolden(string name, E8M0.Rounding rounding)
    {
        float[] input = Golden.Floats("scalar/e8m0_in.bin");
        byte[] expected = Golden.Bytes($"scalar/e8m0_{name}_codes.bin");
        for (int i = 0; i < input.Length; i++)
        {
            byte actual = E8M0.Encode(input[i], rounding);
            Assert.True(expected[i] == actual, $"{input[i]:R} (bits {BitConverter.SingleToInt32Bits(input[i]):X8}) {name}: {actual} instead of {expected[i]}");
        }
    }

    [Fact]
    public void E8M0_decode_equalsGolden()
    {
        float[] expected = Golden.Floats("scalar/e8m0_table.bin");

        Assert.All(Enumerable.Range(0, 256), code => Assert.True(Golden.SameValue(expected[code], E8M0.Decode((byte)code))));
    }

    internal static SmallFloatFormat Format(string name) => name switch
    {
        "e4m3fn" => SmallFloatFormat.E4M3Fn,
        "e4m3fnuz" => SmallFloatFormat.E4M3Fnuz,
        "e5m2" => SmallFloatFormat.E5M2,
        "e5m2fnuz" => SmallFloatFormat.E5M2Fnuz,
        "e4m3_ieee" => SmallFloatFormat.E4M3Ieee,
        "e3m2" => SmallFloatFormat.E3M2,
        "e2m3" => SmallFloatFormat.E2M3,
        _ => SmallFloatFormat.E2M1,
    };

    private static void CheckCodes(SmallFloatFormat format, float[] input, byte[] expected, float[] table)
    {
        byte[] codes = new byte[input.Length];
        foreach (SimdTier tier in SimdTiers.Supported)
        {
            WideFloatKernels.EncodeBytes(input, format, codes, tier);
            for (int i = 0; i < input.Length; i++)
            {
                if (format.NanCode < 0 && float.IsNaN(input[i]))
                {
                    continue;
                }

                bool same = float.IsNaN(table[expected[i]]) ? float.IsNaN(table[codes[i]]) : codes[i] == expected[i];
                Assert.True(same, $"{input[i]:R} on {tier}: {codes[i]:X2} instead of {expected[i]:X2}");
            }
        }
    }

    private static void AssertWords(float[] input, ushort[] expected, ushort[] actual, int infinity, SimdTier tier)
    {
        for (int i = 0; i < input.Length; i++)
        {
            bool same = float.IsNaN(input[i])
                ? (actual[i] & 0x7FFF) > infinity && (actual[i] >> 15) == (BitConverter.SingleToUInt32Bits(input[i]) >> 31)
                : actual[i] == expected[i];
            Assert.True(same, $"{input[i]:R} on {tier}: {actual[i]:X4} instead of {expected[i]:X4}");
        }
    }
}
