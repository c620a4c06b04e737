using System.Runtime.InteropServices;
using ModelPack.Numbers;
using Xunit;

namespace ModelPack.Tests.Numbers;

/// <summary>nf4, fp4 and dyn8 against bitsandbytes, bit for bit.</summary>
public sealed class CodebookGoldenTests
{
    public static TheoryData<string, string, int> Cases()
    {
        var data = new TheoryData<string, string, int>();
        foreach (string input in new[] { "w", "wz" })
        {
            data.Add(input, "nf4", 64);
            data.Add(input, "nf4", 128);
            data.Add(input, "fp4", 64);
            data.Add(input, "fp4", 128);
            data.Add(input, "dyn8", 64);
            data.Add(input, "dyn8", 256);
            data.Add(input, "dyn8", 4096);
        }

        return data;
    }

    [Fact]
    public void Tables_equal_golden()
    {
        Assert.Equal(Golden.Bytes("bnb/nf4_table.bin"), MemoryMarshal.AsBytes(CodebookTables.Nf4).ToArray());
        Assert.Equal(Golden.Floats("bnb/fp4_table.bin"), MemoryMarshal.Cast<uint, float>(CodebookTables.Fp4).ToArray());
        Assert.Equal(Golden.Bytes("bnb/dynamic_signed_table.bin"), MemoryMarshal.AsBytes(CodebookTables.Dynamic8).ToArray());
        Assert.Equal(Golden.Bytes("bnb/dynamic_unsigned_table.bin"), MemoryMarshal.AsBytes(CodebookTables.Dynamic8Unsigned).ToArray());
    }

    /// <summary>All codes decode to their values and back, on every tier; negative values are 0.</summary>
    [Fact]
    public void Unsigned_map_codes_what_is_not_negative()
    {
        byte[] codes = [.. Enumerable.Range(0, 256).Select(c => (byte)c)];
        float[] values = Golden.Floats("bnb/dynamic_unsigned_table.bin");
        float[] negative = [.. values.Select((v, i) => i == 255 ? v : -v)];
        foreach (SimdTier tier in Enum.GetValues<SimdTier>().Where(t => t <= SimdTiers.Current))
        {
            IBoundNumberFormat bound = ((ITieredFormat)NumberFormats.Get("dyn8")).Bind(UnitSpec.Parse("dyn8(signed=false,block=256)"), new Shape(1, 256), tier);
            Assert.Equal("dyn8(block=256,nested=false,signed=false)", bound.Spec.ToString());
            byte[] coded = new byte[256];
            byte[] scales = new byte[4];
            bound.EncodeRows(values, 1, [coded, scales]);
            Assert.Equal(codes, coded);
            float[] decoded = new float[256];
            bound.DecodeRows([coded, scales], 1, decoded);
            Assert.Equal(values, decoded);
            bound.EncodeRows(negative, 1, [coded, scales]);
            Assert.All(coded[..255], c => Assert.Equal(0, c));
        }

        Assert.Equal(ErrorCodes.BadUnitArgument, Assert.Throws<ModelPackException>(() => NumberFormats.Bind(UnitSpec.Parse("nf4(signed=false)"), new Shape(1, 64))).Code);
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public void Encode_and_decode_equal_golden_on_every_tier(string input, string id, int block)
    {
        float[] values = Golden.Floats($"bnb/{input}_in.bin");
        byte[] codes = Golden.Bytes($"bnb/{input}_{id}_{block}_{(id == "dyn8" ? "codes" : "packed")}.bin");
        byte[] absmax = Golden.Bytes($"bnb/{input}_{id}_{block}_absmax.bin");
        float[] decoded = Golden.Floats($"bnb/{input}_{id}_{block}_dec.bin");
        foreach (SimdTier tier in SimdTiers.Supported)
        {
            IBoundNumberFormat bound = ((ITieredFormat)NumberFormats.Get(id)).Bind(UnitSpec.Parse($"{id}(block={block})"), new Shape(values.Length), tier);
            byte[] actualCodes = new byte[bound.Streams[0].BytesPerRow];
            byte[] actualScales = new byte[bound.Streams[1].BytesPerRow];
            bound.EncodeRows(values, 1, [actualCodes, actualScales]);
            Assert.Equal(absmax, actualScales);
            if (id != "fp4")
            {
                // fp4 has two zeros and implementations differ on which they write: compared by value below.
                Assert.Equal(codes, actualCodes);
            }

            float[] back = new float[values.Length];
            bound.DecodeRows([codes, absmax], 1, back);
            Assert.Equal(decoded, back);
            bound.DecodeRows([actualCodes, actualScales], 1, back);
            Assert.Equal(decoded, back);
        }
    }

    [Fact]
    public void Nested_scales_equal_golden_on_every_tier()
    {
        float[] absmax = Golden.Floats("bnb/nested_absmax.bin");
        float offset = Golden.Floats("bnb/nested_offset.bin")[0];
        byte[] expectedCodes = Golden.Bytes("bnb/nested_codes.bin");
        float[] expectedSecond = Golden.Floats("bnb/nested_absmax2.bin");
        float[] expected = Golden.Floats("bnb/nested_dec.bin");
        foreach (SimdTier tier in SimdTiers.Supported)
        {
            float[] scales = [.. absmax];
            byte[] codes = new byte[scales.Length];
            float[] second = new float[expectedSecond.Length];
            NestedScales.Encode(scales, offset, codes, second, tier);
            Assert.Equal(expectedCodes, codes);
            Assert.Equal(expectedSecond, second);
            NestedScales.Decode(codes, second, offset, scales, tier);
            Assert.Equal(expected, scales);
        }

        // The mean differs from the oracle's by its order of summation only.
        Assert.Equal(offset, NestedScales.Offset(absmax), 1e-6f);
    }

    [Theory]
    [InlineData("nf4")]
    [InlineData("fp4")]
    [InlineData("dyn8")]
    public void Encode_of_every_value_and_around_every_threshold_is_the_definition(string id)
    {
        Codebook book = id switch
        {
            "nf4" => Codebook.Nf4,
            "fp4" => Codebook.Fp4,
            _ => Codebook.Dynamic8,
        };
        var inputs = new List<float>(book.Values);
        foreach (float threshold in book.Thresholds[..(book.Codes.Length - 1)])
        {
            inputs.AddRange([threshold, MathF.BitIncrement(threshold), MathF.BitDecrement(threshold)]);
        }

        // A block whose largest magnitude is 1 leaves values as they are; each value gets a block of its own beside a 1.
        foreach (float value in inputs.Where(v => MathF.Abs(v) <= 1))
        {
            float[] row = new float[128];
            row[0] = 1;
            row[17] = value;
            row[64] = -1;
            row[65] = value;
            float expected = Nearest(book, value);
            foreach (SimdTier tier in SimdTiers.Supported)
            {
                IBoundNumberFormat bound = ((ITieredFormat)NumberFormats.Get(id)).Bind(new UnitSpec(id), new Shape(row.Length), tier);
                byte[] codes = new byte[bound.Streams[0].BytesPerRow];
                byte[] scales = new byte[bound.Streams[1].BytesPerRow];
                float[] back = new float[row.Length];
                bound.EncodeRows(row, 1, [codes, scales]);
                bound.DecodeRows([codes, scales], 1, back);
                Assert.Equal(1f, MemoryMarshal.Read<float>(scales));
                Assert.True(expected == back[17] && expected == back[65], $"{id}: {value:R} on {tier} became {back[17]:R}, {back[65]:R} instead of {expected:R}");
            }
        }
    }

    [Theory]
    [InlineData("nf4(block=100)")]
    [InlineData("nf4(block=32)")]
    [InlineData("dyn8(block=8192)")]
    [InlineData("fp4(nested=1)")]
    public void Bind_wrongArguments_isMP1022(string spec) =>
        Assert.Equal(ErrorCodes.BadUnitArgument, Assert.Throws<ModelPackException>(() => NumberFormats.Bind(UnitSpec.Parse(spec), new Shape(4, 64))).Code);

    /// <summary>Nearest value; the lower one on a midpoint as rounded to f32.</summary>
    private static float Nearest(Codebook book, float value)
    {
        float[] sorted = [.. book.Values.Distinct().Order()];
        int rank = 0;
        while (rank + 1 < sorted.Length && (sorted[rank] + sorted[rank + 1]) / 2 < value)
        {
            rank++;
        }

        return sorted[rank];
    }
}
