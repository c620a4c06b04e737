using ModelPack.Architectures;
using ModelPack.Compiler;
using ModelPack.Compiler.Planning.Memory;
using ModelPack.Compiler.Shapes;
using ModelPack.Testing;
using ModelPack.Tests.Architectures;
using ModelPack.Tests.Toolchain;
using ModelPack.Toolchain;
using Xunit;
using static ModelPack.Tests.Compiler.Ir;
using ValueType = ModelPack.Compiler.ValueType;

namespace ModelPack.Tests.Planning;

/// <summary>Memory plans: no two values in the same place at the same time, nothing counted twice or left out.</summary>
public sealed class MemoryPlannerTests
{
    private const int Kibi = 1024;

    /// <summary>A KiB goes in; the chain is written over itself, its copy through Transpose is not.</summary>
    [Fact]
    public void Plan_ofAChain_writesOverWhatNothingReadsAfterwards()
    {
        MemoryPlan plan = Plan([16, 16], Op("Relu", "x", "a"), Op("Sigmoid", "a", "b"), Op("Transpose", "b", "c"), Op("Reshape", "c,s", "d"), Op("Exp", "d", "y"));

        Assert.Equal([["a", "b"], ["c", "d", "y"]], plan.Buffers.Select(b => b.Values));
        Assert.Equal(2 * Kibi, plan.ArenaBytes);
        Assert.Equal(2 * Kibi, plan.PeakBytes);
        Assert.Equal("Transpose(c)", plan.PeakNode);
        Assert.Equal(Kibi, plan.InputBytes);
        Assert.Empty(plan.Unknown);
    }

    /// <summary>b reads a, which is read again: not in its place. The caller's input is nobody's place either.</summary>
    [Fact]
    public void Plan_ofValuesReadAgain_keepsThem()
    {
        MemoryPlan plan = Plan([16, 16], Op("Relu", "x", "a"), Op("Sigmoid", "a", "b"), Op("Add", "a,b", "y"));

        Assert.Equal([["a", "y"], ["b"]], plan.Buffers.Select(b => b.Values));
        Assert.Equal(2 * Kibi, plan.ArenaBytes);
    }

    [Fact]
    public void Plan_ofConstants_countsThemOnceAndKeepsThemOutOfTheArena()
    {
        MemoryPlan plan = Plan([16, 16], Op("Cast", "s", "f", Int("to", 1)), Op("Relu", "x", "y"));

        Assert.Equal(4, plan.ConstantBytes);
        Assert.Equal(Kibi, plan.ArenaBytes);
    }

    /// <summary>Which branch is taken is not known: the larger one counts, while the node runs.</summary>
    [Fact]
    public void Plan_ofBranches_countsTheLargerOne()
    {
        Graph branch(string prefix, int copies) => Graph("", $"{prefix}_y", [Op("Concat", string.Join(',', Enumerable.Repeat("x", copies)), $"{prefix}_a", Int("axis", 0)), Op("ReduceMax", $"{prefix}_a", $"{prefix}_y")]);
        Node choose = Op("If", "c", "y", Sub("then_branch", branch("t", 3)), Sub("else_branch", branch("e", 5)));
        var model = Model(new Graph
        {
            Inputs = [new ValueInfo("x", new ValueType(DType.F32, [new Dimension(256)])), new ValueInfo("c", new ValueType(DType.Bool, []))],
            Outputs = [new ValueInfo("y", ValueType.Unknown)],
            Nodes = [choose],
        });

        MemoryPlan plan = MemoryPlanner.Plan(ShapeInference.Infer(model, new Dictionary<string, long>()));

        // Five KiB and the maximum, aligned or behind; and the output of the node.
        Assert.InRange(plan.ArenaBytes, (5 * Kibi) + 8, (5 * Kibi) + (4 * MemoryPlanner.AlignmentBytes));
        Assert.Equal(new Shape(1), ShapeInference.Infer(model, new Dictionary<string, long>())["y"].Shape);
    }

    [Fact]
    public void Plan_ofSizesThatDependOnData_namesThem()
    {
        MemoryPlan plan = Plan([16, 16], Op("NonZero", "x", "n"), Op("Relu", "x", "y"));

        Assert.Equal("n", Assert.Single(plan.Unknown));
    }

    /// <summary>What no machine holds is not counted, instead of sums that overflow.</summary>
    [Fact]
    public void Plan_ofSizesBeyondAllBounds_namesThem()
    {
        MemoryPlan plan = Plan([1L << 31, 1L << 29], Op("Relu", "x", "a"), Op("Sigmoid", "a", "y"));

        Assert.Equal(["a", "y"], plan.Unknown.ToArray());
        Assert.Equal((0, 0, 0), (plan.ArenaBytes, plan.PeakBytes, plan.InputBytes));
    }

    [Theory]
    [InlineData("llama")]
    [InlineData("gemma3")]
    [InlineData("phi3")]
    [InlineData("mixtral")]
    [InlineData("deepseek v3")]
    public void Plan_ofLanguageModels_neverSharesAPlaceAtTheSameTime(string family)
    {
        using var folder = new TempFolder();
        using ImportedModel imported = ModelInput.Import(FamilyCases.Make(family).Write(folder), false, out _, default, GraphForm.Cached);
        GraphShapes shapes = ShapeInference.Infer(imported.Model, new Dictionary<string, long> { ["seq"] = 9, ["past"] = 5 });
        MemoryPlan plan = MemoryPlanner.Plan(shapes);

        Check(plan, imported.Model.Graph, shapes);
        Assert.InRange(plan.ArenaBytes, plan.PeakBytes, plan.PeakBytes * 5 / 4);
    }

    /// <summary>Values of many sizes and lives.</summary>
    [Fact]
    public void Plan_ofRandomGraphs_neverSharesAPlaceAtTheSameTime()
    {
        var random = new SplitMix(5);
        for (int round = 0; round < 100; round++)
        {
            var nodes = new List<Node>();
            for (int i = 0; i < 40; i++)
            {
                string read = i == 0 ? "x" : $"v{random.Below(i)}";
                nodes.Add(random.Below(3) switch
                {
                    0 => Op("Relu", read, $"v{i}"),
                    1 => Op("Concat", $"{read},x", $"v{i}", Int("axis", 0)),
                    _ => Op("Add", $"{read},one", $"v{i}"),
                });
            }

            var graph = new Graph { Inputs = [new ValueInfo("x", new ValueType(DType.F32, [new Dimension(1 + random.Below(90))]))], Outputs = [new ValueInfo("v39", ValueType.Unknown), new ValueInfo("v7", ValueType.Unknown)], Nodes = [.. nodes], Initializers = [F32("one", [1], 1)] };
            GraphShapes shapes = ShapeInference.Infer(Model(graph), new Dictionary<string, long>());
            Check(MemoryPlanner.Plan(shapes), graph, shapes);
        }
    }

    /// <summary>What <c>explain</c> tells of an artifact: sizes by name, tokens by rows, and that the arena grows with them.</summary>
    [Fact]
    public void Explain_ofAnArtifact_tellsTheMemoryOfARun()
    {
        using var folder = new TempFolder();
        string model = folder["m.onnx"];
        File.WriteAllBytes(model, NetworkModel.Language());
        ModelCompiler.Compile(new CompileRequest { Input = model, Output = folder["m.mpack"], Recipe = "int8" });

        PredictedMemory one = Inspection.Explain(folder["m.mpack"]).Memory!;
        PredictedMemory many = Inspection.Explain(folder["m.mpack"], rows: 100).Memory!;
        PredictedMemory given = Inspection.Explain(folder["m.mpack"], rows: 100, sizes: new Dictionary<string, long> { ["seq"] = 50, ["batch"] = 2 }).Memory!;

        Assert.Equal(1, one.Sizes["seq"]);
        Assert.Equal(100, many.Sizes["seq"]);
        Assert.Equal((50, 2), (given.Sizes["seq"], given.Sizes["batch"]));
        Assert.Equal(many.ArenaBytes, given.ArenaBytes);
        // Two widths at a time, f32: 96 inputs and 80 hidden, or 80 hidden and 64 outputs.
        Assert.Equal((NetworkModel.Width + NetworkModel.Hidden) * 4 * 100, many.PeakBytes);
        Assert.Equal(800, many.InputBytes);
        Assert.True(one.WeightBytes == many.WeightBytes && one.WeightBytes > 0);
        Assert.Empty(many.Unknown);
        Assert.Equal("MP3004", Assert.Throws<ModelPackException>(() => Inspection.Explain(folder["m.mpack"], sizes: new Dictionary<string, long> { ["sec"] = 1 })).Code.ToString());
    }

    /// <summary>The definition, node by node: all values that are needed then lie apart, and every known value lies somewhere.</summary>
    private static void Check(MemoryPlan plan, Graph graph, GraphShapes shapes)
    {
        HashSet<string> outputs = [.. graph.Outputs.Select(o => o.Name)];
        Dictionary<string, PlannedBuffer> places = plan.Buffers.SelectMany(b => b.Values.Select(v => (v, b))).ToDictionary(x => x.v, x => x.b, StringComparer.Ordinal);
        foreach ((string value, PlannedBuffer place) in places)
        {
            Assert.Equal(shapes[value].Bytes, place.LengthBytes);
            Assert.True(place.OffsetBytes >= 0 && place.OffsetBytes + place.LengthBytes <= plan.ArenaBytes && place.OffsetBytes % MemoryPlanner.AlignmentBytes == 0);
        }

        var holds = new Dictionary<PlannedBuffer, string>();
        for (int i = 0; i < graph.Nodes.Length; i++)
        {
            Node node = graph.Nodes[i];
            foreach (string read in node.Inputs.Where(places.ContainsKey))
            {
                // Nothing was written over what is still read, but by a value that only has another shape.
                Assert.True(holds[places[read]] == read || graph.Nodes.Any(n => n.Outputs.Contains(holds[places[read]]) && n.OpType is "Reshape" or "Squeeze" or "Unsqueeze" or "Flatten" or "Identity"), $"{node.Handle} reads {read}, where {holds[places[read]]} lies");
            }

            PlannedBuffer[] live = [.. plan.Buffers.Where(b => b.First <= i && i <= b.Last).OrderBy(b => b.OffsetBytes)];
            for (int k = 1; k < live.Length; k++)
            {
                Assert.True(live[k - 1].OffsetBytes + live[k - 1].LengthBytes <= live[k].OffsetBytes, $"{live[k - 1]} and {live[k]}");
            }

            Assert.True(live.Sum(b => b.LengthBytes) <= plan.PeakBytes);
            foreach (string made in node.Outputs.Where(places.ContainsKey))
            {
                Assert.InRange(i, places[made].First, places[made].Last);
                holds[places[made]] = made;
            }
        }

        Assert.All(outputs.Where(places.ContainsKey), o => Assert.Equal(graph.Nodes.Length, places[o].Last));
        string[] missing = [.. graph.Nodes.SelectMany(n => n.Outputs).Where(o => o.Length > 0 && shapes[o].Bytes > 0 && !places.ContainsKey(o))];
        Assert.Equal(plan.ConstantBytes, missing.Sum(m => shapes[m].Bytes!.Value));
    }

    private static MemoryPlan Plan(long[] x, params Node[] nodes) => MemoryPlanner.Plan(ShapeInference.Infer(
        Model(new Graph
        {
            Inputs = [new ValueInfo("x", new ValueType(DType.F32, [.. x.Select(d => new Dimension(d))]))],
            Outputs = [new ValueInfo("y", ValueType.Unknown)],
            Nodes = [.. nodes],
            Initializers = [I64("s", [1], -1)],
        }),
        new Dictionary<string, long>()));
}
