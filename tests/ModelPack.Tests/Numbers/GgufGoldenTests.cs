using ModelPack.Numbers;
using Xunit;

namespace ModelPack.Tests.Numbers;

/// <summary>GGUF blocks against ggml's reference quantisers, bit for bit.</summary>
[Trait("Category", "Simd")]
public sealed class GgufGoldenTests
{
    public static TheoryData<string, string> Cases()
    {
        var data = new TheoryData<string, string>();
        foreach (string input in new[] { "normal", "small", "ternary", "zeros" })
        {
            foreach (string type in new[] { "q4_0", "q8_0", "q4_K", "q6_K", "tq1_0", "tq2_0", "mxfp4", "nvfp4" })
            {
                data.Add(input, type);
            }
        }

        return data;
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public void Decode_equals_golden_on_every_tier(string input, string type)
    {
        byte[] blocks = Golden.Bytes($"gguf/{input}_{type}.bin");
        float[] expected = Golden.Floats($"gguf/{input}_{type}_dec.bin");
        foreach (SimdTier tier in SimdTiers.Supported)
        {
            float[] values = new float[expected.Length];
            Bind(type, expected.Length, tier).DecodeRows([blocks], 1, values);
            for (int i = 0; i < expected.Length; i++)
            {
                Assert.True(Golden.SameValue(expected[i], values[i]) || (expected[i] == 0 && values[i] == 0), $"{type} of {input} on {tier}: value {i} is {values[i]:R} instead of {expected[i]:R}");
            }
        }
    }

    /// <summary>MXFP4 and NVFP4 follow the OCP and NVIDIA rules instead of ggml's rounding.</summary>
    [Theory]
    [MemberData(nameof(Cases))]
    public void Encode_equals_golden(string input, string type)
    {
        float[] values = Golden.Floats($"gguf/{input}_in.bin");
        byte[] expected = Golden.Bytes($"gguf/{input}_{type}.bin");
        IBoundNumberFormat bound = Bind(type, values.Length, SimdTiers.Current);
        byte[] blocks = new byte[bound.Streams[0].BytesPerRow];
        bound.EncodeRows(values, 1, [blocks]);
        if (type is "mxfp4" or "nvfp4")
        {
            // No worse than ggml's own blocks.
            Assert.InRange(SquaredError(bound, blocks, values), 0, (SquaredError(bound, expected, values) * 1.02) + 1e-30);
            return;
        }

        Assert.Equal(expected, blocks);
    }

    [Fact]
    public void Mxfp4_scale_of_values_just_below_a_power_of_two_is_the_power_below()
    {
        float[] values = new float[32];
        values[3] = MathF.BitDecrement(8f);
        byte[] block = new byte[17];
        Bind("mxfp4", 32, SimdTiers.Current).EncodeRows(values, 1, [block]);
        Assert.Equal(127 + 2 - 2, block[0]);
        float[] back = new float[32];
        Bind("mxfp4", 32, SimdTiers.Current).DecodeRows([block], 1, back);
        Assert.Equal(6f, back[3]);
    }

    [Theory]
    [InlineData("q4_0")]
    [InlineData("q8_0")]
    [InlineData("q4_K")]
    [InlineData("q6_K")]
    [InlineData("tq1_0")]
    public void Encode_of_values_beyond_f16_scales_isMP1040(string type)
    {
        IBoundNumberFormat bound = Bind(type, 256, SimdTiers.Current);
        float[] values = new float[256];
        values[5] = 1e30f;
        values[7] = -1e30f;
        ModelPackException e = Assert.Throws<ModelPackException>(() => bound.EncodeRows(values, 1, [new byte[bound.Streams[0].BytesPerRow]]));
        Assert.Equal(ErrorCodes.UnrepresentableValue, e.Code);
    }

    private static double SquaredError(IBoundNumberFormat bound, byte[] blocks, float[] values)
    {
        float[] back = new float[values.Length];
        bound.DecodeRows([blocks], 1, back);
        return values.Zip(back, (a, b) => ((double)a - b) * ((double)a - b)).Sum();
    }

    private static IBoundNumberFormat Bind(string type, int length, SimdTier tier)
    {
        string id = $"gguf-{type.ToLowerInvariant()}";
        return ((ITieredFormat)NumberFormats.Get(id)).Bind(new UnitSpec(id), new Shape(length), tier);
    }
}
