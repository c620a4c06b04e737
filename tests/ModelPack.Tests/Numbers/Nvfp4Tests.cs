using System.Numerics;
using System.Runtime.InteropServices;
using ModelPack.Numbers;
using ModelPack.Testing;
using Xunit;

namespace ModelPack.Tests.Numbers;

[Trait("Category", "Simd")]
public sealed class Nvfp4Tests
{
    /// <summary>Values on and beside every tie of every scale, for global scales of every size, against exact integer arithmetic.</summary>
    [Theory]
    [InlineData(1f)]
    [InlineData(4.4642857E-05f)]
    [InlineData(0.1f)]
    [InlineData(1.2659886E+35f)]
    [InlineData(1.1754944E-38f)]
    [InlineData(1E-43f)]
    [InlineData(float.Epsilon)]
    public void Encode_beside_every_tie_is_exact(float global)
    {
        double[] ties = [0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5];
        float[] elements = ElementFormat.E2M1.Values;
        foreach (int scale in new[] { 1, 7, 8, 0x1B, 0x38, 0x55, 0x7D, 0x7E })
        {
            // The first value makes the scale; E4M3(6·s·g / 6 / g) is s unless g is subnormal.
            float largest = (float)(6.0 * ElementFormat.E4M3.Values[scale] * global);
            float[] row = new float[32];
            row[0] = row[16] = float.IsFinite(largest) ? largest : float.MaxValue;
            for (int k = 0; k < 7; k++)
            {
                float tie = (float)(ties[k] * ElementFormat.E4M3.Values[scale] * global);
                (row[1 + k], row[8 + k], row[17 + k]) = (tie, MathF.BitIncrement(tie), -MathF.BitDecrement(tie));
            }

            for (int i = 0; i < row.Length; i++)
            {
                row[i] = Math.Clamp(row[i], -float.MaxValue, float.MaxValue);
            }

            foreach (SimdTier tier in SimdTiers.Supported)
            {
                IBoundNumberFormat bound = Bind(global, row.Length, tier);
                byte[] codes = new byte[16];
                byte[] scales = new byte[2];
                bound.EncodeRows(row, 1, [codes, scales]);
                for (int i = 0; i < row.Length; i++)
                {
                    int code = CodePacking.Get(codes, i, 4);
                    int expected = Nearest(row[i], ElementFormat.E4M3.Values[scales[i / 16]], global, elements);
                    Assert.True(scales[i / 16] == 0 ? code == 0 : code == expected, $"global {global:R}, scale {scales[i / 16]:X2} on {tier}: {row[i]:R} became {code} instead of {expected}");
                }
            }
        }
    }

    [Fact]
    public void Complete_takes_the_largest_magnitude_of_all_rows_and_refuses_NaN()
    {
        float[] values = Values.Weights(4, 3 * 100_000);
        values[250_000] = -26.88f;
        var shape = new Shape(3, 100_000);
        Assert.Equal("nvfp4(global=" + SpecNumbers.Text(26.88f / 2688f) + ")", Complete(values, shape).ToString());
        Assert.Equal("nvfp4(global=1)", Complete(new float[8], new Shape(8)).ToString());
        Assert.Equal("nvfp4(global=1E-45)", Complete([float.Epsilon], new Shape(1)).ToString());

        values[99] = float.NaN;
        Assert.Equal(ErrorCodes.UnrepresentableValue, Assert.Throws<ModelPackException>(() => Complete(values, shape)).Code);
    }

    [Fact]
    public void Rows_without_a_global_scale_are_refused()
    {
        IBoundNumberFormat bound = NumberFormats.Bind(new UnitSpec("nvfp4"), new Shape(16));
        Assert.Equal(ErrorCodes.BadEncoding, Assert.Throws<ModelPackException>(() => bound.EncodeRows(new float[16], 1, [new byte[8], new byte[1]])).Code);
        Assert.Equal(ErrorCodes.BadStream, Assert.Throws<ModelPackException>(() => bound.DecodeRows([new byte[8], new byte[1]], 1, new float[16])).Code);
    }

    /// <summary>The code by comparing integers: all numbers involved are multiples of 2^-200.</summary>
    private static int Nearest(float value, float scale, float global, float[] elements)
    {
        BigInteger x = BigInteger.Abs(Fixed(value)) << 400;
        BigInteger unit = Fixed(scale) * Fixed(global);
        int code = 0;
        while (code < 7)
        {
            // In units of 2^-600.
            BigInteger tie = Fixed((elements[code] + elements[code + 1]) / 2) * unit;
            if (x < tie || (x == tie && (code & 1) == 0))
            {
                break;
            }

            code++;
        }

        return float.IsNegative(value) ? code | 8 : code;
    }

    /// <summary>value · 2^200.</summary>
    private static BigInteger Fixed(float value)
    {
        int bits = BitConverter.SingleToInt32Bits(value);
        int exponent = Math.Max((bits >> 23) & 0xFF, 1);
        int significand = (bits & 0x7FFFFF) | (((bits >> 23) & 0xFF) > 0 ? 0x800000 : 0);
        BigInteger result = (BigInteger)significand << (exponent - 150 + 200);
        return value < 0 ? -result : result;
    }

    private static IBoundNumberFormat Bind(float global, int length, SimdTier tier) =>
        new Nvfp4Format().Bind(new UnitSpec("nvfp4", ("global", SpecNumbers.Text(global))), new Shape(length), tier);

    private static UnitSpec Complete(float[] values, Shape shape) =>
        NumberFormats.Complete(new UnitSpec("nvfp4"), new RawValueReader(DType.F32, shape, TensorData.FromBytes(MemoryMarshal.AsBytes<float>(values).ToArray())));
}
