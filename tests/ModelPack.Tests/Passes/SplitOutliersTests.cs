using ModelPack.Compiler;
using ModelPack.Compiler.Calibration;
using ModelPack.Numbers;
using ModelPack.Pack;
using ModelPack.Tests.Compiler;
using Xunit;

namespace ModelPack.Tests.Passes;

public sealed class SplitOutliersTests
{
    private static readonly float[] Largest = [1, 2, 100, 1, 3, 200, 2, 1];
    private const string Options = """{ "ends": true, "min_elements": 1, "max_permille": 250 }""";

    [Fact]
    public void Run_matmul_isSplit()
    {
        Tensor weight = Ir.Random("w", 8, 3);
        Model model = Ir.Model(Ir.Graph("x", "y", [Ir.Op("MatMul", "x,w", "y")], weight));
        Model split = Run(model, Options);

        Assert.Equal("Gather(x,x_outlier_channels)->x_outliers; Mul(x,x_regular_mask)->x_regular; MatMul(x_regular,w)->y_regular; MatMul(x_outliers,w_outliers)->y_outliers; Add(y_regular,y_outliers)->y", split.Graph.Text());
        float[] values = Pipeline.Values(weight);
        Assert.Equal(values.Select((v, i) => i / 3 is 2 or 5 ? 0 : v), Pipeline.Values(split.Initializer("w")));
        Assert.Equal(Largest.Select(v => v >= 100 ? 0f : 1f), Pipeline.Values(split.Initializer("x_regular_mask")));
        Assert.Equal("f16", split.Initializer("w_outliers").Encoding.Describe());
        Assert.Equal([.. values[6..9], .. values[15..18]], Stored(split.Initializer("w_outliers")));
    }

    [Fact]
    public void Run_gemmTransposed_keepsItsBias()
    {
        Tensor weight = Ir.Random("w", 3, 8);
        Node gemm = Ir.Op("Gemm", "x,w,b", "y") with { Attributes = [new NodeAttribute("transB", new AttributeValue.Int(1))] };
        Model split = Run(Ir.Model(Ir.Graph("x", "y", [gemm], weight, Ir.Random("b", 3))), """{ "ends": true, "min_elements": 1, "max_permille": 125, "mask": false, "format": "same" }""");

        Assert.Equal("Gather(x,x_outlier_channels)->x_outliers; Gemm(x,w,b)->y_regular; MatMul(x_outliers,w_outliers)->y_outliers; Add(y_regular,y_outliers)->y", split.Graph.Text());
        float[] values = Pipeline.Values(weight);
        Assert.Equal([values[5], values[13], values[21]], Stored(split.Initializer("w_outliers")));
        Assert.Equal(new Shape(1, 3), split.Initializer("w_outliers").Shape);
    }

    [Fact]
    public void Run_sixteenBitWeightBehindTransposeAndCast_isSplitInPlace()
    {
        float[] values = [.. Enumerable.Range(0, 16).Select(i => (float)i - 7)];
        Tensor weight = Ir.F32("w", [2, 8], values);
        byte[] halves = [.. values.SelectMany(v => BitConverter.GetBytes(v)[2..])];
        weight = Tensor.Raw("w", DType.BF16, weight.Shape, TensorData.FromBytes(halves));
        Node cast = Ir.Op("Cast", "t", "c") with { Attributes = [new NodeAttribute("to", new AttributeValue.Int(1))] };
        Model split = Run(Ir.Model(Ir.Graph("x", "y", [Ir.Op("Transpose", "w", "t"), cast, Ir.Op("MatMul", "x,c", "y")], weight)), Options);

        Assert.Contains("MatMul(x_outliers,w_outliers)->y_outliers", split.Graph.Text(), StringComparison.Ordinal);
        Tensor outliers = split.Initializer("w_outliers");
        Assert.Equal((DType.F32, "bf16", new Shape(2, 2)), (outliers.DType, outliers.Encoding.Describe(), outliers.Shape));
        Assert.Equal([values[2], values[10], values[5], values[13]], Stored(outliers));
        Assert.Equal(DType.BF16, split.Initializer("w").DType);
        Assert.Equal(DType.F32, split.Initializer("x_regular_mask").DType);
    }

    [Theory]
    [InlineData("""{ "min_elements": 1 }""")] // an end of the network
    [InlineData("""{ "ends": true, "min_elements": 25 }""")]
    [InlineData("""{ "ends": true, "min_elements": 1, "exclude": ["w"] }""")]
    [InlineData("""{ "ends": true, "min_elements": 1, "include": ["v"] }""")]
    [InlineData("""{ "ends": true, "min_elements": 1, "threshold": 1000 }""")]
    public void Run_whatIsExcluded_staysAsItIs(string options)
    {
        Model model = Ir.Model(Ir.Graph("x", "y", [Ir.Op("MatMul", "x,w", "y")], Ir.Random("w", 8, 3)));
        Assert.Equal("MatMul(x,w)->y", Run(model, options).Graph.Text());
    }

    [Fact]
    public void Run_weightThatOthersReadToo_staysAsItIs()
    {
        Model model = Ir.Model(Ir.Graph("x", "y,z", [Ir.Op("MatMul", "x,w", "y"), Ir.Op("Neg", "w", "z")], Ir.Random("w", 8, 3)));
        Assert.Equal("MatMul(x,w)->y; Neg(w)->z", Run(model, Options).Graph.Text());
    }

    [Theory]
    [InlineData(6, 8, new[] { 2, 5 })]
    [InlineData(6, 1, new[] { 5 })]
    [InlineData(1, 2, new[] { 2, 5 })]
    [InlineData(150, 8, new int[0])]
    public void Find_givesTheLargest(double threshold, int most, int[] expected) => Assert.Equal(expected, Find(Largest, threshold, most));

    [Fact]
    public void Find_ofEqualOnes_takesTheFirst() => Assert.Equal([1, 2], Find([1, 50, 50, 50, 1, 1, 1], 6, 2));

    [Fact]
    public void Find_zeros_areNone() => Assert.Empty(Find(new float[8], 6, 8));

    private static int[] Find(float[] largest, double threshold, int most) =>
        ModelPack.Passes.OutlierChannels.Find(new Known(largest)["x"], threshold, most);

    private static float[] Stored(Tensor tensor) => Pipeline.Values(((DenseEncoding)tensor.Encoding).Source!);

    private static Model Run(Model model, string options)
    {
        PassContext context = Pipeline.Context();
        return Pipeline.Run(
            model,
            new PassContext
            {
                OpenValues = EncodingValues.Open,
                BindFormat = NumberFormats.Bind,
                ValidateStructure = context.ValidateStructure,
                Calibrator = new Known(Largest),
            },
            Pipeline.Make("split-outliers", options));
    }

    /// <summary>A calibrator that has seen these greatest absolute values, alternately as minimum and maximum.</summary>
    private sealed class Known(float[] largest) : ICalibrator, ICalibrationStatistics
    {
        public CalibrationInfo Info { get; } = new("npy", "data", "", 1, 0);

        public bool CanRun => false;

        public ActivationStatistics this[string value] => new(
            new CalibrationTap(value, largest.Length, false), 1, [.. largest.Select((v, k) => k % 2 == 0 ? -v : 0)], [.. largest.Select((v, k) => k % 2 == 0 ? 0 : v)], new double[largest.Length], new double[largest.Length], new Histogram(), null);

        public ICalibrationStatistics Collect(Model model, IReadOnlyList<CalibrationTap> taps) => this;

        public ICalibrationRun Begin(Model model, bool withReference) => throw new NotSupportedException();

        public void Dispose()
        {
        }
    }
}
