using ModelPack.Compiler;
using ModelPack.Containers.Onnx;
using ModelPack.Containers.Onnx.Schema;
using ModelPack.Testing;
using Xunit;

namespace ModelPack.Tests.Onnx;

/// <summary>Graphs without weights, as artifacts hold them, and the paths by which the weights are found again.</summary>
public sealed class OnnxWeightlessTests
{
    private static readonly string[] KitchenSinkPaths =
    [
        "weight", "shape", "words", "sparse.values", "sparse.indices", "branch.then_branch/w", "branch.else_branch/s.then_branch/w", "branch.else_branch/s.else_branch/w",
        "z.t", "z.ts[0]", "z.ts[1]", "z.gs[0]/w", "z.st.values", "z.st.indices", "z.sts[0].values", "z.sts[0].indices", "z.sts[1].values", "z.sts[1].indices",
        "function:org.example::Strange:v2.scale", "function:org.example::Strange:v2/k.value", "training[0].initialization/w0", "training[0].algorithm/rate",
    ];

    [Fact]
    public void Enumerate_gives_every_tensor_a_unique_path() =>
        Assert.Equal(KitchenSinkPaths, ModelTensors.Enumerate(Read(OnnxModels.KitchenSink())).Select(t => t.Path));

    [Fact]
    public void Enumerate_keeps_plain_names_for_the_main_graph_when_others_collide()
    {
        GraphProto branch = new() { Name = "b", Initializer = { OnnxModels.Floats("w", [1], 1) } };
        GraphProto graph = new()
        {
            Initializer = { OnnxModels.Floats("n.then_branch/w", [1], 2), OnnxModels.Floats("n.value", [1], 2) },
            Node = { OnnxModels.Node("If", ["c"], ["n"], OnnxModels.Attribute("then_branch", branch)), OnnxModels.Node("Constant", [], ["n"], OnnxModels.Attribute("value", OnnxModels.Floats("", [1], 3))), OnnxModels.Node("If", ["c"], ["n"], OnnxModels.Attribute("then_branch", branch.Clone())) },
        };
        Assert.Equal(["n.then_branch/w", "n.value", "n.then_branch/w~2", "n.value~2", "n.then_branch/w~3"], ModelTensors.Enumerate(Read(OnnxModels.Model(graph))).Select(t => t.Path));
    }

    [Fact]
    public void Replace_without_change_returns_the_same_model()
    {
        Model model = Read(OnnxModels.KitchenSink());
        Assert.Same(model, ModelTensors.Replace(model, (_, t) => t));
    }

    [Fact]
    public void Replace_changes_only_the_tensor_at_the_path()
    {
        Model model = Read(OnnxModels.KitchenSink());
        foreach (string target in KitchenSinkPaths)
        {
            Model changed = ModelTensors.Replace(model, (path, t) => path == target ? t with { Shape = new Shape(42) } : t);
            Assert.Equal([target], ModelTensors.Enumerate(changed).Where(t => t.Tensor.Shape == new Shape(42)).Select(t => t.Path));
            Assert.NotSame(model, changed);
        }
    }

    [Fact]
    public void Weightless_graph_comes_back_whole_when_its_tensors_are_bound()
    {
        using var folder = new TempFolder();
        string source = OnnxModels.KitchenSink().Save(folder);
        using ImportedModel imported = OnnxModelReader.Import(source);
        Dictionary<string, Tensor> stored = ModelTensors.Enumerate(imported.Model).Where(t => t.Tensor.DType != DType.String).ToDictionary(t => t.Path, t => t.Tensor);
        byte[] graph = OnnxModelWriter.WriteWeightless(imported.Model, (Tensor _) => true);
        var asked = new List<string>();
        Model rebuilt = OnnxModelReader.ReadWeightless(TensorData.FromBytes(graph), (path, placeholder) =>
        {
            asked.Add(path);
            Assert.Equal(stored[path].Name, placeholder.Name);
            return stored[path];
        });
        Assert.Equal(KitchenSinkPaths.Where(p => p != "words"), asked);
        OnnxModelWriter.Write(rebuilt, folder["copy.onnx"], OnnxRoundTrip.Dense);
        OnnxSemantics.AssertSame(source, folder["copy.onnx"]);
    }

    [Fact]
    public void Weightless_graph_refers_to_the_artifact_and_keeps_the_rest()
    {
        Model model = Read(OnnxModels.KitchenSink());
        ModelProto graph = ModelProto.Parser.ParseFrom(OnnxModelWriter.WriteWeightless(model, (path, _) => path is "weight" or "branch.then_branch/w"));
        TensorProto weight = graph.Graph.Initializer[0];
        Assert.Equal(TensorProto.Types.DataLocation.External, weight.DataLocation);
        Assert.Equal("location=model.mpack,offset=0,length=16", string.Join(',', weight.ExternalData.Select(e => $"{e.Key}={e.Value}")));
        Assert.False(weight.HasRawData);
        Assert.Equal(24, graph.Graph.Initializer[1].RawData.Length);
        Assert.Equal(TensorProto.Types.DataLocation.External, graph.Graph.Node[0].Attribute[0].G.Initializer[0].DataLocation);
        Assert.Equal(8, graph.Graph.Node[0].Attribute[1].G.Node[0].Attribute[0].G.Initializer[0].RawData.Length);
    }

    [Fact]
    public void Weightless_graph_with_an_unknown_tensor_is_MP1253()
    {
        byte[] graph = OnnxModelWriter.WriteWeightless(Read(OnnxModels.KitchenSink()), (path, _) => path == "weight");
        AssertUnbound(graph, (_, _) => null);
        AssertUnbound(graph, (_, t) => t with { Shape = new Shape(4) });
        AssertUnbound(graph, (_, t) => t with { DType = DType.I32 });
    }

    private static void AssertUnbound(byte[] graph, BindTensor bind)
    {
        ModelPackException e = Assert.Throws<ModelPackException>(() => OnnxModelReader.ReadWeightless(TensorData.FromBytes(graph), bind));
        Assert.Equal((ErrorCodes.OnnxUnboundTensor, "weight"), (e.Code, e.Tensor));
    }

    private static Model Read(ModelProto model) => OnnxModelReader.Read(TensorData.FromBytes(model.ToBytes()));
}
