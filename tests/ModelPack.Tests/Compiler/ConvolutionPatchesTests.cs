using ModelPack.Compiler.Calibration;
using ModelPack.Testing;
using Xunit;

namespace ModelPack.Tests.Compiler;

/// <summary>Patches times filters are the convolution, by its definition.</summary>
public sealed class ConvolutionPatchesTests
{
    [Theory]
    [InlineData("3x3", "1x1", "1x1", "1x1x1x1", 7, 9)]
    [InlineData("3x2", "2x1", "1x2", "0x1x2x0", 7, 9)]
    [InlineData("1x1", "1x1", "1x1", "0x0x0x0", 4, 5)]
    [InlineData("5x3", "2x3", "1x1", "same_upper", 8, 10)]
    [InlineData("4x3", "2x2", "1x1", "same_lower", 9, 6)]
    [InlineData("3x3", "1x1", "3x3", "same_upper", 6, 6)]
    public void Gather_timesFilters_isTheConvolution(string kernel, string strides, string dilations, string pads, int height, int width)
    {
        const int batch = 2, channels = 6, first = 2, taken = 3;
        float[] x = Values.Weights(1, batch * channels * height * width);
        var patches = new ConvolutionPatches(kernel, strides, dilations, pads, first, taken, int.MaxValue);
        float[] filter = Values.Weights(2, patches.Columns);
        float[] rows = patches.Gather("x", x, [batch, channels, height, width]);
        float[] actual = [.. Enumerable.Range(0, rows.Length / patches.Columns).Select(p => Enumerable.Range(0, patches.Columns).Sum(k => rows[(p * patches.Columns) + k] * filter[k]))];

        int[] k = [.. kernel.Split('x').Select(int.Parse)];
        int[] s = [.. strides.Split('x').Select(int.Parse)];
        int[] d = [.. dilations.Split('x').Select(int.Parse)];
        (int top, int outHeight) = Axis(height, k[0], s[0], d[0], pads, 0);
        (int left, int outWidth) = Axis(width, k[1], s[1], d[1], pads, 1);
        var expected = new List<float>();
        for (int b = 0; b < batch; b++)
        {
            for (int y = 0; y < outHeight; y++)
            {
                for (int z = 0; z < outWidth; z++)
                {
                    float sum = 0;
                    for (int c = 0; c < taken; c++)
                    {
                        for (int i = 0; i < k[0]; i++)
                        {
                            for (int j = 0; j < k[1]; j++)
                            {
                                int row = (y * s[0]) + (i * d[0]) - top;
                                int column = (z * s[1]) + (j * d[1]) - left;
                                bool inside = row >= 0 && row < height && column >= 0 && column < width;
                                sum += inside ? x[(((((b * channels) + first + c) * height) + row) * width) + column] * filter[(((c * k[0]) + i) * k[1]) + j] : 0;
                            }
                        }
                    }

                    expected.Add(sum);
                }
            }
        }

        Assert.Equal(expected.Count, actual.Length);
        for (int i = 0; i < actual.Length; i++)
        {
            Assert.Equal(expected[i], actual[i], 1e-5);
        }
    }

    [Fact]
    public void Gather_oneSpatialAxis_isASlidingWindow()
    {
        var patches = new ConvolutionPatches("3", "1", "1", "1x0", 0, 1, 100);

        Assert.Equal([0, 1, 2, 1, 2, 3, 2, 3, 4], patches.Gather("x", [1, 2, 3, 4], [1, 1, 4]));
    }

    [Fact]
    public void Gather_fewerPositions_areEvenlySpread()
    {
        float[] x = Values.Weights(3, 2 * 20);
        float[] all = new ConvolutionPatches("1", "1", "1", "0x0", 0, 1, 100).Gather("x", x, [2, 1, 20]);
        float[] some = new ConvolutionPatches("1", "1", "1", "0x0", 0, 1, 8).Gather("x", x, [2, 1, 20]);

        Assert.Equal([.. Enumerable.Range(0, 8).Select(i => all[i * 5])], some);
    }

    [Theory]
    [InlineData(1, 6, 20)]
    [InlineData(1, 3, 4, 5, 6)]
    [InlineData(2, 5, 4, 5)]
    public void Gather_noSuchImage_isMP2212(params int[] dims)
    {
        var patches = new ConvolutionPatches("3x3", "1x1", "1x1", "0x0x0x0", 2, 4, 10);

        ModelPackException error = Assert.Throws<ModelPackException>(() => patches.Gather("hidden", new float[dims.Aggregate(1, (p, v) => p * v)], [.. dims.Select(v => (long)v)]));
        Assert.Equal(ErrorCodes.CalibrationShape, error.Code);
        Assert.Contains("'hidden'", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Gather_kernelLargerThanTheImage_givesNothing() => Assert.Empty(new ConvolutionPatches("3", "1", "1", "0x0", 0, 1, 10).Gather("x", [1, 2], [1, 1, 2]));

    private static (int Before, int Outputs) Axis(int size, int kernel, int stride, int dilation, string pads, int axis)
    {
        int reach = ((kernel - 1) * dilation) + 1;
        if (pads.StartsWith("same", StringComparison.Ordinal))
        {
            int outputs = (int)Math.Ceiling(size / (double)stride);
            int total = Math.Max(0, ((outputs - 1) * stride) + reach - size);
            return (pads == "same_upper" ? total / 2 : (total + 1) / 2, outputs);
        }

        int[] all = [.. pads.Split('x').Select(int.Parse)];
        return (all[axis], ((size + all[axis] + all[axis + 2] - reach) / stride) + 1);
    }
}
