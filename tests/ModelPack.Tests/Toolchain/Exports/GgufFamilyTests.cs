using System.Text.Json.Nodes;
using ModelPack.Testing;
using ModelPack.Tests.Architectures;
using ModelPack.Toolchain;
using Xunit;

namespace ModelPack.Tests.Toolchain.Exports;

/// <summary>Names, keys and values of families with joined projections, norms of their own and experts, read by the second reader. What llama.cpp makes of them is an end-to-end test.</summary>
public sealed class GgufFamilyTests
{
    [Fact]
    public void Gemma_gainsAreOneMore_andCapsAndWindowsAreKeys()
    {
        using var folder = new TempFolder();
        RandomCheckpoint checkpoint = Make("gemma2", """{"query_pre_attn_scalar":12}""");
        PlainGguf file = Export(folder, checkpoint);
        foreach ((string hf, string gguf) in new[]
        {
            ("model.norm", "output_norm"), ("model.layers.1.input_layernorm", "blk.1.attn_norm"), ("model.layers.1.post_attention_layernorm", "blk.1.post_attention_norm"),
            ("model.layers.1.pre_feedforward_layernorm", "blk.1.ffn_norm"), ("model.layers.1.post_feedforward_layernorm", "blk.1.post_ffw_norm"),
        })
        {
            Assert.Equal(0u, file.Type($"{gguf}.weight"));
            Assert.Equal(checkpoint.Tensors[$"{hf}.weight"].Values.Select(v => v + 1), file.Values($"{gguf}.weight"));
        }

        Assert.Equal(checkpoint.Tensors["model.layers.1.self_attn.q_proj.weight"].Values, file.Values("blk.1.attn_q.weight")); // Halves are turned, so rows keep their places.
        Assert.Equal(("gemma2", 3f, 5f, 5u, 12u, 10000f), (file.Metadata["general.architecture"], file.Metadata["gemma2.attn_logit_softcapping"], file.Metadata["gemma2.final_logit_softcapping"],
            file.Metadata["gemma2.attention.sliding_window"], file.Metadata["gemma2.attention.key_length"], file.Metadata["gemma2.rope.freq_base"]));
        Assert.DoesNotContain("output.weight", file.Names);
    }

    [Fact]
    public void Gemma3_hasNormsOverHeads_andTheBaseOfGlobalLayers()
    {
        using var folder = new TempFolder();
        RandomCheckpoint checkpoint = Make("gemma3", """{"query_pre_attn_scalar":16,"sliding_window_pattern":6,"rope_local_base_freq":10000.0,"num_hidden_layers":6}""");
        PlainGguf file = Export(folder, checkpoint);
        Assert.Equal(checkpoint.Tensors["model.layers.5.self_attn.k_norm.weight"].Values.Select(v => v + 1), file.Values("blk.5.attn_k_norm.weight"));
        Assert.Equal(("linear", 8f, 5000f, false), (file.Metadata["gemma3.rope.scaling.type"], file.Metadata["gemma3.rope.scaling.factor"], file.Metadata["gemma3.rope.freq_base"], file.Metadata.ContainsKey("gemma3.attn_logit_softcapping")));
    }

    [Theory]
    [InlineData("mixtral", "block_sparse_moe", "w1", "w3", "w2", "llama", 5u, 3u)]
    [InlineData("qwen3 moe", "mlp", "gate_proj", "up_proj", "down_proj", "qwen3moe", 6u, 3u)]
    public void Experts_areOneTensorPerPart(string name, string block, string gate, string up, string down, string architecture, uint count, uint used)
    {
        using var folder = new TempFolder();
        RandomCheckpoint checkpoint = Make(name, name == "mixtral" ? """{"sliding_window":null}""" : """{"mlp_only_layers":[]}""");
        PlainGguf file = Export(folder, checkpoint);
        foreach ((string hf, string gguf) in new[] { (gate, "ffn_gate_exps"), (up, "ffn_up_exps"), (down, "ffn_down_exps") })
        {
            float[] expected = [.. Enumerable.Range(0, (int)count).SelectMany(e => checkpoint.Tensors[$"model.layers.2.{block}.experts.{e}.{hf}.weight"].Values)];
            Assert.Equal(expected, file.Values($"blk.2.{gguf}.weight"));
            Assert.Equal([count, .. checkpoint.Tensors[$"model.layers.2.{block}.experts.0.{hf}.weight"].Shape], file.Shape($"blk.2.{gguf}.weight"));
        }

        Assert.Equal(0u, file.Type("blk.2.ffn_gate_inp.weight"));
        Assert.Equal((architecture, count, used), (file.Metadata["general.architecture"], file.Metadata[$"{architecture}.expert_count"], file.Metadata[$"{architecture}.expert_used_count"]));
    }

    [Fact]
    public void Experts_quantised_keepTheirBlocks()
    {
        using var folder = new TempFolder();
        RandomCheckpoint checkpoint = Make("mixtral", """{"sliding_window":null,"hidden_size":64,"intermediate_size":64}""");
        string path = Write(folder, checkpoint);
        ModelCompiler.Compile(new CompileRequest { Input = path, Output = folder["m.mpack"], Recipe = "gguf-q8_0", Sets = ["quantize.min_elements=1000"] });
        Exporting.Export(folder["m.mpack"], "gguf", folder["m.gguf"]);
        FilePacking.Unpack(folder["m.mpack"], folder["dense"], DType.F32);
        var dense = new PlainSafetensors(folder["dense/model.safetensors"]);
        var file = new PlainGguf(folder["m.gguf"]);
        Assert.Equal(8u, file.Type("blk.0.ffn_up_exps.weight"));
        Assert.Equal(Enumerable.Range(0, 5).SelectMany(e => dense.Floats($"model.layers.0.block_sparse_moe.experts.{e}.w3.weight")), file.Values("blk.0.ffn_up_exps.weight"));
    }

    [Fact]
    public void Phi3_joinedProjectionsStayJoined()
    {
        using var folder = new TempFolder();
        RandomCheckpoint checkpoint = Make("phi3 longrope", "{}");
        PlainGguf file = Export(folder, checkpoint);
        Assert.Equal(checkpoint.Tensors["model.layers.0.self_attn.qkv_proj.weight"].Values, file.Values("blk.0.attn_qkv.weight"));
        Assert.Equal(checkpoint.Tensors["model.layers.0.mlp.gate_up_proj.weight"].Values, file.Values("blk.0.ffn_up.weight"));
        Assert.Equal([1.5f, 1, 2.5f, 3], file.Values("rope_factors_short.weight"));
        Assert.Equal([4f, 5, 6, 7], file.Values("rope_factors_long.weight"));
        Assert.Equal((32u, 0u), (file.Metadata["phi3.rope.scaling.original_context_length"], file.Metadata["phi3.attention.sliding_window"]));
        Assert.Equal(Math.Sqrt(1 + (Math.Log(4) / Math.Log(32))), (float)file.Metadata["phi3.rope.scaling.attn_factor"], 1e-6);
        file = Export(folder, Make("phi4-mini, part of heads turned", "{}"));
        Assert.Equal((12u, false), (file.Metadata["phi3.rope.dimension_count"], file.Names.Contains("rope_factors_short.weight")));
    }

    [Fact]
    public void Phi3_window_isAWarning()
    {
        using var folder = new TempFolder();
        Assert.Contains("window of 6", Assert.Single(Exporting.Export(Write(folder, Make("phi3", "{}")), "gguf", folder["m.gguf"], new ExportOptions()).Warnings), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("gemma2", "{}", "scales gemma2 of 3 layers by 12")]
    [InlineData("gemma2", """{"query_pre_attn_scalar":12,"attn_logit_softcapping":null}""", "with caps of attention")]
    [InlineData("gemma2", """{"query_pre_attn_scalar":12,"final_logit_softcapping":null}""", "with caps of attention and logits")]
    [InlineData("gemma2", """{"query_pre_attn_scalar":12,"hidden_activation":"gelu"}""", "gelu_pytorch_tanh")]
    [InlineData("gemma2", """{"query_pre_attn_scalar":12,"layer_types":["full_attention","sliding_attention","full_attention"]}""", "whose number 2 divides")]
    [InlineData("gemma3", """{"query_pre_attn_scalar":16}""", "whose number 6 divides")]
    [InlineData("gemma3", """{"query_pre_attn_scalar":16,"sliding_window_pattern":6}""", "base 50")]
    [InlineData("gemma3", """{"query_pre_attn_scalar":16,"sliding_window_pattern":6,"attn_logit_softcapping":20.0}""", "without caps of attention")]
    [InlineData("gemma3", """{"query_pre_attn_scalar":16,"tie_word_embeddings":false}""", "output layer of its own")]
    [InlineData("qwen3 moe", "{}", "experts in every layer")]
    [InlineData("qwen3 moe", """{"mlp_only_layers":[],"norm_topk_prob":false}""", "norm_topk_prob")]
    [InlineData("mixtral", """{"num_local_experts":6}""", "no expert 5")]
    [InlineData("mixtral", """{"num_local_experts":4}""", "config.json has 4")]
    [InlineData("deepseek v2", "{}", "DeepseekV2ForCausalLM is not written")]
    public void Export_whatLlamaCppDoesNotHave_isMP4107(string name, string settings, string message)
    {
        using var folder = new TempFolder();
        RandomCheckpoint checkpoint = FamilyCases.Make(name);
        Set(checkpoint.Config, settings);
        var error = Assert.Throws<ModelPackException>(() => Exporting.Export(Write(folder, checkpoint), "gguf", folder["m.gguf"], new ExportOptions()));
        Assert.Equal(ErrorCodes.ExportNotPossible, error.Code);
        Assert.Contains(message, error.Message, StringComparison.Ordinal);
        Assert.False(File.Exists(folder["m.gguf"]));
    }

    private static RandomCheckpoint Make(string name, string settings) => FamilyCases.Make(name, change: c => Set(c, settings));

    private static void Set(JsonObject config, string settings)
    {
        foreach ((string key, JsonNode? value) in JsonNode.Parse(settings)!.AsObject())
        {
            config[key] = value?.DeepClone();
        }
    }

    private static string Write(TempFolder folder, RandomCheckpoint checkpoint)
    {
        folder.Write("checkpoint/tokenizer.json", ExportCase.Tokenizer);
        return checkpoint.Write(folder);
    }

    private static PlainGguf Export(TempFolder folder, RandomCheckpoint checkpoint)
    {
        string path = Write(folder, checkpoint);
        ModelCompiler.Compile(new CompileRequest { Input = path, Output = folder["m.mpack"], Recipe = "lossless" });
        Exporting.Export(folder["m.mpack"], "gguf", folder["m.gguf"]);
        Assert.True(Checking.Check(folder["m.gguf"], "llamacpp").Ok);
        return new PlainGguf(folder["m.gguf"]);
    }
}
