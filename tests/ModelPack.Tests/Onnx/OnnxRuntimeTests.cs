using ModelPack.Containers.Onnx;
using ModelPack.Containers.Onnx.Schema;
using ModelPack.Testing;
using Xunit;
using DataType = ModelPack.Containers.Onnx.Schema.TensorProto.Types.DataType;
using Kind = ModelPack.Containers.Onnx.Schema.AttributeProto.Types.AttributeType;

namespace ModelPack.Tests.Onnx;

/// <summary>ONNX Runtime loads what is exported and gives the same bits as for the original.</summary>
public sealed class OnnxRuntimeTests
{
    [Fact]
    public void Exported_network_with_constants_and_initializers_gives_the_same_outputs() => AssertSameOutputs(OnnxModels.Model(new GraphProto
    {
        Name = "mlp",
        Input = { OnnxModels.Value("x", DataType.Float, "batch", 64) },
        Output = { OnnxModels.Value("y", DataType.Float, "batch", 48) },
        Initializer = { OnnxModels.Floats("w", [64, 48], OnnxModels.Random(64 * 48, 1)), OnnxModels.Typed(OnnxModels.Ints("axes", [1], 0)) },
        Node =
        {
            OnnxModels.Node("Constant", [], ["b"], OnnxModels.Attribute("value", OnnxModels.Typed(OnnxModels.Floats("", [48, 1], OnnxModels.Random(48, 2))))),
            OnnxModels.Node("Constant", [], ["shape"], new AttributeProto { Name = "value_ints", Type = Kind.Ints, Ints = { -1 } }),
            OnnxModels.Node("Reshape", ["b", "shape"], ["flat"]),
            OnnxModels.Node("Unsqueeze", ["flat", "axes"], ["row"]),
            OnnxModels.Node("MatMul", ["x", "w"], ["h"]),
            OnnxModels.Node("Add", ["h", "row"], ["s"]),
            OnnxModels.Node("Tanh", ["s"], ["y"]),
        },
    }));

    [Fact]
    public void Exported_branches_and_loops_give_the_same_outputs()
    {
        GraphProto Branch(string name, ulong seed) => new()
        {
            Name = name,
            Output = { OnnxModels.Value(name + "_out", DataType.Float, 2, 600) },
            Initializer = { OnnxModels.Floats("w", [300, 600], OnnxModels.Random(300 * 600, seed)) }, // the same name in both branches
            Node = { OnnxModels.Node("MatMul", ["x", "w"], [name + "_out"]) },
        };
        GraphProto body = new()
        {
            Name = "body",
            Input = { OnnxModels.Value("i", DataType.Int64), OnnxModels.Value("go_in", DataType.Bool), OnnxModels.Value("a", DataType.Float, 2, 600) },
            Output = { OnnxModels.Value("go", DataType.Bool), OnnxModels.Value("a_out", DataType.Float, 2, 600) },
            Node =
            {
                OnnxModels.Node("Identity", ["go_in"], ["go"]),
                OnnxModels.Node("Constant", [], ["k"], OnnxModels.Attribute("value", OnnxModels.Floats("k", [600], OnnxModels.Random(600, 5)))),
                OnnxModels.Node("Mul", ["a", "k"], ["a_out"]),
            },
        };
        AssertSameOutputs(OnnxModels.Model(new GraphProto
        {
            Name = "control",
            Input = { OnnxModels.Value("x", DataType.Float, 2, 300), OnnxModels.Value("c", DataType.Bool) },
            Output = { OnnxModels.Value("y", DataType.Float, 2, 600) },
            Initializer = { OnnxModels.Ints("trips", [], 3) },
            Node =
            {
                OnnxModels.Node("If", ["c"], ["z"], OnnxModels.Attribute("then_branch", Branch("then", 3)), OnnxModels.Attribute("else_branch", Branch("else", 4))),
                OnnxModels.Node("Loop", ["trips", "", "z"], ["y"], OnnxModels.Attribute("body", body)),
            },
        }));
    }

    [Fact]
    public void Exported_scan_gives_the_same_outputs() => AssertSameOutputs(OnnxModels.Model(new GraphProto
    {
        Name = "scan",
        Input = { OnnxModels.Value("x", DataType.Float, 5, 400) },
        Output = { OnnxModels.Value("sum", DataType.Float, 400), OnnxModels.Value("steps", DataType.Float, 5, 400) },
        Initializer = { OnnxModels.Floats("zero", [400], new float[400]) },
        Node =
        {
            OnnxModels.Node("Scan", ["zero", "x"], ["sum", "steps"], OnnxModels.Attribute("num_scan_inputs", 1), OnnxModels.Attribute("body", new GraphProto
            {
                Name = "step",
                Input = { OnnxModels.Value("a", DataType.Float, 400), OnnxModels.Value("row", DataType.Float, 400) },
                Output = { OnnxModels.Value("b", DataType.Float, 400), OnnxModels.Value("out", DataType.Float, 400) },
                Initializer = { OnnxModels.Floats("w", [400], OnnxModels.Random(400, 8)) },
                Node = { OnnxModels.Node("Mul", ["row", "w"], ["m"]), OnnxModels.Node("Add", ["a", "m"], ["b"]), OnnxModels.Node("Identity", ["b"], ["out"]) },
            })),
        },
    }));

    [Fact]
    public void Exported_sparse_initializer_with_external_values_gives_the_same_outputs() => AssertSameOutputs(OnnxModels.Model(new GraphProto
    {
        Name = "sparse",
        Input = { OnnxModels.Value("x", DataType.Float, 1, 1000) },
        Output = { OnnxModels.Value("y", DataType.Float, 1, 1000) },
        SparseInitializer = { new SparseTensorProto { Values = OnnxModels.Floats("s", [300], OnnxModels.Random(300, 6)), Indices = OnnxModels.Ints("", [300], [.. Enumerable.Range(0, 300).Select(i => (long)i * 3)]), Dims = { 1, 1000 } } },
        Node = { OnnxModels.Node("Add", ["x", "s"], ["y"]) },
    }));

    [Fact]
    public void Exported_function_and_sparse_initializer_give_the_same_outputs()
    {
        ModelProto model = OnnxModels.Model(new GraphProto
        {
            Name = "f",
            Input = { OnnxModels.Value("x", DataType.Float, 2, 3) },
            Output = { OnnxModels.Value("y", DataType.Float, 2, 3) },
            SparseInitializer = { OnnxModels.Sparse("s") },
            Node = { new NodeProto { OpType = "Affine", Domain = "org.example", Input = { "x", "s" }, Output = { "y" }, Name = "call" } },
        });
        model.OpsetImport.Add(new OperatorSetIdProto { Domain = "org.example", Version = 1 });
        model.Functions.Add(new FunctionProto
        {
            Name = "Affine",
            Domain = "org.example",
            Input = { "a", "b" },
            Output = { "r" },
            OpsetImport = { new OperatorSetIdProto { Version = 17 } },
            Node = { OnnxModels.Node("Constant", [], ["k"], OnnxModels.Attribute("value", OnnxModels.Floats("", [3], 2, 3, 4))), OnnxModels.Node("Mul", ["a", "k"], ["m"]), OnnxModels.Node("Add", ["m", "b"], ["r"]) },
        });
        AssertSameOutputs(model);
    }

    [Fact]
    public void Exported_int4_weights_give_the_same_outputs()
    {
        byte[] codes = new byte[64 * 32 / 2];
        new SplitMix(3).Fill(codes);
        AssertSameOutputs(OnnxModels.Model(
            new GraphProto
            {
                Name = "q",
                Input = { OnnxModels.Value("x", DataType.Float, "n", 64) },
                Output = { OnnxModels.Value("y", DataType.Float, "n", 32) },
                Initializer = { OnnxModels.Raw("w", DataType.Int4, [64, 32], codes), OnnxModels.Floats("scale", [2, 32], OnnxModels.Random(64, 9)) },
                Node = { OnnxModels.Node("DequantizeLinear", ["w", "scale"], ["d"], OnnxModels.Attribute("axis", 0), OnnxModels.Attribute("block_size", 32)), OnnxModels.Node("MatMul", ["x", "d"], ["y"]) },
            },
            21,
            10));
    }

    [Fact]
    public void Exported_model_of_opset_7_gives_the_same_outputs() => AssertSameOutputs(OnnxModels.Model(
        new GraphProto
        {
            Name = "old",
            Input = { OnnxModels.Value("x", DataType.Float, 1, 3, 8, 8), OnnxModels.Value("w", DataType.Float, 4, 3, 3, 3) },
            Output = { OnnxModels.Value("y", DataType.Float, 1, 4, 6, 6) },
            Initializer = { OnnxModels.Floats("w", [4, 3, 3, 3], OnnxModels.Random(108, 9)) },
            Node = { OnnxModels.Node("Conv", ["x", "w"], ["y"]) },
        },
        7,
        3));

    [Fact]
    public void Exported_sample_gives_the_same_outputs()
    {
        using var folder = new TempFolder();
        string sample = RepositoryTree.PathTo("samples", "models", "tinyllama", "model.onnx");
        OnnxRoundTrip.Copy(sample, folder["copy.onnx"]);
        static void Positions(string name, Array values)
        {
            for (int i = 0; i < values.Length; i++)
            {
                values.SetValue(name.Contains("mask", StringComparison.Ordinal) ? 1L : name.Contains("position", StringComparison.Ordinal) ? i : (i * 37L) % 500, i);
            }
        }

        IReadOnlyList<string> expected = OnnxRuntimeRunner.Run(sample, 1, (n, a) => AdjustIntegers(n, a, Positions));
        Assert.Equal(expected, OnnxRuntimeRunner.Run(folder["copy.onnx"], 1, (n, a) => AdjustIntegers(n, a, Positions)));
    }

    private static void AdjustIntegers(string name, Array values, Action<string, Array> adjust)
    {
        if (values is long[])
        {
            adjust(name, values);
        }
    }

    private static void AssertSameOutputs(ModelProto model)
    {
        using var folder = new TempFolder();
        string source = model.Save(folder);
        IReadOnlyList<string> expected = OnnxRuntimeRunner.Run(source, 3);
        OnnxRoundTrip.Copy(source, folder["inside.onnx"]);
        Assert.Equal(expected, OnnxRuntimeRunner.Run(folder["inside.onnx"], 3));
        OnnxRoundTrip.Copy(source, folder["outside.onnx"], new OnnxExportOptions { Weights = OnnxWeights.External });
        Assert.Equal(expected, OnnxRuntimeRunner.Run(folder["outside.onnx"], 3));
    }
}
