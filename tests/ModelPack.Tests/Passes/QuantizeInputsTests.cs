using ModelPack.Compiler;
using ModelPack.Compiler.Calibration;
using ModelPack.Numbers;
using ModelPack.Pack;
using ModelPack.Tests.Compiler;
using Xunit;

namespace ModelPack.Tests.Passes;

public sealed class QuantizeInputsTests
{
    private static Model Layers() => Ir.Model(Ir.Graph("x", "y,z", [Ir.Op("MatMul", "x,v", "y"), Ir.Op("MatMul", "x,w", "z")], Ir.Random("v", 8, 3), Ir.Random("w", 8, 4)));

    [Fact]
    public void Run_row_roundsAnInputOnce()
    {
        Model model = Run(Layers(), """{ "ends": true }""");

        Assert.Equal(
            "Abs(x)->x_magnitudes; ReduceMax(x_magnitudes,x_axes)->x_largest; Max(x_largest,x_least)->x_above; Div(x_above,x_full_scale)->x_scale; Div(x,x_scale)->x_scaled; "
            + "QuantizeLinear(x_scaled,x_unit,x_quantized_zero_point)->x_quantized; DequantizeLinear(x_quantized,x_unit)->x_rounded; Mul(x_rounded,x_scale)->x_dequantized; "
            + "MatMul(x_dequantized,v)->y; MatMul(x_dequantized,w)->z",
            model.Graph.Text());
        Assert.Equal((DType.F8E4M3FN, 19L), (model.Initializer("x_quantized_zero_point").DType, model.Opsets[""]));
        Assert.Equal([448f], Pipeline.Values(model.Initializer("x_full_scale")));
    }

    [Fact]
    public void Run_convolution_hasOneScalePerSample()
    {
        Model model = Run(Ir.Model(Ir.Graph("x", "y", [Ir.Op("Conv", "x,w", "y")], Ir.Random("w", 4, 3, 1, 1))), """{ "ends": true, "format": "f8e5m2" }""");
        Assert.True(SmallConstants.TryReadIntegers(model.Initializer("x_axes"), out var axes));
        Assert.Equal([1L, 2, 3], [.. axes]);
        Assert.Equal(DType.F8E5M2, model.Initializer("x_quantized_zero_point").DType);
        Assert.Equal([57344f], Pipeline.Values(model.Initializer("x_full_scale")));
    }

    [Fact]
    public void Run_static_takesScalesFromTheData_andDividesBehindATranspose()
    {
        Node transpose = Ir.Op("Transpose", "x", "t");
        Model model = Run(
            Ir.Model(Ir.Graph("x", "y,z", [Ir.Op("MatMul", "x,v", "y"), transpose, Ir.Op("MatMul", "t,w", "z")], Ir.Random("v", 8, 3), Ir.Random("w", 8, 4))),
            """{ "ends": true, "scales": "static", "backoff_permille": 250 }""",
            new Known(-14, 3));

        Assert.Equal(
            "QuantizeLinear(x,x_scale,x_quantized_zero_point)->x_quantized; DequantizeLinear(x_quantized,x_scale)->x_dequantized; MatMul(x_dequantized,v)->y; Transpose(x)->t; "
            + "Div(t,t_scale)->t_scaled; QuantizeLinear(t_scaled,t_unit,t_quantized_zero_point)->t_quantized; DequantizeLinear(t_quantized,t_scale)->t_dequantized; MatMul(t_dequantized,w)->z",
            model.Graph.Text());
        Assert.Equal([14 / 112f], Pipeline.Values(model.Initializer("x_scale")));
    }

    [Fact]
    public void Run_int8_givesGemmItsBiasAfterwards()
    {
        Node gemm = Ir.Op("Gemm", "x,w,b", "y", Ir.Int("transB", 1));
        Model model = Run(Ir.Model(Ir.Graph("x", "y", [gemm], Ir.Random("w", 3, 8), Ir.Random("b", 3))), """{ "ends": true, "format": "int8", "scales": "tensor" }""");
        Assert.Equal(
            "DynamicQuantizeLinear(x)->x_quantized,x_scale,x_zero_point; DequantizeLinear(x_quantized,x_scale,x_zero_point)->x_dequantized; Gemm(x_dequantized,w)->y_product; Add(y_product,b)->y",
            model.Graph.Text());
        Assert.Equal(17L, model.Opsets[""]);
    }

    [Fact]
    public void Run_olderReductions_getTheirAxesAsInputs()
    {
        Node mean = Ir.Op("ReduceMean", "x", "m", Ir.Ints("axes", -1), Ir.Int("keepdims", 1));
        Model model = Run(Ir.Model(Ir.Graph("x", "y", [mean, Ir.Op("Split", "m", "a,b"), Ir.Op("MatMul", "x,w", "c"), Ir.Op("Sum", "a,b,c", "y")], Ir.Random("w", 8, 3)), opset: 13), """{ "scales": "tensor", "ends": true }""");
        Node upgraded = model.Graph.Nodes.Single(n => n.Is("ReduceMean"));
        Assert.True(SmallConstants.TryReadIntegers(model.Initializer(upgraded.Input(1)), out var axes));
        Assert.Equal([-1L], [.. axes]);
        Assert.Null(upgraded.Attribute("axes"));
        Assert.Equal(2, model.Graph.Nodes.Single(n => n.Is("Split")).Int("num_outputs", 0));
        Assert.Equal((19L, 9L), (model.Opsets[""], model.IrVersion));
    }

    [Theory]
    [InlineData("{}")] // both layers are ends of the network
    [InlineData("""{ "ends": true, "exclude": ["v", "w"] }""")]
    [InlineData("""{ "ends": true, "include": ["u"] }""")]
    public void Run_whatIsExcluded_staysAsItIs(string options)
    {
        Model model = Layers();
        Assert.Same(model, Run(model, options));
    }

    [Fact]
    public void Run_operatorThatCannotBeBroughtOver_leavesTheModel_andSaysSo()
    {
        Model model = Ir.Model(Ir.Graph("x", "y", [Ir.Op("Upsample", "x", "u"), Ir.Op("MatMul", "u,w", "y")], Ir.Random("w", 8, 3)), opset: 8);
        PassContext context = Context(null);
        Assert.Same(model, Pipeline.Run(model, context, Pipeline.Make("quantize-inputs", """{ "ends": true }""")));
        Assert.Contains(context.Diagnostics, d => d.Severity == DiagnosticSeverity.Warning && d.Message.Contains("Upsample", StringComparison.Ordinal));
    }

    [Fact]
    public void Run_integersWithoutOneScalePerTensor_isMP2004()
    {
        ModelPackException e = Assert.Throws<ModelPackException>(() => Run(Layers(), """{ "format": "int8" }"""));
        Assert.Equal(ErrorCodes.BadPassOption, e.Code);
        Assert.Contains("scales=tensor", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Run_staticWithoutData_isMP2210() =>
        Assert.Equal(ErrorCodes.CalibrationMissing, Assert.Throws<ModelPackException>(() => Run(Layers(), """{ "ends": true, "scales": "static" }""")).Code);

    [Fact]
    public void Run_checkpoint_isMP2218() =>
        Assert.Equal(ErrorCodes.CalibrationNeedsGraph, Assert.Throws<ModelPackException>(() => Run(Ir.Checkpoint(Ir.Random("w", 8, 3)), "{}")).Code);

    [Theory]
    [InlineData("f8e4m3fn", 448, 1, false, 1)]
    [InlineData("f8e4m3fn", 448, 0.5, false, 2)]
    [InlineData("f8e4m3fn", 600, 1, true, 2)]
    [InlineData("f8e4m3fn", 448, 1, true, 1)]
    [InlineData("f8e5m2", 57344, 1, false, 1)]
    [InlineData("f8e4m3fn", 0, 1, false, 1)]
    public void Scale_isWhatTheLargestValueNeeds(string format, double largest, double backoff, bool powerOfTwo, float expected) =>
        Assert.Equal(expected, ModelPack.Passes.InputRounding.Scale(format, largest, backoff, powerOfTwo));

    private static Model Run(Model model, string options, ICalibrator? calibrator = null) => Pipeline.Run(model, Context(calibrator), Pipeline.Make("quantize-inputs", options));

    private static PassContext Context(ICalibrator? calibrator) => new()
    {
        OpenValues = EncodingValues.Open,
        BindFormat = NumberFormats.Bind,
        ValidateStructure = Pipeline.Context().ValidateStructure,
        Calibrator = calibrator,
    };

    /// <summary>A calibrator that has seen these extremes of every value.</summary>
    private sealed class Known(float least, float greatest) : ICalibrator, ICalibrationStatistics
    {
        public CalibrationInfo Info { get; } = new("npy", "data", "", 1, 0);

        public bool CanRun => false;

        public ActivationStatistics this[string value] => new(new CalibrationTap(value, 1, false), 1, [least], [greatest], new double[1], new double[1], new Histogram(), null);

        public ICalibrationStatistics Collect(Model model, IReadOnlyList<CalibrationTap> taps) => this;

        public ICalibrationRun Begin(Model model, bool withReference) => throw new NotSupportedException();

        public void Dispose()
        {
        }
    }
}
