using System.Text.Json.Nodes;
using ModelPack.Architectures;
using ModelPack.Runtime;
using ModelPack.Testing;
using ModelPack.Toolchain;
using Xunit;

namespace ModelPack.Tests.Architectures;

/// <summary>From a folder to an artifact that runs, and back.</summary>
public sealed class CompiledCheckpointTests
{
    private static readonly string[] Small = ["quantize.min_elements=1000"];

    public static TheoryData<string> Cases => [.. FamilyCases.Names];

    /// <summary>Not bit by bit: constants are folded beforehand instead of at run time, so ONNX Runtime may fuse other nodes.</summary>
    [Theory]
    [MemberData(nameof(Cases))]
    public void Compile_lossless_givesTheSameLogits(string name)
    {
        using var folder = new TempFolder();
        string path = FamilyCases.Make(name).Write(folder);
        CompileResult result = ModelCompiler.Compile(new CompileRequest { Input = path, Output = folder["m.mpack"], Recipe = "lossless" });
        Assert.Empty(result.Warnings);
        Assert.All(result.Tensors, t => Assert.InRange(t.RelativeError ?? 0, 0, 1e-6));
        AssertClose(Logits(path), Logits(folder["m.mpack"]), 2e-5f);
        Assert.True(Verification.Verify(folder["m.mpack"], against: path, rederive: path).Ok);
    }

    [Fact]
    public void Compile_shards_givesTheSameLogits()
    {
        using var folder = new TempFolder();
        RandomCheckpoint checkpoint = FamilyCases.Make("gemma3");
        ModelCompiler.Compile(new CompileRequest { Input = checkpoint.Write(folder, "sharded", shards: 3), Output = folder["m.mpack"], Recipe = "lossless" });
        AssertClose(Logits(checkpoint.Write(folder)), Logits(folder["m.mpack"]), 2e-5f);
        Assert.Empty(Verification.Verify(folder["m.mpack"], rederive: folder["sharded"]).Errors);
    }

    /// <summary>As the checkpoint was, to the byte, wherever no pass has to rewrite a tensor.</summary>
    [Theory]
    [InlineData("llama")]
    [InlineData("llama tied, as SmolLM")]
    [InlineData("qwen2")]
    [InlineData("qwen3")]
    [InlineData("phi3")]
    [InlineData("gemma2")]
    public void Unpack_lossless_givesBackTheCheckpoint(string name)
    {
        using var folder = new TempFolder();
        RandomCheckpoint checkpoint = FamilyCases.Make(name);
        string path = checkpoint.Write(folder);
        ModelCompiler.Compile(new CompileRequest { Input = path, Output = folder["m.mpack"], Recipe = "lossless" });

        FilePacking.Unpack(folder["m.mpack"], folder["unpacked"]);
        Exporting.Export(folder["m.mpack"], "safetensors", folder["exported"]);

        foreach (string restored in new[] { folder["unpacked"], folder["exported"] })
        {
            Assert.Equal(File.ReadAllBytes(Path.Combine(path, "config.json")), File.ReadAllBytes(Path.Combine(restored, "config.json")));
            CompareResult compared = Comparison.Compare(path, restored);
            Assert.Equal(checkpoint.Tensors.Count, compared.Tensors.Count);
            Assert.Empty(compared.Missing);
            Assert.Empty(compared.Extra);
            Assert.All(compared.Tensors, t => Assert.Equal(0, t.MaxAbsError));
            Assert.All(Inspection.Inspect(restored).Tensors, t => Assert.Equal(checkpoint.DType.Name(), t.DType));
        }
    }

    [Fact]
    public void Unpack_tensorMergedByAPass_isMP4107()
    {
        using var folder = new TempFolder();
        RandomCheckpoint checkpoint = FamilyCases.Make("llama");
        checkpoint.Tensors["model.layers.2.mlp.up_proj.weight"] = checkpoint.Tensors["model.layers.1.mlp.up_proj.weight"];
        ModelCompiler.Compile(new CompileRequest { Input = checkpoint.Write(folder), Output = folder["m.mpack"], Recipe = "lossless" });
        var error = Assert.Throws<ModelPackException>(() => FilePacking.Unpack(folder["m.mpack"], folder["unpacked"]));
        Assert.Equal(ErrorCodes.ExportNotPossible, error.Code);
        Assert.Equal("model.layers.2.mlp.up_proj.weight", error.Tensor);
        Assert.False(Directory.Exists(folder["unpacked"]));
    }

    [Fact]
    public void Compile_tensorsOfNoUse_areCarriedAndNamed()
    {
        using var folder = new TempFolder();
        RandomCheckpoint checkpoint = FamilyCases.Make("qwen2 window off");
        checkpoint.Add("lm_head.weight", 1, 0, 61, 32);
        checkpoint.Add("model.layers.0.self_attn.rotary_emb.inv_freq", 1, 0, 6);
        string path = checkpoint.Write(folder);

        CompileResult result = ModelCompiler.Compile(new CompileRequest { Input = path, Output = folder["m.mpack"], Recipe = "int8", Sets = Small });

        string warning = Assert.Single(result.Warnings);
        Assert.Contains("lm_head.weight, model.layers.0.self_attn.rotary_emb.inv_freq", warning, StringComparison.Ordinal);
        AssertClose(Logits(path), Logits(folder["m.mpack"]), 1f);
        FilePacking.Unpack(folder["m.mpack"], folder["unpacked"]);
        CompareResult compared = Comparison.Compare(path, folder["unpacked"]);
        Assert.Empty(compared.Missing);
        Assert.Equal(0, compared.Tensors.Single(t => t.Name == "lm_head.weight").MaxAbsError);
        Assert.True(compared.Tensors.Single(t => t.Name == "model.layers.0.mlp.up_proj.weight").MaxAbsError > 0);
        Assert.Empty(Verification.Verify(folder["m.mpack"], against: path, rederive: path).Errors);
    }

    /// <summary>Kernels on packed weights for all projections, as for the graph that lies beside the sample.</summary>
    [Fact]
    public void Plan_ofTheFolder_isThatOfTheGraphBesideIt()
    {
        using var folder = new TempFolder();
        string sample = SampleCheckpointTests.CopyWithoutGraph(folder);
        ModelCompiler.Compile(new CompileRequest { Input = sample, Output = folder["folder.mpack"], Recipe = "int4" });
        ModelCompiler.Compile(new CompileRequest { Input = RepositoryTree.PathTo("samples", "models", "tinyllama", "model.onnx"), Output = folder["graph.mpack"], Recipe = "int4" });

        Dictionary<string, string> Kernels(string file) => Inspection.Explain(folder[file]).Nodes.Where(n => n.Op == "MatMul").ToDictionary(n => n.Tensor.Replace(".bf16", "", StringComparison.Ordinal), n => n.Kernel);

        Assert.Equal(57, Kernels("folder.mpack").Count);
        Assert.All(Kernels("folder.mpack").Values, k => Assert.StartsWith("modelpack:PackedMatMul", k, StringComparison.Ordinal));
        Assert.Equal(Kernels("graph.mpack").OrderBy(k => k.Key, StringComparer.Ordinal), Kernels("folder.mpack").OrderBy(k => k.Key, StringComparer.Ordinal));
    }

    /// <summary>A tied table is stored once, and the head multiplies with it packed.</summary>
    [Fact]
    public void Plan_tiedHead_readsTheStoredTable()
    {
        using var folder = new TempFolder();
        string path = FamilyCases.Make("qwen2 window off").Write(folder);
        CompileResult result = ModelCompiler.Compile(new CompileRequest { Input = path, Output = folder["m.mpack"], Recipe = "int8", Sets = Small });
        Assert.StartsWith("int8", Assert.Single(result.Tensors, t => t.Shape.Contains(61)).Encoding, StringComparison.Ordinal);
        Assert.StartsWith("modelpack:PackedMatMul", Inspection.Explain(folder["m.mpack"]).Nodes.Single(n => n.Op == "Gemm").Kernel, StringComparison.Ordinal);
        AssertClose(Logits(path), Logits(folder["m.mpack"]), 1f);
    }

    [Fact]
    public void Compile_bitNet_storesTernaryWeightsWithoutLossAndRunsThemPacked()
    {
        using var folder = new TempFolder();
        string path = FamilyCases.Make("bitnet llama").Write(folder);
        CompileResult result = ModelCompiler.Compile(new CompileRequest { Input = path, Output = folder["m.mpack"], Sets = ["quantize.min_elements=1000000"] });

        Assert.Equal("ternary", result.Recipe.Split('(')[0]);
        CompiledTensor[] projections = [.. result.Tensors.Where(t => t.Name.Contains("_proj", StringComparison.Ordinal))];
        Assert.Equal(21, projections.Length);
        Assert.All(projections, t => Assert.Contains("> ternary(", t.Encoding, StringComparison.Ordinal));
        Assert.All(projections, t => Assert.Equal(0, t.RelativeError));
        Assert.Equal(21, Inspection.Explain(folder["m.mpack"]).Nodes.Count(n => n.Kernel == "modelpack:PackedMatMul(ternary,f32)"));
        AssertClose(Logits(path), Logits(folder["m.mpack"]), 2e-5f);
    }

    /// <summary>Codes and scales of an FP8 checkpoint become one weight; the graph reads its values.</summary>
    [Fact]
    public void Compile_fp8Checkpoint_runs()
    {
        using var folder = new TempFolder();
        string path = FamilyCases.Make("llama").Write(folder);
        ModelCompiler.Compile(new CompileRequest { Input = path, Output = folder["w.mpack"], WeightsOnly = true, Recipe = "fp8(scope=tile)", Sets = ["quantize.min_elements=1000", "quantize.ends=same"] });
        FilePacking.Unpack(folder["w.mpack"], folder["fp8"], fp8: true);
        FilePacking.Unpack(folder["w.mpack"], folder["dense"], DType.F32);
        Assert.Contains(Inspection.Inspect(folder["fp8"]).Tensors, t => t.Encoding.StartsWith("fp8", StringComparison.Ordinal));
        var declared = (JsonObject)JsonNode.Parse(File.ReadAllText(Path.Combine(folder["fp8"], "config.json")))!;
        Assert.Equal("fp8", (string?)declared["quantization_config"]!["quant_method"]);

        AssertClose(Logits(folder["dense"]), Logits(folder["fp8"]), 2e-5f);
    }

    /// <summary>Layers of multi-token prediction are named and kept; block-scaled FP8 weights go through latent attention and experts in both forms of the graph.</summary>
    [Fact]
    public void Compile_deepSeekInFp8_runs_andKeepsWhatPredictsFurtherTokens()
    {
        using var folder = new TempFolder();
        RandomCheckpoint checkpoint = FamilyCases.Make("deepseek v3");
        string path = checkpoint.Write(folder);
        ModelCompiler.Compile(new CompileRequest { Input = path, Output = folder["w.mpack"], WeightsOnly = true, Recipe = "fp8(scope=tile)", Sets = ["quantize.min_elements=300", "quantize.ends=same"] });
        FilePacking.Unpack(folder["w.mpack"], folder["fp8"], fp8: true);
        FilePacking.Unpack(folder["w.mpack"], folder["dense"], DType.F32);
        Assert.Contains(Inspection.Inspect(folder["fp8"]).Tensors, t => t.Name.EndsWith("kv_b_proj.weight", StringComparison.Ordinal) && t.Encoding.StartsWith("fp8", StringComparison.Ordinal));
        foreach (GraphForm form in new[] { GraphForm.Full, GraphForm.Cached })
        {
            ModelCompiler.Compile(new CompileRequest { Input = folder["fp8"], Output = folder["m.mpack"], Recipe = "lossless", Form = form });
            Assert.Contains(Inspection.Explain(folder["m.mpack"]).Nodes, n => n.Kernel.StartsWith("modelpack:PackedMatMul(fp8", StringComparison.Ordinal));
            using ModelSession session = ModelSession.Open(folder["m.mpack"], new ModelSessionOptions { Threads = 1 });
            NamedTensor[] past = form == GraphForm.Full ? [] :
            [
                NamedTensor.OfBytes("position_offset", DType.I64, Shape.Scalar, new byte[8]),
                .. session.Inputs.Where(i => i.Name.StartsWith("past_key", StringComparison.Ordinal)).Select(i => NamedTensor.OfBytes(i.Name, i.DType, new Shape(1, 1, 0, i.Dims[3].Size!.Value), Array.Empty<byte>())),
            ];
            NamedTensor logits = session.Run([NamedTensor.Of("input_ids", FamilyCases.Ids(FamilyCases.Tokens, seed: 5), 1, FamilyCases.Tokens), .. past]).Single(o => o.Name == "logits");
            AssertClose(Logits(folder["dense"]), logits.Values<float>().ToArray(), 3e-5f);
        }

        checkpoint.Config["num_nextn_predict_layers"] = 1;
        checkpoint.Add("model.layers.3.eh_proj.weight", 1, 0, 40, 80);
        checkpoint.Add("model.layers.3.enorm.weight", 1, 0, 40);
        CompileResult result = ModelCompiler.Compile(new CompileRequest { Input = checkpoint.Write(folder, "mtp"), Output = folder["n.mpack"], Recipe = "lossless" });
        Assert.Equal(
            "model.layers.3.eh_proj.weight, model.layers.3.enorm.weight (of layers that predict further tokens (MTP)): the graph does not need them; they are stored as they are", Assert.Single(result.Warnings));
        FilePacking.Unpack(folder["n.mpack"], folder["unpacked"]);
        Assert.Empty(Comparison.Compare(folder["mtp"], folder["unpacked"]).Missing);

        checkpoint.Add("model.layers.4.enorm.weight", 1, 0, 40);
        var error = Assert.Throws<ModelPackException>(() => ModelCompiler.Compile(new CompileRequest { Input = checkpoint.Write(folder, "more"), Output = folder["n.mpack"], Recipe = "lossless" }));
        Assert.Equal((ErrorCodes.WeightUnused, "model.layers.4.enorm.weight"), (error.Code, error.Tensor));
    }

    /// <summary>The same logits from an empty past, the same perplexity, the same bytes when compiled again.</summary>
    [Fact]
    public void Compile_withCache_runsAndIsEvaluatedFromAnEmptyPast()
    {
        using var folder = new TempFolder();
        string path = FamilyCases.Make("qwen2").Write(folder);
        string tokens = folder.Write("t.bin", [.. FamilyCases.Ids(400, seed: 2).SelectMany(id => BitConverter.GetBytes((ushort)id))]);
        CompileResult result = ModelCompiler.Compile(
            new CompileRequest { Input = path, Output = folder["m.mpack"], Form = GraphForm.Cached, Recipe = "int8", Sets = Small, EvalTokens = tokens, EvalWindow = 50 });

        Assert.InRange(result.PerplexityAfter!.Value / result.PerplexityBefore!.Value, 0.97, 1.03);
        Assert.Equal(Evaluation.Perplexity(path, tokens, 50).Perplexity!.Value, result.PerplexityBefore.Value, 3);
        Assert.Contains(Inspection.Inspect(folder["m.mpack"]).Inputs, i => i.Name == "past_key_values.2.value");
        Assert.True(Verification.Verify(folder["m.mpack"], against: path, rederive: path).Ok);
        FilePacking.Unpack(folder["m.mpack"], folder["unpacked"]);
        Assert.Empty(Comparison.Compare(path, folder["unpacked"]).Missing);
    }

    [Fact]
    public void Compile_withCacheOfAGivenGraph_isMP1511()
    {
        using var folder = new TempFolder();
        string model = RepositoryTree.PathTo("samples", "models", "tinyllama", "model.onnx");
        var error = Assert.Throws<ModelPackException>(() => ModelCompiler.Compile(new CompileRequest { Input = model, Output = folder["m.mpack"], Form = GraphForm.Cached, Recipe = "lossless" }));
        Assert.Equal(ErrorCodes.GraphNotBuilt, error.Code);
    }

    [Fact]
    public void Inspect_namesTheArchitecture()
    {
        using var folder = new TempFolder();
        ModelCompiler.Compile(new CompileRequest { Input = FamilyCases.Make("qwen3").Write(folder), Output = folder["m.mpack"], Recipe = "lossless" });
        Assert.Equal("Qwen3ForCausalLM", Inspection.Inspect(folder["m.mpack"]).Metadata["architecture"]);
    }

    [Theory]
    [InlineData("{}")]
    [InlineData("""{"architecture":"x","cached":false,"tensors":[{"name":"a","dtype":"no","shape":[1]}]}""")]
    [InlineData("""{"architecture":"x","cached":false,"tensors":[{"name":"a","dtype":"f32","shape":[-1]}]}""")]
    [InlineData("""{"architecture":"x","tensors":[]}""")]
    [InlineData("nothing")]
    public void CheckpointRecord_damaged_isMP4101(string json) =>
        Assert.Equal(ErrorCodes.BadProvenance, Assert.Throws<ModelPackException>(() => CheckpointRecord.Parse(System.Text.Encoding.UTF8.GetBytes(json), "x.mpack")).Code);

    private static float[] Logits(string path)
    {
        using ModelSession session = ModelInput.Open(path, new ModelSessionOptions { Threads = 1 });
        return session.Run(NamedTensor.Of("input_ids", FamilyCases.Ids(FamilyCases.Tokens, seed: 5), 1, FamilyCases.Tokens)).Single().Values<float>().ToArray();
    }

    private static void AssertClose(float[] expected, float[] actual, float tolerance)
    {
        Assert.Equal(expected.Length, actual.Length);
        Assert.InRange(expected.Zip(actual, (a, b) => Math.Abs(a - b)).Max(), 0, tolerance);
    }
}
