using ModelPack.Numbers;
using ModelPack.Pack;
using ModelPack.Passes;
using ModelPack.Runtime;
using ModelPack.Testing;
using ModelPack.Tests.Runtime;
using ModelPack.Toolchain;
using Xunit;

namespace ModelPack.Tests.Toolchain;

/// <summary>Small networks through the whole toolchain: compiled, run, exported, verified.</summary>
public sealed class CompileTests
{
    public static TheoryData<string, string> Cases
    {
        get
        {
            var cases = new TheoryData<string, string>();
            foreach (string network in new[] { "language", "image" })
            {
                foreach (string recipe in new[] { "lossless", "int8", "int4" })
                {
                    cases.Add(network, recipe);
                }
            }

            return cases;
        }
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public void Compile_network_runsLikeItsDenseAndItsStockExport(string network, string recipe)
    {
        using var folder = new TempFolder();
        (string model, string artifact) = Compile(folder, network, recipe);
        string dense = folder["dense.onnx"];
        string stock = folder["stock.onnx"];
        Exporting.Export(artifact, "onnx", dense, ExportForm.Dense);
        Exporting.Export(artifact, "onnx", stock);

        float[] expected = Run(dense, network);
        AssertClose(expected, Run(artifact, network), 1e-5);
        AssertClose(expected, Run(stock, network), 1e-5);

        // Weights of uniform noise under saturating activations: far harder to quantise than trained ones.
        double loss = RelativeError(Run(model, network), expected);
        Assert.InRange(loss, 0, recipe switch { "lossless" => 0, "int8" => 0.05, _ => 0.5 });
    }

    [Theory]
    [InlineData("language")]
    [InlineData("image")]
    public void Compile_lossless_givesTheSameBits(string network)
    {
        using var folder = new TempFolder();
        (string model, string artifact) = Compile(folder, network, "lossless");
        Assert.Equal(Run(model, network), Run(artifact, network));
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public void Compile_twiceOnOtherThreadCounts_givesTheSameBytes(string network, string recipe)
    {
        using var folder = new TempFolder();
        (string model, string artifact) = Compile(folder, network, recipe);
        string again = folder["again.mpack"];
        ModelCompiler.Compile(new CompileRequest { Input = model, Output = again, Recipe = recipe, Threads = 3 });
        Assert.Equal(File.ReadAllBytes(artifact), File.ReadAllBytes(again));
        VerifyResult verified = Verification.Verify(artifact, against: model, rederive: model);
        Assert.Empty(verified.Errors);
        Assert.True(verified.Rederived);
        Assert.NotEmpty(verified.Differences);
    }

    public static TheoryData<string> Formats => [.. RecipeCatalog.Formats];

    [Theory]
    [MemberData(nameof(Formats))]
    public void Compile_numberFormatAsRecipe_runsAsItsDenseExportAndVerifies(string format)
    {
        using var folder = new TempFolder();
        string model = folder["m.onnx"];
        string artifact = folder["m.mpack"];
        File.WriteAllBytes(model, NetworkModel.Language());
        bool ternary = NumberFormats.Get(format) is ITernaryFormat;
        ModelCompiler.Compile(new CompileRequest { Input = model, Output = artifact, Recipe = format, Sets = ternary ? ["quantize.allow_ternary=true"] : [], Threads = 1 });

        Exporting.Export(artifact, "onnx", folder["dense.onnx"], ExportForm.Dense);

        Assert.Contains(Inspection.Inspect(artifact).Tensors, t => t.Encoding.Contains(format, StringComparison.Ordinal));
        AssertClose(Run(folder["dense.onnx"], "language"), Run(artifact, "language"), 1e-5);
        VerifyResult verified = Verification.Verify(artifact, rederive: model);
        Assert.True(verified.Ok && verified.Rederived == true, string.Join('\n', verified.Errors));
    }

    /// <summary>A target without AVX-512 is portable by itself, and compiling again knows both that and the option.</summary>
    [Theory]
    [InlineData("generic", false, false)]
    [InlineData("generic", true, true)]
    [InlineData("x64-v3", false, true)]
    [InlineData("arm64", false, true)]
    public void Compile_target_choosesTheCodecsAndIsRederived(string target, bool portable, bool expected)
    {
        using var folder = new TempFolder();
        byte[] weights = ModelPack.Tests.Pack.PackSamples.Bf16(1, 600_000);
        for (int i = 0; i < 600_000; i++)
        {
            weights[(2 * i) + 1] ^= (byte)(i / 4096 % 2 == 0 ? 2 : 0);
        }

        string header = """{"w":{"dtype":"BF16","shape":[600,1000],"data_offsets":[0,1200000]}}""";
        string model = folder.Write("m.safetensors", [.. BitConverter.GetBytes((long)header.Length), .. System.Text.Encoding.ASCII.GetBytes(header), .. weights]);
        ModelCompiler.Compile(new CompileRequest { Input = model, Output = folder["m.mpack"], Recipe = "lossless", Target = target, Portable = portable });

        using (PackReader reader = PackReader.Open(folder["m.mpack"]))
        {
            Assert.Equal(expected ? "planes-huffman" : "planes-rans", reader.Find("w")!.Streams[0].Stream.Codec);
        }

        VerifyResult verified = Verification.Verify(folder["m.mpack"], rederive: model);
        Assert.True(verified.Ok && verified.Rederived == true, string.Join('\n', verified.Errors));
    }

    [Fact]
    public void Explain_int4Language_usesThePackedOperatorForEveryProductItCan()
    {
        using var folder = new TempFolder();
        (_, string artifact) = Compile(folder, "language", "int4", "quantize.ends=same");
        ExplainResult plan = Inspection.Explain(artifact);
        Assert.Equal(4, plan.Nodes.Count(n => n.Op == "MatMul" && n.Kernel == "modelpack:PackedMatMul(int4,f32)"));
        Assert.All(plan.Nodes, n => Assert.True(n.Kernel != "expand" || n.Alternatives.Count > 0 || !n.Op.StartsWith("MatMul", StringComparison.Ordinal), n.Name));
    }

    [Fact]
    public void Compile_plainFloats_areMultipliedPackedUnlessOutputsAreToStayIdentical()
    {
        using var folder = new TempFolder();
        (string model, string exact) = Compile(folder, "language", "bf16");
        Assert.Equal(4, Inspection.Explain(exact).Nodes.Count(n => n.Op == "MatMul" && n.Kernel == "modelpack:PackedMatMul(bf16,f32)"));
        string identical = folder["identical.mpack"];
        ModelCompiler.Compile(new CompileRequest { Input = model, Output = identical, Recipe = "bf16", Accuracy = "identical" });
        ExplainResult plan = Inspection.Explain(identical);
        Assert.All(plan.Nodes, n => Assert.Equal("expand", n.Kernel));
        Assert.Contains(plan.Nodes, n => n.Alternatives.Any(a => a.Reason.Contains("'exact'", StringComparison.Ordinal)));
        Assert.InRange(RelativeError(Run(identical, "language"), Run(exact, "language")), 0, 1e-5);
        Assert.Equal("identical", RecipeCatalog.Get("lossless").Resolve(PassCatalog.All).Accuracy);
        Assert.True(Verification.Verify(identical, rederive: model).Rederived);
    }

    [Fact]
    public void Compile_fastAccuracy_plansRoundedActivationsAndStaysClose()
    {
        using var folder = new TempFolder();
        (string model, string exact) = Compile(folder, "language", "int4");
        string fast = folder["fast.mpack"];
        ModelCompiler.Compile(new CompileRequest { Input = model, Output = fast, Recipe = "int4", Accuracy = "fast" });
        Assert.Contains(Inspection.Explain(fast).Nodes, n => n.Kernel == "modelpack:PackedMatMul(int4,int8)");
        Assert.InRange(RelativeError(Run(exact, "language"), Run(fast, "language")), 1e-6, 0.05);
        Assert.True(Verification.Verify(fast, rederive: model).Rederived);
    }

    [Fact]
    public void Compile_dryRun_writesNothingAndPredictsTheSize()
    {
        using var folder = new TempFolder();
        (string model, string artifact) = Compile(folder, "language", "int8");
        string output = folder["dry.mpack"];
        CompileResult dry = ModelCompiler.Compile(new CompileRequest { Input = model, Output = output, Recipe = "int8", DryRun = true });
        Assert.False(File.Exists(output));
        Assert.True(dry.DryRun);
        long real = Inspection.Inspect(artifact).Tensors.Sum(t => t.StoredBytes);
        Assert.InRange(dry.Tensors.Sum(t => t.OutputBytes), real * 0.8, real * 1.5);
    }

    [Fact]
    public void Compile_cancelled_leavesNothing()
    {
        using var folder = new TempFolder();
        string model = folder["m.onnx"];
        File.WriteAllBytes(model, NetworkModel.Language());
        using var cancelled = new CancellationTokenSource();
        cancelled.Cancel();
        Assert.ThrowsAny<OperationCanceledException>(() =>
            ModelCompiler.Compile(new CompileRequest { Input = model, Output = folder["m.mpack"] }, null, cancelled.Token));
        Assert.Equal([model], Directory.GetFiles(folder.Path));
    }

    [Fact]
    public void Verify_flippedByte_isReportedWithTheTensor()
    {
        using var folder = new TempFolder();
        (_, string artifact) = Compile(folder, "language", "int8");
        byte[] bytes = File.ReadAllBytes(artifact);
        bytes[bytes.Length / 2] ^= 1;
        File.WriteAllBytes(artifact, bytes);
        VerifyResult result = Verification.Verify(artifact);
        Assert.False(result.Ok);
        Assert.Contains("error MP", result.Errors[0], StringComparison.Ordinal);
    }

    internal static (string Model, string Artifact) Compile(TempFolder folder, string network, string recipe, params string[] sets)
    {
        string model = folder[$"{network}.onnx"];
        string artifact = folder[$"{network}-{recipe}.mpack"];
        File.WriteAllBytes(model, network == "language" ? NetworkModel.Language() : NetworkModel.Image());
        ModelCompiler.Compile(new CompileRequest { Input = model, Output = artifact, Recipe = recipe, Sets = sets, Threads = 1 });
        return (model, artifact);
    }

    private static float[] Run(string path, string network)
    {
        using ModelSession session = ModelSession.Open(path, new ModelSessionOptions { Threads = 1 });
        NamedTensor input = network == "language"
            ? NamedTensor.Of("ids", Enumerable.Range(0, 22).Select(i => (long)(i * 7 % NetworkModel.Vocabulary)).ToArray(), 2, 11)
            : NamedTensor.Of("image", SmallModels.Values(3 * 16 * 16, 99), 1, 3, 16, 16);
        return session.Run(input)[0].Values<float>().ToArray();
    }

    private static void AssertClose(float[] expected, float[] actual, double tolerance) =>
        Assert.InRange(RelativeError(expected, actual), 0, tolerance);

    private static double RelativeError(float[] expected, float[] actual)
    {
        Assert.Equal(expected.Length, actual.Length);
        double noise = expected.Zip(actual, (e, a) => Math.Pow((double)e - a, 2)).Sum();
        return Math.Sqrt(noise / expected.Sum(e => (double)e * e));
    }
}
