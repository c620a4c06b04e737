using ModelPack.Architectures;
using ModelPack.Compiler;
using ModelPack.Compiler.Shapes;
using ModelPack.Testing;
using ModelPack.Tests.Architectures;
using ModelPack.Toolchain;
using Xunit;
using static ModelPack.Tests.Compiler.Ir;
using ValueType = ModelPack.Compiler.ValueType;

namespace ModelPack.Tests.Compiler;

/// <summary>Inferred shapes and elements against those that ONNX Runtime computes.</summary>
public sealed class ShapeInferenceTests
{
    private const int Opset = 17;

    /// <summary>Shape of x, the node, further constants.</summary>
    private static readonly Dictionary<string, (long[] X, Node Node, Tensor[] Constants)> Operators = Cases();

    public static TheoryData<string> OperatorNames => [.. Operators.Keys];

    public static TheoryData<string> Families => [.. FamilyCases.Names];

    [Theory]
    [MemberData(nameof(OperatorNames))]
    public void Operator_hasTheShapeOfTheRuntime(string name)
    {
        (long[] x, Node node, Tensor[] constants) = Operators[name];
        ShapeOracle.Check(Single(x, node, constants), []);
    }

    [Theory]
    [MemberData(nameof(Families))]
    public void LanguageModel_ofAnyFamily_isInferredWhole(string name)
    {
        using var folder = new TempFolder();
        string path = FamilyCases.Make(name).Write(folder);
        foreach (GraphForm form in Enum.GetValues<GraphForm>())
        {
            using ImportedModel imported = ModelInput.Import(path, false, out _, default, form);
            // GroupQueryAttention takes several tokens behind others of one sequence only.
            var sizes = new Dictionary<string, long> { ["batch"] = form == GraphForm.CachedFused ? 1 : 2, ["seq"] = 5 };
            if (form != GraphForm.Full)
            {
                sizes["past"] = sizes["position_offset"] = 3;
            }

            Assert.Equal(sizes.Keys.Order(), ShapeInference.FreeSizes(imported.Model.Graph).Order());

            // Which experts take a token depends on data, and so do the sizes of what they compute.
            ShapeOracle.Check(imported.Model, sizes, unknown: name.Contains("moe", StringComparison.Ordinal) || name.Contains("deepseek", StringComparison.Ordinal) || name == "mixtral" ? 400 : 0, integers: input => input == "position_offset" ? 3 : 0);
        }
    }

    [Theory]
    [MemberData(nameof(EncoderTests.Cases), MemberType = typeof(EncoderTests))]
    public void Encoder_ofAnyFamily_isInferredWhole(string name)
    {
        using var folder = new TempFolder();
        using ImportedModel imported = ModelInput.Import(EncoderCases.Make(name).Item1.Write(folder), false, out _, default);

        ShapeOracle.Check(imported.Model, new() { ["batch"] = 2, ["seq"] = 6 }, integers: _ => 1);
    }

    [Fact]
    public void SampleModel_asItWasExported_isInferredWhole()
    {
        using ImportedModel imported = ModelInput.Import(Path.Combine(RepositoryTree.Root, "samples", "models", "tinyllama", "model.onnx"), false, out _, default);

        ShapeOracle.Check(imported.Model, new() { ["seq"] = 7, ["batch"] = 3 });
    }

    [Fact]
    public void OwnOperators_saySizesByAttributes()
    {
        Node own(string type, string inputs, params NodeAttribute[] attributes) => Op(type, inputs, "y", attributes) with { Domain = "ai.modelpack" };
        Shape? Y(long[] x, Node node) => ShapeInference.Infer(Single(x, node, [F32("w", [1], 0)]), new Dictionary<string, long>())["y"].Shape;

        Assert.Equal(new Shape(2, 3, 40), Y([2, 3, 16], own("PackedMatMul", "x,w", Int("N", 40))));
        Assert.Equal(new Shape(1, 8, 5, 11), Y([1, 4, 9, 11], own("PackedConv", "x,w", [Int("N", 8), .. Axis("_h", 3, 2, 1, 1, 1), .. Axis("_w", 3, 1, 2, 2, 2)])));
        Assert.Equal(new Shape(7, 5, 32), Y([7, 5], own("PackedGather", "w,x", Int("N", 32))));
        Assert.Equal(new Shape(7, 24), Y([7, 16], own("GatedMlp", "x,w,w,w", Int("N", 24))));
        Assert.Equal(new Shape(7, 24), Y([7, 16], own("Experts", "x,x,w,w,w", Int("N", 24))));
    }

    [Fact]
    public void Infer_ofSizesThatContradict_knowsNothing()
    {
        GraphShapes shapes = ShapeInference.Infer(Single([2, 3], Op("MatMul", "x,w", "y"), [Random("w", 4, 5)]), new Dictionary<string, long>());

        Assert.Equal(80, shapes["w"].Bytes);
        Assert.Null(shapes["y"].Shape);
        Assert.Null(ShapeInference.Infer(Single([2, 3], Op("Transpose", "x", "y", Ints("perm", 0, 7)), []), new Dictionary<string, long>())["y"].Shape);
        Assert.Null(ShapeInference.Infer(Single([2, 3], Op("Flatten", "x", "y", Int("axis", 9)), []), new Dictionary<string, long>())["y"].Shape);
    }

    [Fact]
    public void Infer_ofUnknownDimension_namesThoseThereAre()
    {
        Model model = Model(Graph("", "y", [Op("Relu", "x", "y")]) with { Inputs = [new ValueInfo("x", new ValueType(DType.F32, [new Dimension(null, "batch"), new Dimension(null), new Dimension(4)]))] });

        var thrown = Assert.Throws<ModelPackException>(() => ShapeInference.Infer(model, new Dictionary<string, long> { ["bach"] = 2 }));
        Assert.Equal("MP3004", thrown.Code.ToString());
        Assert.Contains("batch, x[1]", thrown.Message, StringComparison.Ordinal);
        Assert.Equal(new Shape(2, 3, 4), ShapeInference.Infer(model, new Dictionary<string, long> { ["batch"] = 2, ["x[1]"] = 3 })["y"].Shape);
        Assert.Throws<ModelPackException>(() => ShapeInference.Infer(model, new Dictionary<string, long> { ["batch"] = -1 }));
    }

    private static NodeAttribute[] Axis(string suffix, params long[] values) => [.. new[] { "kernel", "stride", "dilation", "pad", "pad_end" }.Zip(values, (n, v) => Int(n + suffix, v))];

    private static Model Single(long[] x, Node node, Tensor[] constants, long opset = Opset) => Model(
        new Graph
        {
            Inputs = [new ValueInfo("x", new ValueType(DType.F32, [.. x.Select(d => new Dimension(d))]))],
            Outputs = [.. node.Outputs.Where(o => o.Length > 0).Select(o => new ValueInfo(o, ValueType.Unknown))],
            Nodes = [node],
            Initializers = [.. constants],
        },
        opset: opset);

    private static Dictionary<string, (long[] X, Node Node, Tensor[] Constants)> Cases()
    {
        var cases = new Dictionary<string, (long[], Node, Tensor[])>();
        void Add(string name, long[] x, Node node, params Tensor[] constants) => cases.Add(name, (x, node, constants));
        NodeAttribute Text(string name, string value) => new(name, new AttributeValue.Text(value));
        Tensor Numbers(string name, params long[] values) => I64(name, [values.Length], values);
        Tensor w3 = Random("w", 6, 4, 3, 3);

        Add("conv", [1, 4, 10, 11], Op("Conv", "x,w", "y"), w3);
        Add("conv strides, pads", [2, 4, 10, 11], Op("Conv", "x,w", "y", Ints("strides", 2, 3), Ints("pads", 1, 0, 2, 1), Ints("dilations", 2, 1)), w3);
        Add("conv same", [1, 4, 10, 11], Op("Conv", "x,w", "y", Ints("strides", 2, 2), Text("auto_pad", "SAME_UPPER")), w3);
        Add("conv valid", [1, 4, 10, 11], Op("Conv", "x,w", "y", Ints("strides", 2, 2), Text("auto_pad", "VALID")), w3);
        Add("conv groups, 1-D", [2, 8, 20], Op("Conv", "x,w", "y", Int("group", 2), Ints("strides", 3)), Random("w", 6, 4, 5));
        Add("conv transpose", [1, 4, 5, 6], Op("ConvTranspose", "x,w", "y", Ints("strides", 2, 3), Ints("pads", 1, 0, 0, 1), Ints("output_padding", 1, 0)), Random("w", 4, 3, 3, 2));
        Add("conv transpose groups", [1, 4, 5, 6], Op("ConvTranspose", "x,w", "y", Int("group", 2), Ints("dilations", 2, 1)), Random("w", 4, 3, 3, 2));
        Add("conv transpose output_shape", [1, 4, 5, 6], Op("ConvTranspose", "x,w", "y", Ints("strides", 2, 2), Ints("output_shape", 10, 12)), Random("w", 4, 3, 3, 2));
        Add("max pool", [1, 4, 10, 11], Op("MaxPool", "x", "y,i", Ints("kernel_shape", 3, 2), Ints("strides", 2, 2), Ints("pads", 1, 0, 1, 1)));
        Add("max pool ceiling", [1, 4, 10, 12], Op("MaxPool", "x", "y", Ints("kernel_shape", 3, 2), Ints("strides", 2, 3), Int("ceil_mode", 1)));
        Add("average pool ceiling, last window in the pads", [1, 2, 4, 4], Op("AveragePool", "x", "y", Ints("kernel_shape", 1, 1), Ints("strides", 3, 2), Ints("pads", 0, 0, 0, 0), Int("ceil_mode", 1)));
        Add("average pool ceiling, pads", [1, 2, 6, 6], Op("AveragePool", "x", "y", Ints("kernel_shape", 3, 3), Ints("strides", 2, 2), Ints("pads", 1, 1, 1, 1), Int("ceil_mode", 1)));
        Add("average pool same", [1, 2, 7, 8], Op("AveragePool", "x", "y", Ints("kernel_shape", 3, 3), Ints("strides", 2, 2), Text("auto_pad", "SAME_LOWER")));
        Add("global pool", [2, 3, 7, 8], Op("GlobalAveragePool", "x", "y"));
        Add("resize scales", [1, 2, 5, 7], Op("Resize", "x,s", "y") with { Inputs = ["x", "", "s"] }, F32("s", [4], 1, 1, 2, 1.5f));
        Add("resize sizes", [1, 2, 5, 7], Op("Resize", "x", "y") with { Inputs = ["x", "", "", "s"] }, Numbers("s", 1, 2, 9, 3));
        Add("depth to space", [1, 12, 2, 3], Op("DepthToSpace", "x", "y", Int("blocksize", 2)));
        Add("space to depth", [1, 3, 4, 6], Op("SpaceToDepth", "x", "y", Int("blocksize", 2)));
        Add("matmul batches", [5, 1, 2, 3], Op("MatMul", "x,w", "y"), Random("w", 4, 3, 6));
        Add("matmul vector", [3], Op("MatMul", "x,w", "y"), Random("w", 4, 3, 6));
        Add("matmul by a vector", [4, 2, 3], Op("MatMul", "x,w", "y"), Random("w", 3));
        Add("gemm", [3, 4], Op("Gemm", "x,w", "y", Int("transA", 1), Int("transB", 1)), Random("w", 5, 3));
        Add("einsum", [2, 3, 4], Op("Einsum", "x,w", "y", Text("equation", "bij, jk -> bki")), Random("w", 4, 5));
        Add("reshape", [2, 3, 4], Op("Reshape", "x,s", "y"), Numbers("s", 0, -1, 2));
        Add("reshape of nothing", [2, 0, 4], Op("Reshape", "x,s", "y"), Numbers("s", 0, 0, 4));
        Add("flatten", [2, 3, 4], Op("Flatten", "x", "y", Int("axis", -1)));
        Add("flatten all", [2, 3, 4], Op("Flatten", "x", "y", Int("axis", 0)));
        Add("transpose", [2, 3, 4], Op("Transpose", "x", "y"));
        Add("transpose order", [2, 3, 4], Op("Transpose", "x", "y", Ints("perm", 1, 2, 0)));
        Add("squeeze", [1, 3, 1], Op("Squeeze", "x,a", "y"), Numbers("a", -1));
        Add("squeeze all", [1, 3, 1], Op("Squeeze", "x", "y"));
        Add("unsqueeze", [2, 3], Op("Unsqueeze", "x,a", "y"), Numbers("a", 0, -1));
        Add("concat", [2, 3], Op("Concat", "x,w,x", "y", Int("axis", -1)), Random("w", 2, 5));
        Add("split", [2, 7], Op("Split", "x,s", "a,b", Int("axis", 1)), Numbers("s", 3, 4));
        Add("split evenly", [2, 8], Op("Split", "x", "a,b", Int("axis", 1)));
        Add("expand", [3, 1], Op("Expand", "x,s", "y"), Numbers("s", 2, 1, 4));
        Add("tile", [3, 2], Op("Tile", "x,s", "y"), Numbers("s", 2, 3));
        Add("pad", [3, 2], Op("Pad", "x,s", "y"), Numbers("s", 1, 0, 2, 3));
        Add("gather", [5, 3, 4], Op("Gather", "x,i", "y", Int("axis", 1)), I64("i", [2, 2], 0, 1, 2, -1));
        Add("gather elements", [3, 3], Op("GatherElements", "x,i", "y"), I64("i", [2, 3], 0, 1, 2, 0, 1, 2));
        Add("gather nd", [3, 4, 5], Op("GatherND", "x,i", "y"), I64("i", [2, 2], 0, 1, 2, 3));
        Add("slice", [10, 6], Op("Slice", "x,b,e", "y"), Numbers("b", 1, -4), Numbers("e", 1000, -1));
        Add("slice backwards", [10, 6], Op("Slice", "x,b,e,a,s", "y"), Numbers("b", -1, 4), Numbers("e", long.MinValue, 1), Numbers("a", 0, 1), Numbers("s", -3, -1));
        Add("slice to nothing", [10, 6], Op("Slice", "x,b,e,a", "y"), Numbers("b", 7), Numbers("e", 3), Numbers("a", 1));
        Add("slice of integers", [1], Op("Slice", "d,b,e,a,s", "y"), I64("d", [3, 4], [.. Enumerable.Range(0, 12)]), Numbers("b", -1, 1), Numbers("e", long.MinValue, 4), Numbers("a", 0, 1), Numbers("s", -2, 2));
        Add("transpose of integers", [1], Op("Transpose", "d", "y", Ints("perm", 2, 0, 1)), I64("d", [2, 3, 4], [.. Enumerable.Range(0, 24)]));
        Add("expand of integers", [1], Op("Expand", "d,s", "y"), I64("d", [3, 1], 5, 6, 7), Numbers("s", 2, 1, 4));
        Add("shape", [2, 3, 4], Op("Shape", "x", "y"));
        Add("shape from to", [2, 3, 4], Op("Shape", "x", "y", Int("start", -2), Int("end", -1)));
        Add("size", [2, 3, 4], Op("Size", "x", "y"));
        Add("top k", [2, 9], Op("TopK", "x,k", "v,i"), Numbers("k", 4));
        Add("one hot", [2, 3], Op("OneHot", "i,d,v", "y"), I64("i", [2, 3], 0, 1, 2, 0, 1, 2), Numbers("d", 5), F32("v", [2], 0, 1));
        Add("constant of shape", [1], Op("ConstantOfShape", "s", "y"), Numbers("s", 2, 3));
        Add("range", [1], Op("Range", "a,b,c", "y"), I64("a", [], 3), I64("b", [], 20), I64("c", [], 4));
        Add("range down", [1], Op("Range", "a,b,c", "y"), I64("a", [], 3), I64("b", [], -4), I64("c", [], -2));
        Add("cast", [2, 3], Op("Cast", "x", "y", Int("to", 9)));
        Add("where", [2, 1, 4], Op("Where", "c,x,w", "y"), Tensor.Raw("c", DType.Bool, new Shape(3, 1), TensorData.FromBytes(new byte[] { 1, 0, 1 })), Random("w", 1, 1));
        Add("broadcast", [2, 1, 4], Op("Add", "x,w", "y"), Random("w", 3, 1));
        Add("integers divide towards zero", [1], Op("Div", "a,b", "y"), Numbers("a", -7, 7, 5), Numbers("b", 2, -2, 3));
        Add("compare integers", [1], Op("LessOrEqual", "a,b", "y"), Numbers("a", -7, 7, 5), Numbers("b", 5));
        Add("reduce mean", [2, 3, 4], Op("ReduceMean", "x", "y", Ints("axes", -1), Int("keepdims", 0)));
        Add("reduce all", [2, 3, 4], Op("ReduceMax", "x", "y"));
        Add("reduce sum axes", [2, 3, 4], Op("ReduceSum", "x,a", "y"), Numbers("a", 0, 2));
        Add("reduce sum nothing", [2, 3, 4], Op("ReduceSum", "x", "y", Int("noop_with_empty_axes", 1)));
        Add("reduce product of integers", [1], Op("ReduceProd", "a", "y", Int("keepdims", 0)), Numbers("a", 3, 4, 5));
        Add("arg max", [2, 3, 4], Op("ArgMax", "x", "y", Int("axis", 1), Int("keepdims", 0)));
        Add("layer normalization", [2, 3, 4], Op("LayerNormalization", "x,w", "y,m,d"), Random("w", 4));
        Add("quantize", [2, 4], Op("QuantizeLinear", "x,s,z", "y"), F32("s", [], 0.1f), Tensor.Raw("z", DType.I8, Shape.Scalar, TensorData.FromBytes(new byte[1])));
        Add("dynamic quantize", [2, 4], Op("DynamicQuantizeLinear", "x", "y,s,z"));
        Add("lstm", [5, 2, 3], Op("LSTM", "x,w,r", "y,h,c", Int("hidden_size", 4), Text("direction", "bidirectional")), Random("w", 2, 16, 3), Random("r", 2, 16, 4));
        Add("gru", [5, 2, 3], Op("GRU", "x,w,r", "y,h", Int("hidden_size", 4)), Random("w", 1, 12, 3), Random("r", 1, 12, 4));
        return cases;
    }
}
