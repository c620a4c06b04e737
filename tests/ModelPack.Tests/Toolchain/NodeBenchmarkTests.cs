using System.Collections.Immutable;
using System.Globalization;
using ModelPack.Compiler;
using ModelPack.Testing;
using ModelPack.Testing.Onnx;
using ModelPack.Toolchain;
using Xunit;

namespace ModelPack.Tests.Toolchain;

/// <summary>Times of nodes by ONNX Runtime's profiler, and what was predicted for them.</summary>
public sealed class NodeBenchmarkTests : IDisposable
{
    private readonly TempFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    /// <summary>As ONNX Runtime 1.31.1 writes it, shortened: a run to warm up and three that count, a loop with a node inside, and an event of something else.</summary>
    private const string Profile = """
        [
        {"cat" : "Session","pid" :7,"tid" :7,"dur" :900,"ts" :5,"ph" : "X","name" :"session_initialization","args" : {}},
        {"cat" : "Node","pid" :7,"tid" :7,"dur" :500,"ts" :1000,"ph" : "X","name" :"product_kernel_time","args" : {"thread_scheduling_stats" : "","output_size" : "4","node_index" : "0","provider" : "CPUExecutionProvider","op_name" : "MatMul"}},
        {"cat" : "Session","pid" :7,"tid" :7,"dur" :600,"ts" :990,"ph" : "X","name" :"model_run","args" : {}},
        {"cat" : "Node","pid" :7,"tid" :7,"dur" :10,"ts" :2000,"ph" : "X","name" :"product_kernel_time","args" : {"node_index" : "0","op_name" : "MatMul"}},
        {"cat" : "Node","pid" :7,"tid" :7,"dur" :3,"ts" :2012,"ph" : "X","name" :"inner_kernel_time","args" : {"node_index" : "0","op_name" : "Add"}},
        {"cat" : "Node","pid" :7,"tid" :7,"dur" :8,"ts" :2010,"ph" : "X","name" :"Loop_2_kernel_time","args" : {"node_index" : "2","op_name" : "Loop"}},
        {"cat" : "Session","pid" :7,"tid" :7,"dur" :30,"ts" :1995,"ph" : "X","name" :"SequentialExecutor::Execute","args" : {}},
        {"cat" : "Session","pid" :7,"tid" :7,"dur" :40,"ts" :1990,"ph" : "X","name" :"model_run","args" : {}},
        {"cat" : "Node","pid" :7,"tid" :7,"dur" :14,"ts" :3000,"ph" : "X","name" :"product_kernel_time","args" : {"node_index" : "0","op_name" : "MatMul"}},
        {"cat" : "Node","pid" :7,"tid" :7,"dur" :2,"ts" :3014,"ph" : "X","name" :"Loop_2_kernel_time","args" : {"node_index" : "2","op_name" : "Loop"}},
        {"cat" : "Session","pid" :7,"tid" :7,"dur" :60,"ts" :2990,"ph" : "X","name" :"model_run","args" : {}},
        {"cat" : "Node","pid" :7,"tid" :7,"dur" :90,"ts" :4000,"ph" : "X","name" :"product_kernel_time","args" : {"node_index" : "0","op_name" : "MatMul"}},
        {"cat" : "Node","pid" :7,"tid" :7,"dur" :4,"ts" :4090,"ph" : "X","name" :"Loop_2_kernel_time","args" : {"node_index" : "2","op_name" : "Loop"}},
        {"cat" : "Session","pid" :7,"tid" :7,"dur" :110,"ts" :3990,"ph" : "X","name" :"model_run","args" : {}}
        ]

        """;

    [Fact]
    public void Read_givesMediansOfTheRunsThatCountAndNoNodeTwice()
    {
        var times = NodeTimes.Read(new StringReader(Profile), 1, "m.onnx");

        Assert.Equal(3, times.Runs);
        Assert.Equal(60e-6, times.RunSeconds, 1e-12);
        Assert.Collection(
            times.Nodes,
            n => Assert.Equal(("product", "MatMul", 0, "14.0"), (n.Name, n.Op, n.Index, Microseconds(n.Seconds))),
            n => Assert.Equal(("Loop_2", "Loop", 2, "4.0"), (n.Name, n.Op, n.Index, Microseconds(n.Seconds))));
    }

    [Theory]
    [InlineData("no json", 0, "line 1")]
    [InlineData("[\n{\"cat\" : \"Node\",\"name\" :\"a\"b_kernel_time\"},\n]", 0, "line 2")]
    [InlineData("[\n]", 0, "no run")]
    [InlineData(Profile, 4, "no run")]
    public void Read_notAProfile_saysWhere(string text, int warmUps, string where)
    {
        ModelPackException error = Assert.Throws<ModelPackException>(() => NodeTimes.Read(new StringReader(text), warmUps, "m.onnx"));

        Assert.Equal(ErrorCodes.RunFailed, error.Code);
        Assert.Contains(where, error.Message, StringComparison.Ordinal);
    }

    /// <summary>By name, by position where there is no name, by what ONNX Runtime added to a name, and by the values between which a new node lies.</summary>
    [Fact]
    public void Find_pairsWhatRanWithTheGraph()
    {
        Graph graph = new()
        {
            Nodes =
            [
                Node("c", "Constant", [], ["one"]),
                Node("", "MatMul", ["x", "w"], ["a"]),
                Node("conv_1", "Conv", ["a", "k"], ["b"]),
                Node("conv_12", "Conv", ["b", "k"], ["d"]),
                Node("square", "Pow", ["d", "two"], ["e"]),
                Node("mean", "ReduceMean", ["e"], ["f"]),
                Node("scaled", "Mul", ["f", "g"], ["y"]),
                Node("last", "Relu", ["y"], ["z"]),
                Node("folded", "Shape", ["w"], ["s"]),
            ],
        };
        Graph optimized = new()
        {
            Nodes =
            [
                Node("", "MatMul", ["x", "w"], ["a"]),
                Node("conv_1_nchwc", "Conv", ["a", "k2"], ["b2"]),
                Node("d_nchwc_token_4", "Conv", ["b2", "k3"], ["d2"]),
                Node("ReorderOutput_3", "ReorderOutput", ["d2"], ["d"]),
                Node("Norm", "SimplifiedLayerNormalization", ["d", "g"], ["y"]),
                Node("last", "Relu", ["y"], ["z"]),
            ],
        };
        NodeTime[] times =
        [
            new("MatMul_0", "MatMul", 0, 1), new("d_nchwc_token_4", "Conv", 20, 1), new("conv_1_nchwc", "Conv", 21, 1), new("ReorderOutput_3", "ReorderOutput", 22, 1), new("Norm", "SimplifiedLayerNormalization", 23, 1), new("last", "Relu", 6, 1),
        ];

        IReadOnlyList<int> ranAs = NodePairing.Find(graph, times, optimized);
        IReadOnlyList<int> byNames = NodePairing.Find(graph, times, null);

        Assert.Equal([-1, 0, 2, 1, 4, 4, 4, 5, -1], ranAs);
        Assert.Equal([-1, 0, 2, 1, -1, -1, -1, 5, -1], byNames);
    }

    [Fact]
    public void Rows_addUpWhatIsPredictedTogetherAndHideNothing()
    {
        NodeTime[] times = [new("down", "PackedMatMul", 0, 30e-6), new("up", "PackedMatMul", 1, 60e-6), new("cast", "Cast", 2, 8e-6), new("odd", "Odd", 3, 2e-6)];
        int[] ranAs = [0, 1, 2, 3, -1];
        PredictedNodes[] predicted =
        [
            new([0, 1], "modelpack:LowRankMatMul", 75e-6), new([2], null, 4e-6), new([3], null, null), new([4], null, 1e-6), new([], "expand", 5e-6),
        ];

        (IReadOnlyList<BenchedNode> rows, IReadOnlyList<PredictedNodes> notRun) = NodePairing.Rows(times, ranAs, predicted);

        Assert.Equal(["up", "cast", "odd"], rows.Select(r => r.Name));
        Assert.Equal(["modelpack:LowRankMatMul", null, null], rows.Select(r => r.Kernel));
        Assert.Equal(["up", "down"], rows[0].Parts);
        Assert.Equal([0.9, 0.08, 0.02], rows.Select(r => Math.Round(r.Share, 6)));
        Assert.Equal(1.2, rows[0].Ratio!.Value, 1e-9);
        Assert.Equal([true, false, null], rows.Select(r => r.Within));
        Assert.Null(rows[2].PredictedSeconds);
        Assert.Equal([1e-6, 5e-6], notRun.Select(n => n.Seconds!.Value));
    }

    /// <summary>Every node that takes time has a row, and predictions are those of <c>explain</c>.</summary>
    [Fact]
    public void Measure_artifact_predictsAsExplainDoes()
    {
        string artifact = Artifact();
        HardwareProfile machine = HardwareProfiles.Load("x64-server");

        BenchedNodes nodes = NodeBenchmark.Measure(artifact, machine, threads: 1, sizes: new Dictionary<string, long> { ["rows"] = 32 });

        ExplainResult explained = Inspection.Explain(artifact, machine, 1, 1, new Dictionary<string, long> { ["rows"] = 32 });
        Assert.InRange(nodes.Runs, 20, 1000);
        Assert.Equal(32, nodes.Sizes["rows"]);
        Assert.Equal(new BenchedProfile("x64-server", machine.Source, false, 1), nodes.Profile);
        Assert.Null(nodes.NotPredicted);
        Assert.All(nodes.Nodes, n => Assert.InRange(n.Share, BenchedNodes.LeastShare, 1));
        Assert.All(nodes.Nodes, n => Assert.True(n.MeasuredSeconds > 0));
        foreach (string name in new[] { "first", "second" })
        {
            BenchedNode row = Assert.Single(nodes.Nodes, n => n.Name == name);
            ExplainedNode node = Assert.Single(explained.Nodes, n => n.Name == name);
            Assert.Equal(node.Kernel, row.Kernel);
            Assert.Equal(node.PredictedSeconds!.Value, row.PredictedSeconds!.Value, 1e-12);
        }

        double predicted = nodes.Predicted.PredictedSeconds + nodes.Small.PredictedSeconds + nodes.NotRun.PredictedSeconds;
        Assert.Equal(explained.Predicted!.Seconds, predicted, 1e-9);
        Assert.Equal(0, nodes.Unpredicted.Count);
        Assert.Equal(nodes.NodeSeconds, nodes.Predicted.MeasuredSeconds + nodes.Small.MeasuredSeconds, 1e-9);
        Assert.Equal(nodes.Nodes.Count, nodes.Predicted.Count);
    }

    /// <summary>A product of two factors is planned as one and runs as two nodes.</summary>
    [Fact]
    public void Measure_productOfTwoFactors_isOneRow()
    {
        const int size = 512;
        string model = _folder.Write("m.onnx", new OnnxBuilder()
            .Input("x", OnnxBuilder.Float, "rows", size)
            .Output("y", OnnxBuilder.Float, "rows", size)
            .Initializer("w", Values.Weights(1, size * size), size, size)
            .Node("MatMul", ["x", "w"], ["y"], name: "product")
            .Build());
        ModelCompiler.Compile(new CompileRequest
        {
            Input = model,
            Output = _folder["m.mpack"],
            Recipe = _folder.Write("r.json", """{ "name": "r", "passes": ["canonicalize",{"pass":"decompose","structure":"lowrank","rank":32,"ends":"decompose","min_elements":1,"min_vectors":1}] }"""),
        });
        HardwareProfile machine = HardwareProfiles.Load("x64-server");

        BenchedNodes nodes = NodeBenchmark.Measure(_folder["m.mpack"], machine, threads: 1, sizes: new Dictionary<string, long> { ["rows"] = 64 });

        ExplainResult explained = Inspection.Explain(_folder["m.mpack"], machine, 1, 1, new Dictionary<string, long> { ["rows"] = 64 });
        BenchedNode row = Assert.Single(nodes.Nodes);
        Assert.StartsWith("modelpack:LowRankMatMul(32", row.Kernel, StringComparison.Ordinal);
        Assert.Equal(2, row.Parts.Count);
        Assert.Equal(explained.Nodes[0].PredictedSeconds!.Value, row.PredictedSeconds!.Value, 1e-12);
        Assert.Equal(0, nodes.Unpredicted.Count);
    }

    /// <summary>Convolutions run in an order of channels of ONNX Runtime's own, with activations inside, under new names.</summary>
    [Fact]
    public void Measure_convolutionsThatWereRenamed_haveTheirPredictions()
    {
        string model = _folder.Write("m.onnx", new OnnxBuilder()
            .Input("x", OnnxBuilder.Float, 1, 32, "h", "w")
            .Output("y", OnnxBuilder.Float, 1, 64, "h", "w")
            .Initializer("k", Values.Weights(1, 32 * 32 * 9), 32, 32, 3, 3)
            .Initializer("l", Values.Weights(2, 64 * 32 * 9), 64, 32, 3, 3)
            .Node("Conv", ["x", "k"], ["a"], name: "conv_1", attributes: ("pads", new long[] { 1, 1, 1, 1 }))
            .Node("Relu", ["a"], ["b"], name: "relu")
            .Node("Conv", ["b", "l"], ["y"], name: "conv_2", attributes: ("pads", new long[] { 1, 1, 1, 1 }))
            .Build());
        ModelCompiler.Compile(new CompileRequest { Input = model, Output = _folder["m.mpack"], Recipe = "int8" });
        HardwareProfile machine = HardwareProfiles.Load("x64-server");
        var sizes = new Dictionary<string, long> { ["h"] = 24, ["w"] = 32 };

        BenchedNodes nodes = NodeBenchmark.Measure(_folder["m.mpack"], machine, threads: 1, sizes: sizes);

        ExplainResult explained = Inspection.Explain(_folder["m.mpack"], machine, 1, 1, sizes);
        BenchedNode[] convolutions = [.. nodes.Nodes.Where(n => n.Op == "Conv" || n.Op == "FusedConv")];
        Assert.Equal(2, convolutions.Length);
        foreach ((BenchedNode row, string name) in convolutions.OrderBy(r => r.PredictedSeconds).Zip(["conv_1", "conv_2"]))
        {
            Assert.Equal("expand", row.Kernel);
            Assert.Equal(explained.Nodes.Single(n => n.Name == name).PredictedSeconds!.Value, row.PredictedSeconds!.Value, 1e-12);
        }

        Assert.All(nodes.UnpredictedNames, n => Assert.Contains("eorder", n, StringComparison.Ordinal));
        Assert.Equal(0, nodes.NotRun.Count);
    }

    [Theory]
    [InlineData("m.onnx", "x64-server", "only artifacts")]
    [InlineData("m.mpack", null, "no hardware profile")]
    [InlineData("m.mpack", "h100", "gpu")]
    public void Measure_withoutAPrediction_measuresAndSaysWhy(string file, string? machine, string why)
    {
        Artifact();

        BenchedNodes nodes = NodeBenchmark.Measure(_folder[file], machine is null ? null : HardwareProfiles.Load(machine), threads: 1);

        Assert.Null(nodes.Profile);
        Assert.Contains(why, nodes.NotPredicted, StringComparison.Ordinal);
        Assert.NotEmpty(nodes.Nodes);
        Assert.All(nodes.Nodes, n => Assert.Null(n.PredictedSeconds ?? n.Ratio));
        Assert.Equal(nodes.NodeSeconds, nodes.Unpredicted.MeasuredSeconds, 1e-9);
        Assert.Equal(0, nodes.Within + nodes.Predicted.Count + nodes.Small.Count + nodes.NotRun.Count);
    }

    [Fact]
    public void Measure_sizeThatIsNotOpen_isRefused()
    {
        string artifact = Artifact();

        ModelPackException error = Assert.Throws<ModelPackException>(() => NodeBenchmark.Measure(artifact, sizes: new Dictionary<string, long> { ["columns"] = 2 }));

        Assert.Equal(ErrorCodes.NoFreeSize, error.Code);
        Assert.Contains("leave open rows", error.Message, StringComparison.Ordinal);
    }

    /// <summary>Two products with a softmax between them, on any number of rows.</summary>
    private string Artifact()
    {
        string model = _folder.Write("m.onnx", new OnnxBuilder()
            .Input("x", OnnxBuilder.Float, "rows", 256)
            .Output("z", OnnxBuilder.Float, "rows", 256)
            .Initializer("w", Values.Weights(1, 256 * 256), 256, 256)
            .Initializer("v", Values.Weights(2, 256 * 256), 256, 256)
            .Node("MatMul", ["x", "w"], ["a"], name: "first")
            .Node("Softmax", ["a"], ["b"], name: "softmax")
            .Node("MatMul", ["b", "v"], ["z"], name: "second")
            .Build());
        ModelCompiler.Compile(new CompileRequest { Input = model, Output = _folder["m.mpack"], Recipe = "int8" });
        return _folder["m.mpack"];
    }

    private static string Microseconds(double seconds) => (seconds * 1e6).ToString("0.0", CultureInfo.InvariantCulture);

    private static Node Node(string name, string op, ImmutableArray<string> inputs, ImmutableArray<string> outputs) => new() { Name = name, OpType = op, Inputs = inputs, Outputs = outputs };
}
