using System.Runtime.InteropServices;
using ModelPack.Numbers;
using ModelPack.Testing;
using Xunit;

namespace ModelPack.Tests.Numbers;

public sealed class IntBlockFormatTests
{
    [Fact]
    public void EncodeRows_handComputedRow_hasTheBytesOfTheSpecification()
    {
        // amax 7 in the first block: scale 1. 2.5 and 3.5 are ties and go to even; -7 is code 1. The second block is padded with code 8.
        float[] row = [7, -7, 2.5f, 3.5f, 0, -0f, 1, -1, 0.5f, -0.5f, 6.6f, 0, 0, 0, 0, 0, 14];
        byte[][] streams = Encode("int4(block=16)", row);

        byte[] expected = [0x1F, 0xCA, 0x88, 0x79, 0x88, 0x8F, 0x88, 0x88, 0x8F, 0x88, 0x88, 0x88, 0x88, 0x88, 0x88, 0x88];
        Assert.Equal(expected, streams[0]);
        Assert.Equal([1f, 2f], MemoryMarshal.Cast<byte, float>(streams[1]).ToArray());
    }

    [Fact]
    public void EncodeRows_asymmetricRow_hasAnIntegerZeroPoint()
    {
        // Range [-5, 10] with 15 steps: scale 1, zero point 5; the block of only positive values starts at zero.
        float[] row = [-5, 10, 0, 1, .. new float[12], 3, 6, 15, .. new float[13]];
        byte[][] streams = Encode("int4(block=16,symmetric=false)", row);

        Assert.Equal([1f, 1f], MemoryMarshal.Cast<byte, float>(streams[1]).ToArray());
        Assert.Equal([0x05], streams[2]);
        Assert.Equal([0xF0, 0x65], streams[0][..2]);
        Assert.Equal([0x63, 0x0F], streams[0][8..10]);
    }

    [Fact]
    public void EncodeRows_scaleOf16Bits_codesUseTheRoundedScale()
    {
        // amax/7 rounds up to bf16: codes must come from the stored scale.
        float[] row = new float[16];
        row[0] = 7 * 1.00390625f;
        row[1] = 3.5f * 1.0039f;
        byte[][] streams = Encode("int4(block=16,scale=bf16)", row);
        float scale = HalfWidthReference.WidenBf16(BitConverter.ToUInt16(streams[1]));

        Assert.Equal(1f, scale);
        Assert.Equal(0x8 + 4, streams[0][0] >> 4);
    }

    [Fact]
    public void EncodeRows_blockOfZeros_hasScaleOne_and_decodesToZero()
    {
        byte[][] streams = Encode("int4(block=16)", new float[32]);

        Assert.All(streams[0], b => Assert.Equal(0x88, b));
        Assert.Equal([1f, 1f], MemoryMarshal.Cast<byte, float>(streams[1]).ToArray());
    }

    [Theory]
    [InlineData("int2(block=48,symmetric=false,zeros=float)", 48)]
    [InlineData("int3(block=16,symmetric=false,zeros=float)", 16)]
    [InlineData("int8(block=row,symmetric=false,zeros=float)", 200)]
    public void Float_zero_points_keep_one_sided_blocks_within_half_a_step(string spec, int block)
    {
        // All values far from zero: an integer zero point would waste most codes.
        float[] values = [.. Values.Weights(5, 400).Select(v => v + 3f)];
        IBoundNumberFormat bound = NumberFormats.Bind(UnitSpec.Parse(spec), new Shape(2, 200));
        byte[][] streams = [.. bound.Streams.Select(s => new byte[s.BytesPerRow * 2])];
        float[] back = new float[values.Length];
        bound.EncodeRows(values, 2, [.. streams.Select(s => new Memory<byte>(s))]);
        bound.DecodeRows([.. streams.Select(s => new ReadOnlyMemory<byte>(s))], 2, back);
        float[] scales = System.Runtime.InteropServices.MemoryMarshal.Cast<byte, float>(streams[1]).ToArray();
        int blocks = (200 + block - 1) / block;
        for (int i = 0; i < values.Length; i++)
        {
            float scale = scales[(i / 200 * blocks) + (i % 200 / block)];
            Assert.InRange(MathF.Abs(back[i] - values[i]), 0, (scale * 0.5f) + 2e-6f);
        }
    }

    [Fact]
    public void Float_zero_points_keep_constant_blocks_exactly()
    {
        float[] values = [.. Enumerable.Repeat(-0.3f, 40)];
        IBoundNumberFormat bound = NumberFormats.Bind(UnitSpec.Parse("int4(symmetric=false,zeros=float)"), new Shape(1, 40));
        byte[][] streams = [.. bound.Streams.Select(s => new byte[s.BytesPerRow])];
        float[] back = new float[values.Length];
        bound.EncodeRows(values, 1, [.. streams.Select(s => new Memory<byte>(s))]);
        bound.DecodeRows([.. streams.Select(s => new ReadOnlyMemory<byte>(s))], 1, back);
        Assert.Equal(values, back);
    }

    [Theory]
    [InlineData(2, 96)]
    [InlineData(3, 37)]
    [InlineData(5, 96)]
    [InlineData(7, 50)]
    [InlineData(8, 33)]
    public void Bit_planes_hold_the_bits_of_the_packed_codes(int bits, int columns)
    {
        float[] values = Values.Weights(6, columns);
        (byte[][] packed, float[] expected) = RoundTrip($"int{bits}(block=48)", values);
        (byte[][] planes, float[] actual) = RoundTrip($"int{bits}(block=48,layout=planes)", values);
        Assert.Equal(expected, actual);
        Assert.Equal(packed[1], planes[1]);
        for (int i = 0; i < columns; i++)
        {
            int block = i / 48;
            int code = CodePacking.Get(packed[0].AsSpan(block * 6 * bits, 6 * bits), i % 48, bits);
            for (int p = 0; p < bits; p++)
            {
                Assert.Equal((code >> p) & 1, (planes[0][(block * 6 * bits) + (p * 6) + (i % 48 / 8)] >> (i % 8)) & 1);
            }
        }
    }

    /// <summary>Scales that were rounded up made the largest f32 infinite; so did the code below it where a range is symmetric and the zero point rounded up.</summary>
    [Fact]
    public void Blocks_of_the_largest_values_stay_finite()
    {
        float[][] blocks = [[float.MaxValue], [-float.MaxValue], [float.MaxValue, -float.MaxValue], [MathF.BitDecrement(float.MaxValue), -3e38f], [1e38f, -float.MaxValue], [3.39e38f, -1.5e38f]];
        for (int bits = 2; bits <= 8; bits++)
        {
            foreach (string rest in new[] { "", ",scale=bf16", ",scale=f16", ",search=mse", ",symmetric=false", ",symmetric=false,scale=bf16", ",symmetric=false,search=mse" })
            {
                foreach (float[] block in blocks)
                {
                    float[] values = [.. block, .. Enumerable.Repeat(0f, 33 - block.Length)];
                    float[] back = RoundTrip($"int{bits}(block=16{rest})", values).Values;
                    Assert.All(back, v => Assert.True(float.IsFinite(v), $"int{bits}(block=16{rest}): {string.Join(' ', block)} became {string.Join(' ', back[..2])}"));
                    if (bits > 2 && !rest.Contains("f16,", StringComparison.Ordinal) && !rest.EndsWith("=f16", StringComparison.Ordinal))
                    {
                        // Within one step of the range.
                        double step = (Math.Max(block.Max(), 0) - (double)Math.Min(block.Min(), 0)) / ((1 << (bits - 1)) - 1);
                        Assert.All(Enumerable.Range(0, block.Length), i => Assert.InRange(Math.Abs((double)back[i] - block[i]), 0, step * 1.01));
                    }
                }
            }
        }
    }

    private static (byte[][] Streams, float[] Values) RoundTrip(string spec, float[] values)
    {
        IBoundNumberFormat bound = NumberFormats.Bind(UnitSpec.Parse(spec), new Shape(values.Length));
        byte[][] streams = [.. bound.Streams.Select(s => new byte[s.BytesPerRow])];
        float[] back = new float[values.Length];
        bound.EncodeRows(values, 1, [.. streams.Select(s => new Memory<byte>(s))]);
        bound.DecodeRows([.. streams.Select(s => new ReadOnlyMemory<byte>(s))], 1, back);
        return (streams, back);
    }

    [Theory]
    [InlineData("f16", 1e-6f)]
    [InlineData("f16", 1e-9f)]
    [InlineData("f16", 1e9f)]
    [InlineData("bf16", 1e-40f)]
    [InlineData("f32", 1e-44f)]
    [InlineData("f32", 3e38f)]
    public void EncodeRows_scalesAtTheEndsOfTheirType_clampInsteadOfWrapping(string scale, float amax)
    {
        float[] row = [amax, -amax, amax / 2, .. new float[13]];
        foreach (string rest in new[] { "", ",symmetric=false", ",search=mse" })
        {
            float[] decoded = Decode($"int8(block=16,scale={scale}{rest})", row);

            Assert.True(decoded[0] >= 0 && decoded[1] <= 0 && float.IsFinite(decoded[0]) && float.IsFinite(decoded[1]), $"{scale}{rest}: {decoded[0]}, {decoded[1]}");
            Assert.All(decoded[3..], v => Assert.Equal(0f, v));
        }
    }

    [Theory]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(4)]
    [InlineData(8)]
    public void Search_isNeverWorse_and_usuallyBetter(int bits)
    {
        foreach (string rest in new[] { "", ",symmetric=false", ",scale=f16", ",scale=bf16,symmetric=false" })
        {
            int better = 0;
            for (ulong seed = 1; seed <= 60; seed++)
            {
                float factor = rest.Contains("=f16", StringComparison.Ordinal) ? 1 : MathF.Pow(10, ((int)(seed % 7) * 6) - 18);
                float[] row = [.. Values.Weights(seed, 32).Select(v => v * factor)];
                double plain = SquaredError(row, Decode($"int{bits}(block=32{rest})", row));
                double searched = SquaredError(row, Decode($"int{bits}(block=32{rest},search=mse)", row));
                Assert.True(searched <= plain, $"int{bits}{rest}, seed {seed}: {searched} is worse than {plain}");
                better += searched < plain ? 1 : 0;
            }

            Assert.True(better > (bits == 8 ? 5 : 20), $"int{bits}{rest}: better in {better} of 60 blocks only");
        }
    }

    [Fact]
    public void DecodeRows_scaleThatIsNotFinite_isMP1023()
    {
        IBoundNumberFormat format = NumberFormats.Bind(UnitSpec.Parse("int4(scale=f16)"), new Shape(2, 64));
        byte[] scales = new byte[8];
        scales[5] = 0x7C;

        ModelPackException error = Assert.Throws<ModelPackException>(() => format.DecodeRows([new byte[64], scales], 2, new float[128]));

        Assert.Equal(ErrorCodes.BadStream, error.Code);
        Assert.Contains("block 0 in row 1", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void EncodeRows_nan_isMP1040_withItsPlace()
    {
        IBoundNumberFormat format = NumberFormats.Bind(UnitSpec.Parse("int4"), new Shape(2, 64));
        float[] values = new float[128];
        values[64 + 37] = float.NaN;

        ModelPackException error = Assert.Throws<ModelPackException>(() => format.EncodeRows(values, 2, [new byte[64], new byte[16]]));

        Assert.Equal(ErrorCodes.UnrepresentableValue, error.Code);
        Assert.Contains("row 1, column 37", error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("int4(block=8)")]
    [InlineData("int4(block=40)")]
    [InlineData("int4(zeros=float)")]
    [InlineData("int4(symmetric=false,zeros=float,search=mse)")]
    [InlineData("int4(symmetric=false,zeros=none)")]
    [InlineData("int4(layout=rows)")]
    [InlineData("int4(block=131072)")]
    [InlineData("int4(block=x)")]
    [InlineData("int4(scale=f64)")]
    [InlineData("int4(search=best)")]
    [InlineData("int4(symmetric=1)")]
    public void Bind_wrongArguments_areMP1022(string spec) =>
        Assert.Equal(ErrorCodes.BadUnitArgument, Assert.Throws<ModelPackException>(() => NumberFormats.Bind(UnitSpec.Parse(spec), new Shape(4, 64))).Code);

    [Fact]
    public void Bind_zeroBlock_meansTheWholeRow()
    {
        IBoundNumberFormat format = NumberFormats.Bind(UnitSpec.Parse("int8(block=0)"), new Shape(3, 50));

        Assert.Equal("int8(block=row,scale=f32,search=none,symmetric=true)", format.Spec.ToString());
        Assert.Equal([50L, 4L], format.Streams.Select(s => s.BytesPerRow));
    }

    [Fact]
    public void FitsHalf_followsTheSmallest_and_largestScales()
    {
        Assert.True(Fits("int4", Values.Weights(1, 256)));
        Assert.True(Fits("int4", new float[256]));
        Assert.True(Fits("int4(symmetric=false)", Values.Weights(1, 256)));
        Assert.False(Fits("int4", [.. Enumerable.Repeat(1e-4f, 256)]));
        Assert.False(Fits("int4", [.. Values.Weights(1, 224), .. Enumerable.Repeat(1e6f, 32)]));
        Assert.True(Fits("int8", [.. Enumerable.Repeat(0.008f, 256)]));
        Assert.False(Fits("int8(search=mse)", [.. Enumerable.Repeat(0.008f, 256)]));
        Assert.True(IntBlockScales.FitsHalf(Reader(Values.Weights(1, 256)), block: 32, bits: 4));
        Assert.Equal(ErrorCodes.UnknownUnit, Assert.Throws<ModelPackException>(() => Fits("bf16", new float[256])).Code);
        Assert.Equal(ErrorCodes.UnrepresentableValue, Assert.Throws<ModelPackException>(() => Fits("int4", [.. Enumerable.Repeat(float.NaN, 256)])).Code);
    }

    private static bool Fits(string spec, float[] values) => IntBlockScales.FitsHalf(Reader(values), UnitSpec.Parse(spec));

    private static RawValueReader Reader(float[] values) =>
        new(DType.F32, new Shape(4, values.Length / 4), TensorData.FromBytes(MemoryMarshal.AsBytes<float>(values).ToArray()));

    private static byte[][] Encode(string spec, float[] row)
    {
        IBoundNumberFormat format = NumberFormats.Bind(UnitSpec.Parse(spec), new Shape(1, row.Length));
        byte[][] streams = [.. format.Streams.Select(s => new byte[s.BytesPerRow])];
        format.EncodeRows(row, 1, [.. streams.Select(s => new Memory<byte>(s))]);
        return streams;
    }

    private static float[] Decode(string spec, float[] row)
    {
        IBoundNumberFormat format = NumberFormats.Bind(UnitSpec.Parse(spec), new Shape(1, row.Length));
        float[] values = new float[row.Length];
        format.DecodeRows([.. Encode(spec, row).Select(s => new ReadOnlyMemory<byte>(s))], 1, values);
        return values;
    }

    private static double SquaredError(float[] expected, float[] actual)
    {
        double sum = 0;
        for (int i = 0; i < expected.Length; i++)
        {
            double error = (double)expected[i] - actual[i];
            sum += error * error;
        }

        return sum;
    }
}
