using System.Runtime.InteropServices;
using ModelPack.Numbers;
using Xunit;

namespace ModelPack.Tests.Numbers;

/// <summary>NVFP4 against vectors of an exact-arithmetic implementation checked with Transformer Engine, on every tier.</summary>
[Trait("Category", "Simd")]
public sealed class Nvfp4GoldenTests
{
    [Theory]
    [InlineData("normal", 16, 200)]
    [InlineData("heavy", 16, 160)]
    [InlineData("zeros", 16, 100)]
    [InlineData("ties", 32, 64)]
    [InlineData("just_below_pow2", 32, 33)]
    [InlineData("row7", 5, 7)]
    public void Global_scale_scales_codes_and_values_equal_golden(string input, int rows, int columns)
    {
        var shape = new Shape(rows, columns);
        float[] values = Golden.Floats($"mx/{input}_in.bin");
        byte[] scales = Golden.Bytes($"nvfp4/{input}_scales.bin");
        byte[] packed = Golden.Bytes($"nvfp4/{input}_packed.bin");
        byte[] codes = Golden.Bytes($"nvfp4/{input}_codes.bin");
        float[] decoded = Golden.Floats($"nvfp4/{input}_dec.bin");
        UnitSpec spec = NumberFormats.Complete(new UnitSpec("nvfp4"), new RawValueReader(DType.F32, shape, TensorData.FromBytes(MemoryMarshal.AsBytes<float>(values).ToArray())));

        Assert.Equal(Golden.Floats($"nvfp4/{input}_gscale.bin")[0], SpecNumbers.Read(spec, "global"));
        foreach (SimdTier tier in SimdTiers.Supported)
        {
            IBoundNumberFormat bound = new Nvfp4Format().Bind(spec, shape, tier);
            byte[] actualCodes = new byte[packed.Length];
            byte[] actualScales = new byte[scales.Length];
            float[] back = new float[values.Length];
            bound.EncodeRows(values, rows, [actualCodes, actualScales]);
            Assert.Equal(scales, actualScales);
            int rowBytes = packed.Length / rows;
            int blocks = scales.Length / rows;
            for (int i = 0; i < values.Length; i++)
            {
                int code = CodePacking.Get(actualCodes.AsSpan(i / columns * rowBytes, rowBytes), i % columns, 4);
                bool zeroScale = scales[(i / columns * blocks) + (i % columns / 16)] == 0;
                Assert.True(zeroScale || code == codes[i], $"{input} on {tier}: code {code} instead of {codes[i]} at {i}");
            }

            bound.DecodeRows([actualCodes, actualScales], rows, back);
            AssertSame(decoded, back, tier);
            bound.DecodeRows([packed, scales], rows, back);
            AssertSame(decoded, back, tier);
        }
    }

    private static void AssertSame(float[] expected, float[] actual, SimdTier tier) =>
        Assert.All(Enumerable.Range(0, expected.Length), i => Assert.True(Golden.SameValue(expected[i], actual[i]), $"value {i} on {tier} is {actual[i]:R} instead of {expected[i]:R}"));
}
