using ModelPack.Runtime;
using ModelPack.Testing;
using ModelPack.Testing.Onnx;
using ModelPack.Tests.Runtime;
using ModelPack.Toolchain;
using Xunit;

namespace ModelPack.Tests.Toolchain;

/// <summary>One network per decision of the planner: what is chosen and why, and that it computes what the fully expanded graph computes.</summary>
public sealed class PlannedNetworkTests
{
    private const int K = 96;
    private const int N = 64;

    [Theory]
    [InlineData("matmul", "int4", "ort:MatMulNBits(bits=4,block=32,level=0)")]
    [InlineData("matmul", "int4(symmetric=false)", "ort:MatMulNBits(bits=4,block=32,level=0)")]
    [InlineData("matmul-odd-rows", "int4(symmetric=false)", "ort:MatMulNBits(bits=4,block=32,level=0)")]
    [InlineData("matmul-odd-depth", "int4(symmetric=false)", "ort:MatMulNBits(bits=4,block=32,level=0)")]
    [InlineData("gemm", "int4(symmetric=false)", "ort:MatMulNBits(bits=4,block=32,level=0)")]
    [InlineData("gemm-trans-b", "int4", "ort:MatMulNBits(bits=4,block=32,level=0)")]
    [InlineData("gemm-computed-bias", "int4", "ort:MatMulNBits(bits=4,block=32,level=0)")]
    [InlineData("gemm-no-bias", "int4", "ort:MatMulNBits(bits=4,block=32,level=0)")]
    [InlineData("gather-large", "int4(symmetric=false)", "ort:GatherBlockQuantized(bits=4,block=32)")]
    public void Plan_supportedNode_readsStoredCodesAndComputesTheSame(string network, string format, string kernel)
    {
        using var folder = new TempFolder();
        string artifact = Compile(folder, network, format, stock: true);

        ExplainedNode node = Assert.Single(Inspection.Explain(artifact).Nodes, n => n.Tensor == "w");

        Assert.Equal(kernel, node.Kernel);
        AssertRunsAsExpanded(artifact, network);
    }

    [Theory]
    [InlineData("matmul", "int4", "modelpack:PackedMatMul(int4,f32)")]
    [InlineData("matmul", "int3(symmetric=false)", "modelpack:PackedMatMul(int3,f32)")]
    [InlineData("matmul", "int8", "modelpack:PackedMatMul(int8,f32)")]
    [InlineData("matmul", "nf4", "modelpack:PackedMatMul(nf4,f32)")]
    [InlineData("matmul", "nvfp4", "modelpack:PackedMatMul(nvfp4,f32)")]
    [InlineData("matmul", "fp8(scope=tensor)", "modelpack:PackedMatMul(fp8,f32)")]
    [InlineData("matmul", "palette(bits=5)", "modelpack:PackedMatMul(palette,f32)")]
    [InlineData("matmul-odd-rows", "mxfp6", "modelpack:PackedMatMul(mxfp6,f32)")]
    [InlineData("matmul-odd-depth", "posit8", "modelpack:PackedMatMul(posit8,f32)")]
    [InlineData("gemm", "mxfp4", "modelpack:PackedMatMul(mxfp4,f32)")]
    [InlineData("gemm-trans-b", "int4", "modelpack:PackedMatMul(int4,f32)")]
    [InlineData("gemm-computed-bias", "int4", "modelpack:PackedMatMul(int4,f32)")]
    [InlineData("gemm-no-bias", "int4", "modelpack:PackedMatMul(int4,f32)")]
    public void Plan_ownKernel_readsPackedWeightsComputesTheSameAndExportsToStockOperators(string network, string format, string kernel)
    {
        using var folder = new TempFolder();
        string artifact = Compile(folder, network, format);

        ExplainedNode node = Assert.Single(Inspection.Explain(artifact).Nodes, n => n.Tensor == "w");

        Assert.Equal(kernel, node.Kernel);
        AssertRunsAsExpanded(artifact, network);
        Exporting.Export(artifact, "onnx", folder["stock.onnx"]);
        Assert.DoesNotContain("ai.modelpack", File.ReadAllText(folder["stock.onnx"], System.Text.Encoding.Latin1), StringComparison.Ordinal);
        Assert.Equal(Run(artifact, network, expandAll: false), Run(folder["stock.onnx"], network, expandAll: false), (a, b) => Math.Abs(a - b) < 1e-3);
        Assert.True(Verification.Verify(artifact, rederive: folder["m.onnx"]).Rederived);
    }

    [Theory]
    [InlineData("matmul", "int3", "the operator has no fast kernel for 3 bits")]
    [InlineData("matmul", "int8", "no fast kernel for 8 bits without rounding activations")]
    [InlineData("matmul", "int4(block=48)", "the operator takes blocks of 16 to 256, not 48")]
    [InlineData("matmul", "nf4", "not integer blocks of a matrix")]
    [InlineData("gemm-trans-a", "int4", "Gemm transposes its first factor")]
    [InlineData("gemm-alpha", "int4", "Gemm scales the product")]
    [InlineData("gemm-beta", "int4", "Gemm scales its bias")]
    [InlineData("gather-small", "int4", "this one is small")]
    [InlineData("weight-is-input", "int4", "a caller may replace it")]
    public void Plan_otherNode_expandsAndSaysWhy(string network, string format, string reason)
    {
        using var folder = new TempFolder();
        string artifact = Compile(folder, network, format, stock: true);

        ExplainedNode node = Assert.Single(Inspection.Explain(artifact).Nodes, n => n.Tensor == "w");

        Assert.Equal("expand", node.Kernel);
        Assert.Contains(node.Alternatives, a => a.Reason.Contains(reason, StringComparison.Ordinal));
        AssertRunsAsExpanded(artifact, network);
    }

    [Theory]
    [InlineData("gather-large", "bf16", "exact", "modelpack:PackedGather(bf16)")]
    [InlineData("gather-small", "int8", "exact", "expand")]
    [InlineData("gather-tied", "int8", "exact", "modelpack:PackedGather(int8)")]
    [InlineData("gather-tied", "bf16", "fast", "modelpack:PackedGather(bf16)")]
    [InlineData("gather-tied", "bf16", "identical", "expand")]
    public void Plan_tableThatIsLargeOrThatAProductReads_isReadFromTilesAndHeldOnce(string network, string format, string accuracy, string kernel)
    {
        using var folder = new TempFolder();
        string artifact = Compile(folder, network, format, accuracy: accuracy);

        ExplainedNode[] nodes = [.. Inspection.Explain(artifact).Nodes.Where(n => n.Tensor == "w")];

        Assert.Equal(kernel, nodes.First(n => n.Op == "Gather").Kernel);
        AssertRunsAsExpanded(artifact, network);
        using PackedModel model = PackedModel.Open(artifact);
        Assert.Equal(kernel == "expand" ? 0 : 1, model.BuffersInPlace.Count);
        using PackedModel resident = PackedModel.Open(artifact, new ModelSessionOptions { ResidentBytes = 1 });
        NamedTensor input = Tokens(network);
        Assert.Equal(model.Run(input)[0].Bytes.ToArray(), resident.Run(input)[0].Bytes.ToArray());
        Exporting.Export(artifact, "onnx", folder["packed.onnx"], ExportForm.Packed);
        Assert.Equal(Run(artifact, network, expandAll: false), Run(folder["packed.onnx"], network, expandAll: false));
    }

    [Fact]
    public void Plan_weightUsedInABranch_staysDenseForItAndComputesTheSame()
    {
        using var folder = new TempFolder();
        string artifact = Compile(folder, "captured", "int4");

        ExplainedNode[] nodes = [.. Inspection.Explain(artifact).Nodes.Where(n => n.Tensor == "w")];

        Assert.Contains(nodes, n => n.Op == "If" && n.Kernel == "expand");
        AssertRunsAsExpanded(artifact, "captured");
    }

    [Fact]
    public void Compile_weightInsideABranch_isNeitherLostNorLifted()
    {
        using var folder = new TempFolder();
        string model = folder["m.onnx"];
        File.WriteAllBytes(model, Build("branch-weight"));
        string artifact = folder["m.mpack"];
        ModelCompiler.Compile(new CompileRequest { Input = model, Output = artifact, Recipe = "lossless", Threads = 1 });

        AssertRunsAsExpanded(artifact, "branch-weight");
        Exporting.Export(artifact, "onnx", folder["dense.onnx"], ExportForm.Dense);
        Assert.Equal(Run(model, "branch-weight", expandAll: false), Run(folder["dense.onnx"], "branch-weight", expandAll: false));
    }

    private static string Compile(TempFolder folder, string network, string format, bool stock = false, string? accuracy = null)
    {
        string model = folder["m.onnx"];
        string recipe = folder["r.json"];
        File.WriteAllBytes(model, Build(network));
        File.WriteAllText(recipe, $$"""
            { "passes": ["canonicalize", { "pass": "quantize", "min_elements": 0 }], "rules": [{ "match": "w", "quantize": { "format": "{{format}}" } }, { "match": "b", "skip": true }] }
            """);
        string artifact = folder["m.mpack"];
        ModelCompiler.Compile(new CompileRequest { Input = model, Output = artifact, Recipe = recipe, Threads = 1, StockOperators = stock, Accuracy = accuracy });
        return artifact;
    }

    private static byte[] Build(string network)
    {
        (int k, int n) = network switch
        {
            "matmul-odd-rows" => (K, N - 3),
            "matmul-odd-depth" => (K - 5, N),
            "gather-large" => (131_072, N),
            _ => (K, N),
        };
        var model = new OnnxBuilder();
        if (network.StartsWith("gather", StringComparison.Ordinal))
        {
            bool tied = network == "gather-tied";
            model.Input("x", OnnxBuilder.Int64, "batch").Output("y", OnnxBuilder.Float, "batch", tied ? k : n)
                .Initializer("w", SmallModels.Values(k * n, 1), k, n).Node("Gather", ["w", "x"], [tied ? "row" : "y"]);
            return tied ? model.Node("Gemm", ["row", "w"], ["y"], attributes: ("transB", 1L)).Build() : model.Build();
        }

        bool transA = network == "gemm-trans-a";
        bool transB = network == "gemm-trans-b";
        model.Input("x", OnnxBuilder.Float, transA ? k : 3, transA ? 3 : k).Output("y", OnnxBuilder.Float, 3, n)
            .Initializer("w", SmallModels.Values(k * n, 1), transB ? n : k, transB ? k : n)
            .Initializer("b", SmallModels.Values(n, 2), n);
        return (network switch
        {
            "gemm" => model.Node("Gemm", ["x", "w", "b"], ["y"]),
            "gemm-trans-a" => model.Node("Gemm", ["x", "w", "b"], ["y"], attributes: ("transA", 1L)),
            "gemm-trans-b" => model.Node("Gemm", ["x", "w", "b"], ["y"], attributes: ("transB", 1L)),
            "gemm-alpha" => model.Node("Gemm", ["x", "w", "b"], ["y"], attributes: ("alpha", 0.5f)),
            "gemm-beta" => model.Node("Gemm", ["x", "w", "b"], ["y"], attributes: ("beta", 0.5f)),
            "gemm-no-bias" => model.Node("Gemm", ["x", "w"], ["y"]),
            "gemm-computed-bias" => model.Node("Tanh", ["b"], ["t"]).Node("Gemm", ["x", "w", "t"], ["y"]),
            "weight-is-input" => model.Input("w", OnnxBuilder.Float, k, n).Node("MatMul", ["x", "w"], ["y"]),
            "captured" => model
                .Node("ReduceSum", ["x"], ["sum"], attributes: ("keepdims", 0L))
                .Node("Less", ["sum", "sum"], ["never"])
                .Node("MatMul", ["x", "w"], ["p"])
                .Node("If", ["never"], ["q"], attributes: [("then_branch", Branch("Identity", "p")), ("else_branch", Branch("MatMul", "x", "w"))])
                .Node("Add", ["p", "q"], ["y"]),
            "branch-weight" => model
                .Node("ReduceSum", ["x"], ["sum"], attributes: ("keepdims", 0L))
                .Node("Equal", ["sum", "sum"], ["always"])
                .Node("MatMul", ["x", "w"], ["p"])
                .Node("If", ["always"], ["y"], attributes: [("then_branch", Branch("MatMul", "x", "inner").Initializer("inner", SmallModels.Values(k * n, 3), k, n)), ("else_branch", Branch("Identity", "p"))]),
            _ => model.Node("MatMul", ["x", "w"], ["y"]),
        }).Build();
    }

    private static OnnxBuilder Branch(string op, params string[] inputs) =>
        new OnnxBuilder().Output("branch_out", OnnxBuilder.Float, 3, N).Node(op, inputs, ["branch_out"]);

    private static void AssertRunsAsExpanded(string artifact, string network)
    {
        float[] planned = Run(artifact, network, expandAll: false);
        float[] expanded = Run(artifact, network, expandAll: true);
        double noise = planned.Zip(expanded, (a, b) => Math.Pow((double)a - b, 2)).Sum();
        double signal = expanded.Sum(e => (double)e * e);
        Assert.True(signal > 0);
        Assert.InRange(Math.Sqrt(noise / signal), 0, 2e-6);
    }

    private static NamedTensor Tokens(string network) => NamedTensor.Of("x", new long[] { 0, 1, 17, 4711 % (network == "gather-large" ? 131_072 : K), 95 }, 5);

    private static float[] Run(string artifact, string network, bool expandAll)
    {
        using ModelSession session = ModelSession.Open(artifact, new ModelSessionOptions { Threads = 1, ExpandAll = expandAll });
        ModelValue x = session.Inputs.Single(i => i.Name == "x");
        var inputs = new List<NamedTensor>
        {
            x.DType == DType.I64
                ? Tokens(network)
                : NamedTensor.Of("x", SmallModels.Values(3 * (int)(x.Dims[0].Size == 3 ? x.Dims[1].Size! : x.Dims[0].Size!), 9), x.Dims[0].Size!.Value, x.Dims[1].Size!.Value),
        };
        if (session.Inputs.Any(i => i.Name == "w"))
        {
            inputs.Add(NamedTensor.Of("w", SmallModels.Values(K * N, 1), K, N));
        }

        return session.Run([.. inputs])[0].Values<float>().ToArray();
    }
}
