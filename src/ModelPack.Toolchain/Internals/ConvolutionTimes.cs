using System.Collections.Immutable;
using Microsoft.ML.OnnxRuntime;
using ModelPack.Compiler;
using ModelPack.Compiler.Planning;
using ModelPack.Kernels.MatMul;
using ModelPack.Runtime;

namespace ModelPack.Toolchain;

/// <summary>
/// Measures what convolutions take for a multiplication and for a value that they read or write. Each is measured in a row of convolutions of one size, less what the first of them takes alone: ONNX Runtime has an order of channels of its own, and
/// changes it at the ends. Packed ones have an activation, as in models.
/// </summary>
internal static class ConvolutionTimes
{
    private const int More = 4;

    private const int Runs = 15;

    private const string PackedFormat = "int8";

    /// <summary>The product that packed convolutions are measured on.</summary>
    public const string PackedProduct = $"modelpack:PackedMatMul({PackedFormat},int8)";

    private static readonly string[] Axes = ["_h", "_w"];

    /// <summary>All kinds that plans know.</summary>
    /// <param name="product">Nanoseconds of a multiplication of the packed product in <see cref="PackedProduct"/>.</param>
    /// <param name="threads">Of several.</param>
    /// <param name="cancellation">Checked between runs.</param>
    public static IReadOnlyList<ConvolutionConstant> Measure(ThreadTimes product, int threads, CancellationToken cancellation) =>
    [
        Fit(ConvolutionConstant.Dense, new Size(256, 12, 40, 1, false), new Size(64, 24, 80, 3, false), threads, cancellation),
        Fit(ConvolutionConstant.Depthwise, new Size(240, 12, 80, 5, true), new Size(240, 12, 80, 3, true), threads, cancellation),
        Values(ConvolutionConstant.Packed, new Size(240, 12, 80, 1, false), product, threads, cancellation),
    ];

    /// <summary>Of two sizes.</summary>
    private static ConvolutionConstant Fit(string kernel, Size first, Size second, int threads, CancellationToken cancellation)
    {
        (double One, double All)[] seconds = [.. new[] { first, second }.Select(size => (Seconds(kernel, size, 1, cancellation), Seconds(kernel, size, threads, cancellation)))];
        (double Multiplication, double Value) Parts(double one, double other)
        {
            // one = m1 b + v1 p, other = m2 b + v2 p; neither less than nothing.
            double b = ((one * second.Values) - (other * first.Values)) / ((first.Multiplications * second.Values) - (second.Multiplications * first.Values));
            b = Math.Clamp(b, 0, one / first.Multiplications);
            return (b * 1e9, Math.Max(0, (one - (first.Multiplications * b)) / first.Values) * 1e9);
        }

        (double Multiplication, double Value) alone = Parts(seconds[0].One, seconds[1].One);
        (double Multiplication, double Value) together = Parts(seconds[0].All, seconds[1].All);
        return new ConvolutionConstant(kernel, new ThreadTimes(alone.Multiplication, together.Multiplication), new ThreadTimes(alone.Value, together.Value));
    }

    /// <summary>Of a size that is no multiple of what kernels take at a time, as most are: what fills up counts as time of the values.</summary>
    private static ConvolutionConstant Values(string kernel, Size size, ThreadTimes product, int threads, CancellationToken cancellation)
    {
        double Value(int count, double multiplication) => Math.Max(0, (Seconds(kernel, size, count, cancellation) * 1e9) - (size.Multiplications * multiplication)) / size.Values;
        return new ConvolutionConstant(kernel, product, new ThreadTimes(Value(1, product.One), Value(threads, product.All)));
    }

    /// <summary>One convolution: the median of some runs of several, less that of one.</summary>
    private static double Seconds(string kernel, Size size, int threads, CancellationToken cancellation)
    {
        using PackedModel one = Open(kernel, size, 1, threads);
        using PackedModel several = Open(kernel, size, 1 + More, threads);
        using OrtValue x = OrtValue.CreateTensorValueFromMemory(GaussianError.Sample((int)(size.Values / 2), 1), [1, size.Channels, size.Height, size.Width]);
        var inputs = new Dictionary<string, OrtValue> { ["x"] = x };
        List<double>[] times = [[], []];
        for (int run = 0; run <= Runs; run++)
        {
            cancellation.ThrowIfCancellationRequested();
            foreach ((PackedModel model, List<double> list) in new[] { (one, times[0]), (several, times[1]) })
            {
                list.Add(KernelBenchmark.Seconds(() => model.Run(inputs).Dispose()));
            }
        }

        return Math.Max(0, KernelBenchmark.Median(times[1][1..]) - KernelBenchmark.Median(times[0][1..])) / More;
    }

    /// <summary>Convolutions one after the other.</summary>
    private static PackedModel Open(string kernel, Size size, int count, int threads)
    {
        bool packed = kernel == ConvolutionConstant.Packed;
        using BenchedWeight? own = packed ? BenchedWeight.Make(PackedFormat, size.Channels, size.Channels) : null;
        Tensor weight = packed
            ? Raw(own!.Packed())
            : Tensor.Raw("w", DType.F32, new Shape(size.Channels, size.Depthwise ? 1 : size.Channels, size.Kernel, size.Kernel), TensorData.FromBytes(Floats(size.Channels * size.Taps)));
        ImmutableArray<Node> nodes = [.. Enumerable.Range(0, count).Select(i => Node(packed, size, i == 0 ? "x" : $"x{i}", i == count - 1 ? "y" : $"x{i + 1}"))];
        ImmutableArray<Dimension> shape = [new Dimension(1), new Dimension(size.Channels), new Dimension(size.Height), new Dimension(size.Width)];
        return OrtProduct.Open("convolutions", nodes, [weight], shape, shape, threads);
    }

    private static Tensor Raw(byte[] bytes) => Tensor.Raw("w", DType.U8, new Shape(bytes.Length), TensorData.FromBytes(bytes));

    private static byte[] Floats(int count) => System.Runtime.InteropServices.MemoryMarshal.AsBytes<float>(GaussianError.Sample(count, 0.02f)).ToArray();

    private static Node Node(bool packed, Size size, string input, string output)
    {
        NodeAttribute Number(string name, long value) => new(name, new AttributeValue.Int(value));
        NodeAttribute Word(string name, string value) => new(name, new AttributeValue.Text(value));
        NodeAttribute Numbers(string name, params long[] values) => new(name, new AttributeValue.Ints([.. values]));
        long pad = size.Kernel / 2;
        return packed
            ? new Node
            {
                OpType = "PackedConv",
                Domain = PackedMatMul.Domain,
                Inputs = [input, "w"],
                Outputs = [output],
                Attributes =
                [
                    Number("N", size.Channels), Word("arithmetic", MatMulArithmetic.Integer.Name()), Word("activation", "hardswish"),
                    .. Axes.SelectMany(axis => new[] { Number("kernel" + axis, 1), Number("stride" + axis, 1), Number("dilation" + axis, 1), Number("pad" + axis, 0), Number("pad_end" + axis, 0) }),
                ],
            }
            : new Node
            {
                OpType = "Conv",
                Inputs = [input, "w"],
                Outputs = [output],
                Attributes = [Numbers("kernel_shape", size.Kernel, size.Kernel), Numbers("pads", pad, pad, pad, pad), Number("group", size.Depthwise ? size.Channels : 1)],
            };
    }

    /// <summary>A convolution with as many channels before as after.</summary>
    private readonly record struct Size(int Channels, int Height, int Width, int Kernel, bool Depthwise)
    {
        /// <summary>Weights of an output channel.</summary>
        public int Taps => Kernel * Kernel * (Depthwise ? 1 : Channels);

        /// <summary>Values read and written.</summary>
        public double Values => 2.0 * Channels * Height * Width;

        public double Multiplications => (double)Channels * Height * Width * Taps;
    }
}
