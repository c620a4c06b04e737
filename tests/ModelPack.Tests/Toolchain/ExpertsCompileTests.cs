using ModelPack.Runtime;
using ModelPack.Testing;
using ModelPack.Tests.Architectures;
using ModelPack.Toolchain;
using Xunit;

namespace ModelPack.Tests.Toolchain;

/// <summary>Layers of experts become one operator where all of their weights are read packed; logits are those of the definition, and of dense execution.</summary>
public sealed class ExpertsCompileTests : IDisposable
{
    private readonly TempFolder _folder = new();

    public static TheoryData<string, int, string> Families => new()
    {
        { "mixtral", 3 * 5 * 3, "Experts(silu,3/5)" },
        { "qwen3 moe", 2 * 6 * 3, "Experts(silu,3/6)" },
        { "qwen3 moe, every second layer", 4 * 3, "Experts(silu,2/4)" },
        { "deepseek v2", 2 * 8 * 3, "Experts(silu,3/8)" },
        { "deepseek v3", 2 * 8 * 3, "Experts(silu,3/8)" },
    };

    public void Dispose() => _folder.Dispose();

    [Theory]
    [MemberData(nameof(Families))]
    public void Logits_are_those_of_the_definition(string name, int weights, string kernel)
    {
        RandomCheckpoint checkpoint = FamilyCases.Make(name, dtype: DType.BF16);
        string packed = Compile(checkpoint.Write(_folder), "lossless");

        Assert.Equal(weights, Kernels(packed).Count(k => k == $"modelpack:PackedMatMul(bf16,f32) in {kernel}"));
        long[] ids = FamilyCases.Ids(2 * FamilyCases.Tokens, seed: 7);
        double[][] expected = [.. new ScalarDecoder(checkpoint).Run(ids[..FamilyCases.Tokens]), .. new ScalarDecoder(checkpoint).Run(ids[FamilyCases.Tokens..])];
        foreach (int threads in new[] { 1, 3 })
        {
            using ModelSession session = ModelSession.Open(packed, new ModelSessionOptions { Threads = threads });
            float[] logits = session.Run(NamedTensor.Of("input_ids", ids, 2, FamilyCases.Tokens)).Single().Values<float>().ToArray();
            Assert.InRange(FamilyTests.WorstError(logits, expected), 0, 3e-5);
        }
    }

    [Theory]
    [InlineData("exact", "int4", "modelpack:PackedMatMul(int4,f32)", 3e-5)]
    [InlineData("fast", "int4", "modelpack:PackedMatMul(int4,int8)", 1)]
    [InlineData("exact", "mxfp4", "modelpack:PackedMatMul(mxfp4,f32)", 3e-5)]
    [InlineData("fast", "fp8", "modelpack:PackedMatMul(fp8,bf16)", 0.5)]
    public void Quantized_experts_give_the_logits_of_dense_execution(string accuracy, string recipe, string kernel, double tolerance)
    {
        string packed = Compile(FamilyCases.Make("qwen3 moe").Write(_folder), recipe, accuracy);

        Assert.Equal(36, Kernels(packed).Count(k => k == $"{kernel} in Experts(silu,3/6)"));
        float[] dense = Logits(packed, new ModelSessionOptions { Threads = 1, ExpandAll = true });
        float[] own = Logits(packed, new ModelSessionOptions { Threads = 1 });
        Assert.InRange(dense.Zip(own, (a, b) => Math.Abs(a - b)).Max(), 0, tolerance);
    }

    /// <summary>Every weight keeps the format that a rule gives it.</summary>
    [Fact]
    public void Experts_of_different_formats_are_one_operator()
    {
        string recipe = _folder.Write("r.json", """
            {"name":"r","passes":["canonicalize","fold-constants",{"pass":"quantize","format":"int4","block":32,"ends":"same","min_elements":100}],
             "rules":[{"match":"*experts.1.*","quantize":{"format":"int8"}},{"match":"*experts.2.down*","quantize":{"format":"mxfp4"}}]}
            """u8.ToArray());
        string packed = Compile(FamilyCases.Make("qwen3 moe").Write(_folder), recipe, "fast");

        Assert.Equal([(6, "int8"), (2, "mxfp4"), (28, "int4")], new[] { "int8", "mxfp4", "int4" }.Select(f => (Kernels(packed).Count(k => k.StartsWith($"modelpack:PackedMatMul({f},", StringComparison.Ordinal) && k.EndsWith(" in Experts(silu,3/6)", StringComparison.Ordinal)), f)));
        float[] dense = Logits(packed, new ModelSessionOptions { Threads = 1, ExpandAll = true });
        Assert.InRange(dense.Zip(Logits(packed, new ModelSessionOptions { Threads = 1 }), (a, b) => Math.Abs(a - b)).Max(), 0, 1);
    }

    [Theory]
    [InlineData("identical", false, "plan with accuracy 'exact'")]
    [InlineData("exact", true, "operators of ONNX Runtime only")]
    public void Others_stay_as_they_are_and_explain_says_why(string accuracy, bool stock, string reason)
    {
        string packed = _folder["m.mpack"];
        ModelCompiler.Compile(new CompileRequest { Input = FamilyCases.Make("mixtral").Write(_folder), Output = packed, Recipe = "lossless", Accuracy = accuracy, StockOperators = stock });

        IReadOnlyList<ExplainedNode> nodes = Inspection.Explain(packed).Nodes;
        Assert.DoesNotContain(nodes, n => n.Kernel.Contains("Experts", StringComparison.Ordinal));
        Assert.Equal(45, nodes.Count(n => n.Alternatives.Any(a => a.Kernel == "modelpack:Experts(silu,3/5)" && a.Reason.Contains(reason, StringComparison.Ordinal))));
    }

    [Fact]
    public void Export_for_other_runtimes_has_their_operators()
    {
        string packed = Compile(FamilyCases.Make("mixtral").Write(_folder), "int4");
        string model = _folder["stock.onnx"];
        Exporting.Export(packed, "onnx", model);
        using ModelSession session = ModelSession.Open(model, new ModelSessionOptions { Threads = 1 });
        float[] exported = session.Run(NamedTensor.Of("input_ids", FamilyCases.Ids(FamilyCases.Tokens, seed: 5), 1, FamilyCases.Tokens)).Single().Values<float>().ToArray();
        Assert.InRange(exported.Zip(Logits(packed, new ModelSessionOptions { Threads = 1 }), (a, b) => Math.Abs(a - b)).Max(), 0, 3e-5);
        Assert.DoesNotContain("ai.modelpack", System.Text.Encoding.Latin1.GetString(File.ReadAllBytes(model)), StringComparison.Ordinal);
    }

    private static string[] Kernels(string packed) => [.. Inspection.Explain(packed).Nodes.Select(n => n.Kernel)];

    private static float[] Logits(string packed, ModelSessionOptions options)
    {
        using ModelSession session = ModelSession.Open(packed, options);
        return session.Run(NamedTensor.Of("input_ids", FamilyCases.Ids(FamilyCases.Tokens, seed: 5), 1, FamilyCases.Tokens)).Single().Values<float>().ToArray();
    }

    private string Compile(string input, string recipe, string accuracy = "exact")
    {
        string packed = _folder["m.mpack"];
        string[] sets = recipe is "lossless" || recipe.EndsWith(".json", StringComparison.Ordinal) ? [] : ["quantize.min_elements=100"];
        ModelCompiler.Compile(new CompileRequest { Input = input, Output = packed, Recipe = recipe, Accuracy = accuracy, Sets = sets });
        return packed;
    }
}
