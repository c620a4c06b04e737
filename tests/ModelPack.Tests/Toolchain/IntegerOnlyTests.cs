using System.Globalization;
using System.Runtime.InteropServices;
using ModelPack.Compiler;
using ModelPack.Compiler.Planning;
using ModelPack.Runtime;
using ModelPack.Testing;
using ModelPack.Testing.Onnx;
using ModelPack.Tests.Compiler;
using ModelPack.Tests.Passes;
using ModelPack.Tests.Runtime;
using ModelPack.Toolchain;
using Xunit;

namespace ModelPack.Tests.Toolchain;

/// <summary>Models for processors without float arithmetic: fixed sizes, codes from end to end, and a clear word about what cannot be.</summary>
public sealed class IntegerOnlyTests : IDisposable
{
    private const string Shape = "static-shapes.shapes=x=1x3x16x16";
    private readonly TempFolder _folder = new();

    public IntegerOnlyTests()
    {
        for (int sample = 0; sample < 6; sample++)
        {
            Directory.CreateDirectory(_folder[$"data/{sample}"]);
            float[] values = SmallModels.Values(3 * 256, (ulong)sample + 100);
            NpyFile.Write(_folder[$"data/{sample}/x.npy"], DType.F32, new Shape(1, 3, 16, 16), TensorData.FromBytes(MemoryMarshal.AsBytes(values.AsSpan()).ToArray()));
        }
    }

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Compile_network_hasCodesFromEndToEnd_andAnswersAlike()
    {
        string model = Network("Tanh");
        CompileResult result = ModelCompiler.Compile(Request(model, Shape));

        Assert.Equal("int8-only", result.Recipe);
        Assert.Empty(result.Warnings);
        using ModelSession packed = ModelSession.Open(_folder["m.mpack"]);
        Assert.Equal((DType.U8, DType.U8), (packed.Inputs[0].DType, packed.Outputs[0].DType));
        using ModelSession original = ModelSession.Open(model);

        // Codes in, codes out; what they mean is in the metadata of an export.
        Exporting.Export(_folder["m.mpack"], "onnx", _folder["x.onnx"]);
        using ImportedModel exported = ModelPack.Containers.Containers.For(_folder["x.onnx"]).Import(_folder["x.onnx"]);
        (float scale, int zero) input = Meaning(exported.Model, "x");
        (float scale, int zero) output = Meaning(exported.Model, "y");
        float[] values = SmallModels.Values(3 * 256, 1000);
        byte[] codes = [.. values.Select(v => (byte)Math.Clamp(Math.Round(v / input.scale) + input.zero, 0, 255))];
        float[] expected = original.Run(NamedTensor.Of("x", values, 1, 3, 16, 16))[0].Values<float>().ToArray();
        byte[] made = packed.Run(NamedTensor.Of("x", codes, 1, 3, 16, 16))[0].Values<byte>().ToArray();
        float[] actual = [.. made.Select(c => (c - output.zero) * output.scale)];
        Assert.Equal(10, actual.Length);
        double noise = expected.Zip(actual, (a, b) => Math.Pow((double)a - b, 2)).Sum() / expected.Sum(v => (double)v * v);
        Assert.InRange(noise, 0, 0.01);
        using ModelSession stock = ModelSession.Open(_folder["x.onnx"]);
        Assert.Equal(made, stock.Run(NamedTensor.Of("x", codes, 1, 3, 16, 16))[0].Values<byte>().ToArray());
    }

    [Fact]
    public void Compile_threads_doNotMatter()
    {
        string model = Network("Tanh");
        ModelCompiler.Compile(Request(model, Shape) with { Threads = 1 });
        byte[] one = File.ReadAllBytes(_folder["m.mpack"]);
        ModelCompiler.Compile(Request(model, Shape) with { Threads = 3 });
        Assert.Equal(one, File.ReadAllBytes(_folder["m.mpack"]));
    }

    [Fact]
    public void Compile_sizesThatAreNotFixed_isMP2240() =>
        Refused(Request(Network("Tanh")), "input 'x' axis 0 ('n') has no fixed size", "static-shapes.shapes=x=");

    [Fact]
    public void Compile_operatorWithoutIntegerForm_isMP2240_orAWarning()
    {
        CompileRequest request = Request(Network("Erf"), Shape);
        Refused(request, "Erf", "no integer form", "--allow-float");

        CompileResult result = ModelCompiler.Compile(request with { AllowFloat = true });
        Assert.Contains(result.Warnings, w => w.StartsWith("int8-only: Erf ", StringComparison.Ordinal) && w.EndsWith("no integer form", StringComparison.Ordinal));
        Assert.True(File.Exists(_folder["m.mpack"]));
    }

    [Fact]
    public void Compile_anotherRecipe_isMP2240() => Refused(Request(Network("Tanh"), "quantize.block=32") with { Recipe = "int8" }, "input 'x' is f32", "reads");

    [Theory]
    [InlineData("1x3x16", "does not fit x[nx3xhxw]")]
    [InlineData("x=1x4x16x16", "does not fit")]
    [InlineData("z=1x3x16x16", "names no input")]
    [InlineData("x=1x3x0x16", "is no shape")]
    [InlineData("x=1x3xhx16", "is no shape")]
    [InlineData("x=1x3x99999999999x16", "is no shape")]
    public void Compile_badSizes_areMP2004(string sizes, string message)
    {
        ModelPackException error = Assert.Throws<ModelPackException>(() => ModelCompiler.Compile(Request(Network("Tanh"), $"static-shapes.shapes={sizes}")));
        Assert.Equal(ErrorCodes.BadPassOption, error.Code);
        Assert.Contains(message, error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void StaticShapes_alone_givesTheSameOutputs_withoutShapes()
    {
        string model = Network("Tanh");
        string recipe = _folder.Write("r.json", """{ "name": "r", "passes": ["canonicalize", { "pass": "static-shapes", "shapes": ["1x3x16x16"] }, "fold-constants"] }""");
        ModelCompiler.Compile(new CompileRequest { Input = model, Output = _folder["s.mpack"], Recipe = recipe });
        Exporting.Export(_folder["s.mpack"], "onnx", _folder["s.onnx"]);

        using ImportedModel exported = ModelPack.Containers.Containers.For(_folder["s.onnx"]).Import(_folder["s.onnx"]);
        Assert.DoesNotContain(exported.Model.Graph.Nodes, n => n.OpType is "Shape" or "Concat");
        Assert.Equal([1L, 10L], exported.Model.Graph.Outputs[0].Type.Dims.Select(d => d.Value!.Value));
        using ModelSession original = ModelSession.Open(model);
        using ModelSession fixedModel = ModelSession.Open(_folder["s.mpack"]);
        NamedTensor x = NamedTensor.Of("x", SmallModels.Values(3 * 256, 7), 1, 3, 16, 16);
        Assert.Equal(original.Run(x)[0].Values<float>().ToArray(), fixedModel.Run(x)[0].Values<float>().ToArray());
    }

    /// <summary>Sizes behind NonZero depend on data: they stay computed.</summary>
    [Fact]
    public void StaticShapes_behindOperatorsThatDependOnData_changesNothing()
    {
        Model model = Ir.Model(Ir.Graph("x", "y", [Ir.Op("NonZero", "x", "n"), Ir.Op("Shape", "n", "y")]));
        model = model with { Graph = model.Graph with { Inputs = [new ValueInfo("x", new ModelPack.Compiler.ValueType(DType.F32, [new Dimension(4)]))] } };
        Model result = Pipeline.Run(model, Pipeline.Context(new OrtConstantEvaluator()), Pipeline.Make("static-shapes"));
        Assert.Equal("NonZero(x)->n; Shape(n)->y", result.Graph.Text());
    }

    [Fact]
    public void Find_floatModel_namesWhatIsFloat()
    {
        Model model = Ir.Model(Ir.Graph("x", "y", [Ir.Op("Relu", "x", "a"), Ir.Op("Loop", "a", "b"), Ir.Op("Sin", "b", "y")]));
        IReadOnlyList<IntegerObstacle> found = IntegerLegality.Find(model with { Kind = ModelKind.Onnx });
        Assert.Contains(found, o => o is { Op: "input" });
        Assert.Contains(found, o => o is { Op: "Sin", Reason: "no integer form" });
        Assert.Contains(found, o => o is { Op: "Relu" });
    }

    private static void Refused(CompileRequest request, params string[] parts)
    {
        ModelPackException error = Assert.Throws<ModelPackException>(() => ModelCompiler.Compile(request));
        Assert.Equal(ErrorCodes.NotInteger, error.Code);
        Assert.All(parts, p => Assert.Contains(p, error.Message, StringComparison.Ordinal));
        Assert.False(File.Exists(request.Output));
    }

    private CompileRequest Request(string model, params string[] sets) => new()
    {
        Input = model,
        Output = _folder["m.mpack"],
        Target = TargetProfiles.Int8Only,
        Calibration = _folder["data"],
        CalibrationOptions = new CalibrationOptions { NoCache = true },
        Sets = sets,
    };

    private static (float Scale, int Zero) Meaning(Model model, string value)
    {
        string text = model.Metadata.Single(m => m.Key == $"modelpack.codes.{value}").Value;
        string[] parts = text.Split(',');
        return (float.Parse(parts[0]["scale=".Length..], CultureInfo.InvariantCulture), int.Parse(parts[1]["zero=".Length..], CultureInfo.InvariantCulture));
    }

    /// <summary>Convolutions with one of each: a chain of constants, a transposed convolution, a slice, a sum of three, a function, a reshape to a computed shape, a linear layer, a softmax.</summary>
    private string Network(string function) => _folder.Write("net.onnx", new OnnxBuilder(13)
        .Input("x", OnnxBuilder.Float, "n", 3, "h", "w")
        .Output("y", OnnxBuilder.Float, "n", 10)
        .Initializer("w1", SmallModels.Values(8 * 27, 1), 8, 3, 3, 3)
        .Initializer("b1", SmallModels.Values(8, 2), 8)
        .Initializer("w2", SmallModels.Values(8 * 8 * 4, 3), 8, 8, 2, 2)
        .Initializer("fc", SmallModels.Values(8 * 10, 4), 8, 10)
        .Initializer("factor", [1.25f], 1)
        .Initializer("offset", [-0.25f], 1)
        .Initializer("tail", [-1L], 1)
        .Initializer("zero", [0L], 1)
        .Initializer("one", [1L], 1)
        .Initializer("axes", [2L], 1)
        .Initializer("from", [1L], 1)
        .Initializer("to", [9L], 1)
        .Node("Conv", ["x", "w1", "b1"], ["c1"], attributes: [("pads", new long[] { 1, 1, 1, 1 }), ("strides", new long[] { 2, 2 })])
        .Node("Relu", ["c1"], ["r1"])
        .Node("ConvTranspose", ["r1", "w2"], ["t1"], attributes: [("strides", new long[] { 2, 2 })])
        .Node("Mul", ["t1", "factor"], ["m1"])
        .Node("Add", ["m1", "offset"], ["a1"])
        .Node(function, ["a1"], ["f1"])
        .Node("Slice", ["f1", "from", "to", "axes"], ["s1"])
        .Node("ReduceMean", ["s1"], ["g1"], attributes: [("axes", new long[] { 2, 3 }), ("keepdims", 1L)])
        .Node("Shape", ["x"], ["shape"])
        .Node("Slice", ["shape", "zero", "one"], ["batch"])
        .Node("Concat", ["batch", "tail"], ["target"], attributes: [("axis", 0L)])
        .Node("Reshape", ["g1", "target"], ["flat"])
        .Node("MatMul", ["flat", "fc"], ["logits"])
        .Node("Softmax", ["logits"], ["y"], attributes: [("axis", -1L)])
        .Build());
}
