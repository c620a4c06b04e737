using System.Runtime.InteropServices;
using ModelPack.Kernels;
using ModelPack.Kernels.Convolution;
using ModelPack.Kernels.MatMul;
using ModelPack.Testing;
using Xunit;

namespace ModelPack.Tests.Kernels;

/// <summary>Convolutions with packed weights, beside products of rows that the test gathers itself, place by place.</summary>
public sealed unsafe class ConvolutionTests
{
    private const int Channels = 13;
    private const int Outputs = 83;

    public static TheoryData<string, int, int, string> Cases()
    {
        var cases = new TheoryData<string, int, int, string>();
        foreach ((string window, int height, int width) in new[]
        {
            ("1,1,1,0,0 1,1,1,0,0", 9, 17),
            ("1,1,1,0,0 1,1,1,0,0", 1, 1),
            ("3,1,1,1,1 3,1,1,1,1", 9, 17),
            ("3,1,1,0,0 3,1,1,0,0", 16, 16),
            ("3,1,1,1,1 3,1,1,1,1", 1, 2),
            ("3,2,1,1,0 3,2,1,0,1", 15, 20),
            ("1,2,1,0,0 1,2,1,0,0", 8, 31),
            ("3,1,2,2,2 2,1,3,1,4", 7, 30),
            ("1,1,1,0,0 5,1,1,2,2", 1, 150),
            ("5,3,2,7,3 4,2,1,0,6", 11, 10),
            ("2,1,1,0,1 2,2,1,1,0", 5, 6),
        })
        {
            foreach (string format in new[] { "int8", "int4 f32", "mxfp4", "fp8", "fp8 f32", "bf16" })
            {
                cases.Add(window, height, width, format);
            }
        }

        return cases;
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public void Outputs_are_the_products_of_gathered_rows(string window, int height, int width, string format)
    {
        ConvolutionWindow w = Window(window);
        using var kernel = new Kernel(format, Channels * (int)w.Taps, Outputs);
        float[] image = Values.Weights(3, Channels * height * width);
        float[] bias = Values.Weights(4, Outputs);
        (float[] rows, int places) = Gathered(image, height, width, w);
        float[] expected = kernel.Product(rows, places, bias);

        foreach (int shares in new[] { 1, 3 })
        {
            float[] y = kernel.Convolution(image, height, width, w, bias, Activation.None, shares);

            for (int p = 0; p < places; p++)
            {
                for (int o = 0; o < Outputs; o++)
                {
                    float e = expected[(p * Outputs) + o];
                    // One row alone is added in another order than several.
                    double tolerance = kernel.Arithmetic == MatMulArithmetic.Integer ? 0 : 2e-5 * (1 + Math.Abs(e));
                    Assert.True(Math.Abs(y[(o * places) + p] - e) <= tolerance, $"place {p} of {places}, output {o}: {y[(o * places) + p]}, not {e}");
                }
            }
        }
    }

    [Fact]
    public void Activation_comes_last()
    {
        ConvolutionWindow w = Window("3,1,1,1,1 3,1,1,1,1");
        using var kernel = new Kernel("int8", Channels * 9, Outputs);
        float[] image = Values.Weights(3, Channels * 14 * 11);
        float[] bias = Values.Weights(4, Outputs);

        float[] plain = kernel.Convolution(image, 14, 11, w, bias, Activation.None, 1);
        float[] y = kernel.Convolution(image, 14, 11, w, bias, Activation.HardSwish, 1);

        Assert.Contains(plain, v => v < -0.1);
        for (int i = 0; i < y.Length; i++)
        {
            Assert.Equal(ActivationReference.Of("hardswish", plain[i]), y[i], 1e-6);
        }
    }

    [Theory]
    [InlineData(float.NaN)]
    [InlineData(float.PositiveInfinity)]
    [InlineData(float.NegativeInfinity)]
    public void What_is_no_number_makes_no_number_of_its_place_alone(float value)
    {
        ConvolutionWindow w = Window("1,1,1,0,0 1,1,1,0,0");
        using var kernel = new Kernel("int8", Channels, Outputs);
        float[] image = Values.Weights(3, Channels * 40);
        image[(2 * 40) + 7] = value;

        float[] y = kernel.Convolution(image, 1, 40, w, null, Activation.None, 1);

        for (int i = 0; i < y.Length; i++)
        {
            Assert.Equal(i % 40 != 7, float.IsFinite(y[i]));
        }
    }

    [Fact]
    public void Places_of_zeros_give_the_bias()
    {
        ConvolutionWindow w = Window("1,1,1,0,0 1,1,1,0,0");
        using var kernel = new Kernel("mxfp4", Channels, Outputs);
        float[] bias = Values.Weights(4, Outputs);
        float[] y = kernel.Convolution(new float[Channels * 30], 5, 6, w, bias, Activation.None, 1);
        for (int i = 0; i < y.Length; i++)
        {
            Assert.Equal(bias[i / 30], y[i]);
        }
    }

    [Theory]
    [InlineData("0,1,1,0,0 1,1,1,0,0")]
    [InlineData("2,1,1,0,0 1,1,1,0,0")]
    [InlineData("1,1,1,-1,0 1,1,1,0,0")]
    [InlineData("1,0,1,0,0 1,1,1,0,0")]
    public void Windows_that_do_not_fit_the_weight_are_refused(string window)
    {
        using MatMulWeight weight = MatMulWeight.TryCreate(UnitSpec.Parse("int8(block=32)"), 16, 33)!;
        Assert.Throws<ArgumentException>(() => new ConvolutionRun(new MatMulRun(weight, MatMulArithmetic.Integer, KernelTiers.Current), Window(window), Activation.None, KernelTiers.Current));
    }

    [Theory]
    [InlineData(3, 1, 1, 0, 0, 2, 0)]
    [InlineData(3, 1, 1, 0, 0, 3, 1)]
    [InlineData(3, 2, 1, 1, 1, 8, 4)]
    [InlineData(3, 1, 2, 2, 2, 8, 8)]
    [InlineData(1, 1, 1, 0, 0, 0, 0)]
    public void Outputs_of_an_axis_are_counted_as_ONNX_does(int taps, int stride, int dilation, int before, int after, long inputs, long outputs) =>
        Assert.Equal(outputs, new ConvolutionAxis(taps, stride, dilation, before, after).Outputs(inputs));

    /// <summary>What Conv of ONNX multiplies for every place: [places, channels * taps].</summary>
    private static (float[] Rows, int Places) Gathered(float[] image, int height, int width, ConvolutionWindow w)
    {
        int lines = (int)w.Vertical.Outputs(height);
        int across = (int)w.Horizontal.Outputs(width);
        var rows = new List<float>();
        for (int y = 0; y < lines; y++)
        {
            for (int x = 0; x < across; x++)
            {
                for (int c = 0; c < Channels; c++)
                {
                    for (int v = 0; v < w.Vertical.Taps; v++)
                    {
                        for (int h = 0; h < w.Horizontal.Taps; h++)
                        {
                            int iy = (y * w.Vertical.Stride) - w.Vertical.PadBefore + (v * w.Vertical.Dilation);
                            int ix = (x * w.Horizontal.Stride) - w.Horizontal.PadBefore + (h * w.Horizontal.Dilation);
                            rows.Add(iy < 0 || iy >= height || ix < 0 || ix >= width ? 0 : image[(((c * height) + iy) * width) + ix]);
                        }
                    }
                }
            }
        }

        return ([.. rows], lines * across);
    }

    private static ConvolutionWindow Window(string text)
    {
        ConvolutionAxis[] axes = [.. text.Split(' ').Select(a => a.Split(',').Select(int.Parse).ToArray()).Select(n => new ConvolutionAxis(n[0], n[1], n[2], n[3], n[4]))];
        return new ConvolutionWindow(axes[0], axes[1]);
    }

    /// <summary>A weight in execution layout.</summary>
    private sealed class Kernel : IDisposable
    {
        private readonly MatMulWeight _weight;
        private readonly byte* _tiles;

        public Kernel(string format, int inputs, int outputs)
        {
            using EncodedMatrix matrix = EncodedMatrix.Encode(format.Split(' ')[0], outputs, inputs, Values.Weights(1, outputs * inputs));
            _weight = MatMulWeight.TryCreate(matrix.Spec, outputs, inputs)!;
            Arithmetic = format.EndsWith(" f32", StringComparison.Ordinal) ? MatMulArithmetic.Float : _weight.Rounding();
            _tiles = (byte*)NativeMemory.AlignedAlloc((nuint)_weight.Bytes, 64);
            _weight.Pack(matrix.Streams(_weight.Roles), 0, _weight.Layout.Tiles, (nint)_tiles);
        }

        public MatMulArithmetic Arithmetic { get; }

        public float[] Product(float[] rows, int count, float[] bias)
        {
            var run = new MatMulRun(_weight, Arithmetic, KernelTiers.Current);
            float[] y = new float[count * _weight.Layout.Rows];
            fixed (float* x = rows, to = y)
            {
                MatMulRuns.Run(run, _tiles, x, count, to);
            }

            return [.. y.Select((v, i) => v + bias[i % bias.Length])];
        }

        /// <summary>[outputs, places], each block in so many shares.</summary>
        public float[] Convolution(float[] image, int height, int width, ConvolutionWindow window, float[]? bias, Activation activation, int shares)
        {
            var run = new ConvolutionRun(new MatMulRun(_weight, Arithmetic, KernelTiers.Current), window, activation, KernelTiers.Current);
            float[] y = new float[run.Outputs * window.Vertical.Outputs(height) * window.Horizontal.Outputs(width)];
            fixed (float* x = image, to = y, add = bias)
            {
                for (long block = run.Blocks(height, width) - 1; block >= 0; block--)
                {
                    for (int s = 0; s < shares; s++)
                    {
                        int first = run.Parts * s / shares;
                        run.Run(_tiles, x, height, width, block, first, (run.Parts * (s + 1) / shares) - first, add, to);
                    }
                }
            }

            return y;
        }

        public void Dispose()
        {
            _weight.Dispose();
            NativeMemory.AlignedFree(_tiles);
        }
    }
}
