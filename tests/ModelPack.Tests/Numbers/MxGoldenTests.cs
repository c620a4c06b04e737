using ModelPack.Numbers;
using Xunit;

namespace ModelPack.Tests.Numbers;

/// <summary>MX formats against vectors on which torchao, microxcaling and an exact-arithmetic implementation agree, on every tier.</summary>
[Trait("Category", "Simd")]
public sealed class MxGoldenTests
{
    private static readonly (string Name, int Rows, int Columns)[] Inputs =
    [
        ("normal", 16, 200), ("heavy", 16, 160), ("wide", 64, 72), ("denorm", 32, 80), ("zeros", 16, 100), ("infnan", 16, 96), ("ties", 32, 64), ("just_below_pow2", 32, 33), ("row7", 5, 7),
    ];

    private static readonly (string Name, string Spec)[] Formats =
    [
        ("mxfp8_e4m3", "mxfp8"), ("mxfp8_e5m2", "mxfp8(element=e5m2)"), ("mxfp6_e3m2", "mxfp6(element=e3m2)"), ("mxfp6_e2m3", "mxfp6"), ("mxfp4_e2m1", "mxfp4"), ("mxint8", "mxint8"),
        ("mxfp8_e4m3_ceil", "mxfp8(mode=ceil)"), ("mxfp8_e4m3_rceil", "mxfp8(mode=rceil)"), ("mxfp8_e4m3_even", "mxfp8(mode=even)"),
        ("mxfp4_e2m1_ceil", "mxfp4(mode=ceil)"), ("mxfp4_e2m1_rceil", "mxfp4(mode=rceil)"), ("mxfp4_e2m1_even", "mxfp4(mode=even)"),
    ];

    /// <summary>The named formats, and the same ones spelt as user-defined floats.</summary>
    public static TheoryData<string, string, string> Cases()
    {
        var data = new TheoryData<string, string, string>();
        foreach ((string input, _, _) in Inputs)
        {
            foreach ((string format, string spec) in Formats)
            {
                data.Add(input, format, spec);
                if (format != "mxint8")
                {
                    data.Add(input, format, AsFloat(format));
                }
            }
        }

        return data;
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public void Scales_codes_and_values_equal_golden(string input, string format, string spec)
    {
        (_, int rows, int columns) = Inputs.First(i => i.Name == input);
        float[] values = Golden.Floats($"mx/{input}_in.bin");
        byte[] scales = Golden.Bytes($"mx/{input}_{format}_scales.bin");
        byte[] codes = Golden.Bytes($"mx/{input}_{format}_codes.bin");
        Assert.Equal(rows * columns, values.Length);
        UnitSpec parsed = UnitSpec.Parse(spec);
        foreach (SimdTier tier in SimdTiers.Supported)
        {
            IBoundNumberFormat bound = ((ITieredFormat)NumberFormats.Get(parsed.Id)).Bind(parsed, new Shape(rows, columns), tier);
            byte[] actualCodes = new byte[rows * bound.Streams[0].BytesPerRow];
            byte[] actualScales = new byte[rows * bound.Streams[1].BytesPerRow];
            bound.EncodeRows(values, rows, [actualCodes, actualScales]);
            Assert.Equal(scales, actualScales);
            AssertCodes(codes, scales, actualCodes, rows, columns, format, tier);
            AssertValues(bound, format, input, codes, [actualCodes, actualScales], rows, tier);
        }
    }

    private static void AssertCodes(byte[] codes, byte[] scales, byte[] packed, int rows, int columns, string format, SimdTier tier)
    {
        int bits = Bits(format);
        int rowBytes = packed.Length / rows;
        int blocks = scales.Length / rows;
        for (int r = 0; r < rows; r++)
        {
            ReadOnlySpan<byte> row = packed.AsSpan(r * rowBytes, rowBytes);
            for (int c = 0; c < columns; c++)
            {
                int actual = CodePacking.Get(row, c, bits);
                if (scales[(r * blocks) + (c / 32)] != 255)
                {
                    Assert.True(codes[(r * columns) + c] == actual, $"{format} on {tier}: code {actual:X2} instead of {codes[(r * columns) + c]:X2} at row {r}, column {c}");
                }
            }
        }
    }

    /// <summary>Bytes of all blocks that have values.</summary>
    private static void AssertPacked(byte[] expected, byte[][] streams, int rows, int blockBytes)
    {
        Assert.Equal(expected.Length, streams[0].Length);
        int rowBytes = expected.Length / rows;
        int blocks = streams[1].Length / rows;
        for (int i = 0; i < expected.Length; i++)
        {
            bool counts = streams[1][(i / rowBytes * blocks) + (i % rowBytes / blockBytes)] != 255;
            Assert.True(!counts || expected[i] == streams[0][i], $"byte {i} is {streams[0][i]:X2} instead of {expected[i]:X2}");
        }
    }

    private static void AssertValues(IBoundNumberFormat bound, string format, string input, byte[] codes, byte[][] streams, int rows, SimdTier tier)
    {
        float[] decoded = new float[codes.Length];
        bound.DecodeRows([streams[0], streams[1]], rows, decoded);
        int columns = codes.Length / rows;
        int blocks = streams[1].Length / rows;
        if (format is "mxfp8_e4m3" or "mxfp8_e5m2" or "mxfp6_e3m2" or "mxfp6_e2m3" or "mxfp4_e2m1" or "mxint8")
        {
            float[] expected = Golden.Floats($"mx/{input}_{format}_dec.bin");
            for (int i = 0; i < decoded.Length; i++)
            {
                Assert.True(Golden.SameValue(expected[i], decoded[i]), $"{format} on {tier}: value {i} is {decoded[i]:R} instead of {expected[i]:R}");
            }

            if (Bits(format) < 8)
            {
                AssertPacked(Golden.Bytes($"mx/{input}_{format}_packed.bin"), streams, rows, 4 * Bits(format));
            }

            return;
        }

        // The other modes have no decoded vectors: element times power of two, by definition.
        float[] elements = Golden.Floats(format.StartsWith("mxfp8", StringComparison.Ordinal) ? "scalar/e4m3fn_table.bin" : "scalar/e2m1_table.bin");
        for (int i = 0; i < decoded.Length; i++)
        {
            byte scale = streams[1][(i / columns * blocks) + (i % columns / 32)];
            float value = scale == 255 ? float.NaN : (float)Math.ScaleB(elements[codes[i]], scale - 127);
            Assert.True(Golden.SameValue(value, decoded[i]), $"{format} on {tier}: value {i} is {decoded[i]:R} instead of {value:R}");
        }
    }

    private static int Bits(string format) => format.Contains("fp4", StringComparison.Ordinal) ? 4 : format.Contains("fp6", StringComparison.Ordinal) ? 6 : 8;

    private static string AsFloat(string format)
    {
        string[] parts = format.Split('_');
        string mode = parts.Length > 2 ? parts[2] : "floor";
        return $"float(exponent={parts[1][1]},mantissa={parts[1][3]},block=32,scale=e8m0,mode={mode})";
    }
}
