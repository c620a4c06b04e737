using System.Text.Json.Nodes;
using ModelPack.Architectures;
using ModelPack.Compiler;
using ModelPack.Testing;
using ModelPack.Toolchain;
using Xunit;

namespace ModelPack.Tests.Architectures;

/// <summary>Checkpoints that contradict themselves, and such as have no graph yet.</summary>
public sealed class ArchitectureErrorTests
{
    [Theory]
    [InlineData("hidden_size", null, "is missing")]
    [InlineData("num_hidden_layers", "\"three\"", "num_hidden_layers' is \"three\"")]
    [InlineData("vocab_size", "0", "from 1 to")]
    [InlineData("intermediate_size", "1.5", "from 1 to")]
    [InlineData("num_hidden_layers", "1000000", "from 1 to 10000")]
    [InlineData("rms_norm_eps", "-1", "above 0")]
    [InlineData("attention_bias", "1", "not true or false")]
    [InlineData("hidden_act", "7", "not a text")]
    [InlineData("rope_scaling", "[]", "not an object")]
    [InlineData("rope_scaling", """{"type":"linear"}""", "rope_scaling.factor' is missing")]
    [InlineData("rope_scaling", """{"type":"llama3","factor":8,"low_freq_factor":4,"high_freq_factor":1,"original_max_position_embeddings":32}""", "high_freq_factor")]
    [InlineData("rope_scaling", """{"type":"longrope","short_factor":[1.5]}""", "1 numbers for 4 frequencies")]
    [InlineData("rope_scaling", """{"type":"longrope","short_factor":[1.5,0]}""", "numbers above 0")]
    [InlineData("rope_scaling", """{"type":"yarn","factor":2,"rope_theta":1}""", "no range of channels")]
    [InlineData("head_dim", "7", "even number")]
    public void Config_valueWrong_isMP1503(string key, string? value, string message) => Rejects(ErrorCodes.ConfigValue, "llama", c => Set(c, key, value), message);

    [Fact]
    public void Config_layerTypesOfAnotherLength_isMP1503() =>
        Rejects(ErrorCodes.ConfigValue, "gemma3, as transformers 5 writes it", c => Set(c, "layer_types", """["full_attention"]"""), "lists 1 layers of 3");

    [Theory]
    [InlineData("{", "not JSON")]
    [InlineData("[1]", "not a JSON object")]
    public void Config_notAnObject_isMP1500(string text, string message)
    {
        using var folder = new TempFolder();
        string path = FamilyCases.Make("llama").Write(folder);
        File.WriteAllText(Path.Combine(path, "config.json"), text);
        Rejects(ErrorCodes.ConfigSyntax, path, message);
    }

    [Theory]
    [InlineData("num_key_value_heads", "4", "num_attention_heads is 6, which num_key_value_heads 4 does not divide")]
    [InlineData("num_attention_heads", "10", "hidden_size is 48")]
    public void Config_headsDoNotDivide_isMP1504(string key, string value, string message) => Rejects(ErrorCodes.ConfigHeads, "llama", c => Set(c, key, value), message);

    [Theory]
    [InlineData("llama", "model.layers.1.mlp.up_proj.weight")]
    [InlineData("llama", "model.norm.weight")]
    [InlineData("llama", "lm_head.weight")]
    [InlineData("qwen2", "model.layers.0.self_attn.k_proj.bias")]
    [InlineData("qwen3", "model.layers.2.self_attn.q_norm.weight")]
    [InlineData("gemma2", "model.layers.0.pre_feedforward_layernorm.weight")]
    public void Checkpoint_tensorMissing_isMP1506(string name, string tensor)
    {
        RandomCheckpoint checkpoint = FamilyCases.Make(name);
        Assert.True(checkpoint.Tensors.Remove(tensor));
        ModelPackException error = Rejects(ErrorCodes.WeightMissing, checkpoint, "not in the checkpoint");
        Assert.Equal(tensor, error.Tensor);
    }

    public static TheoryData<string> Cases => [.. FamilyCases.Names];

    /// <summary>Every tensor of every family: without it there is no graph, so none is forgotten.</summary>
    [Theory]
    [MemberData(nameof(Cases))]
    public void Checkpoint_anyTensorMissing_isMP1506(string name)
    {
        RandomCheckpoint checkpoint = FamilyCases.Make(name);
        foreach (string tensor in checkpoint.Tensors.Keys.ToArray())
        {
            (long[], float[]) value = checkpoint.Tensors[tensor];
            checkpoint.Tensors.Remove(tensor);
            Assert.Equal(tensor, Rejects(ErrorCodes.WeightMissing, checkpoint, "not in the checkpoint").Tensor);
            checkpoint.Tensors[tensor] = value;
        }
    }

    [Theory]
    [InlineData("llama", "model.layers.3.mlp.up_proj.weight")]
    [InlineData("llama", "model.layers.0.self_attn.q_norm.weight")]
    [InlineData("llama", "model.layers.0.self_attn.q_proj.bias")]
    [InlineData("phi3", "model.layers.0.self_attn.q_proj.weight")]
    public void Checkpoint_tensorWithoutPlace_isMP1507(string name, string tensor)
    {
        RandomCheckpoint checkpoint = FamilyCases.Make(name);
        checkpoint.Add(tensor, 1, 0, 8);
        checkpoint.Add("zzz", 1, 0, 8);
        ModelPackException error = Rejects(ErrorCodes.WeightUnused, checkpoint, "nor have 1 more");
        Assert.Equal(tensor, error.Tensor);
    }

    [Theory]
    [InlineData("num_key_value_heads", "3", "model.layers.0.self_attn.k_proj.weight")]
    [InlineData("intermediate_size", "57", "model.layers.0.mlp.gate_proj.weight")]
    [InlineData("head_dim", "6", "model.layers.0.self_attn.q_proj.weight")]
    [InlineData("hidden_size", "60", "model.embed_tokens.weight")]
    public void Checkpoint_shapeContradictsConfig_isMP1508(string key, string value, string tensor) =>
        Assert.Equal(tensor, Rejects(ErrorCodes.WeightShape, "llama", c => Set(c, key, value), "config.json means").Tensor);

    [Fact]
    public void Checkpoint_embeddingOfAnotherVocabulary_isMP1509()
    {
        ModelPackException error = Rejects(ErrorCodes.VocabularyMismatch, "llama", c => Set(c, "vocab_size", "60"), "has 61 rows, but vocab_size in config.json is 60");
        Assert.Equal("model.embed_tokens.weight", error.Tensor);
    }

    [Fact]
    public void Checkpoint_headOfAnotherVocabulary_isMP1509()
    {
        RandomCheckpoint checkpoint = FamilyCases.Make("llama");
        checkpoint.Add("lm_head.weight", 1, 0, 59, 48);
        Assert.Equal("lm_head.weight", Rejects(ErrorCodes.VocabularyMismatch, checkpoint, "has 59 rows").Tensor);
    }

    [Fact]
    public void Checkpoint_weightNoFloat_isMP1510()
    {
        RandomCheckpoint checkpoint = FamilyCases.Make("llama biases, head_dim");
        checkpoint.DType = DType.I32;
        Rejects(ErrorCodes.WeightDType, checkpoint, "is i32");
    }

    [Fact]
    public void Checkpoint_shardMissing_isMP1160()
    {
        using var folder = new TempFolder();
        string path = FamilyCases.Make("llama").Write(folder);
        File.Delete(Path.Combine(path, "model.safetensors"));
        folder.Write("checkpoint/model.safetensors.index.json", """{"weight_map":{"lm_head.weight":"model-00001-of-00002.safetensors"}}""");
        Rejects(ErrorCodes.ShardMissing, path, "model-00001-of-00002.safetensors");
    }

    /// <summary>No graph, and why: compiled as weights, with a warning; running it is the error.</summary>
    [Theory]
    [InlineData("llama", "architectures", null, 1501, "'architectures'")]
    [InlineData("llama", "architectures", "[]", 1501, "'architectures'")]
    [InlineData("llama", "architectures", """["MambaForCausalLM"]""", 1502, "MambaForCausalLM")]
    [InlineData("llama", "rope_scaling", """{"rope_type":"su","factor":2}""", 1505, "'su'")]
    [InlineData("llama", "hidden_act", "\"mish\"", 1505, "mish")]
    [InlineData("llama", "quantization_config", """{"quant_method":"hqq","bits":4}""", 1505, "hqq")]
    [InlineData("gemma3, as transformers 5 writes it", "layer_types", """["full_attention","chunked_attention","full_attention"]""", 1505, "chunked_attention")]
    [InlineData("gemma3", "use_bidirectional_attention", "true", 1505, "use_bidirectional_attention")]
    public void Checkpoint_withoutKnownGraph_compilesAsWeightsAndSaysWhy(string name, string key, string? value, int code, string word)
    {
        using var folder = new TempFolder();
        RandomCheckpoint checkpoint = FamilyCases.Make(name);
        Set(checkpoint.Config, key, value);
        string path = checkpoint.Write(folder);

        CompileResult result = ModelCompiler.Compile(new CompileRequest { Input = path, Output = folder["x.mpack"], Recipe = "lossless" });

        string warning = Assert.Single(result.Warnings);
        Assert.Contains(word, warning, StringComparison.Ordinal);
        Assert.Contains($"MP{code}", warning, StringComparison.Ordinal);
        Assert.Equal(ErrorCodes.ArtifactWithoutGraph, Assert.Throws<ModelPackException>(() => Execution.Run(folder["x.mpack"], [])).Code);
        var error = Assert.Throws<ModelPackException>(() => Execution.Run(path, ["input_ids=random"]));
        Assert.Equal(code, error.Code.Number);
        Assert.Equal(path, error.Path);
        string tokens = folder.Write("t.bin", new byte[1024]);
        error = Assert.Throws<ModelPackException>(() => ModelCompiler.Compile(new CompileRequest { Input = path, Output = folder["y.mpack"], Recipe = "lossless", EvalTokens = tokens }));
        Assert.Equal(code, error.Code.Number);
        Assert.False(File.Exists(folder["y.mpack"]));
        error = Assert.Throws<ModelPackException>(() => Calibrating.Run(new CalibrateRequest { Input = path, Data = tokens, Output = folder["s.safetensors"] }));
        Assert.Equal(code, error.Code.Number);
        error = Assert.Throws<ModelPackException>(() => Tuner.Run(new TuneRequest { Input = path, Data = tokens, Output = folder["t.json"], Target = new TuneTarget(TuneTargetKind.Bits, 4.5) }));
        Assert.Equal(code, error.Code.Number);
    }

    [Fact]
    public void Checkpoint_withoutConfig_compilesAsWeightsAndSaysWhy()
    {
        using var folder = new TempFolder();
        string path = FamilyCases.Make("llama").Write(folder);
        File.Delete(Path.Combine(path, "config.json"));
        CompileResult result = ModelCompiler.Compile(new CompileRequest { Input = path, Output = folder["x.mpack"], Recipe = "lossless" });
        Assert.Contains("no config.json", Assert.Single(result.Warnings), StringComparison.Ordinal);
    }

    private static readonly string[] Hostile =
    [
        "null", "-1", "0", "1", "2", "7", "2147483647", "9223372036854775807", "1e300", "1e-310", "0.5", "true", "\"\"", "\"longrope\"", "[]", "{}", "[1,2]", "[\"sliding_attention\"]",
        """{"rope_type":"yarn","factor":1e300}""", """{"rope_type":"linear","factor":1e-310}""",
        """{"rope_type":"llama3","factor":1,"low_freq_factor":1,"high_freq_factor":1e300,"original_max_position_embeddings":1}""",
    ];

    /// <summary>Whatever stands in config.json: a graph, or an error that names what is wrong; never anything else.</summary>
    [Theory]
    [MemberData(nameof(Cases))]
    public void Config_anyValueHostile_isAGraphOrAKnownError(string name)
    {
        RandomCheckpoint checkpoint = FamilyCases.Make(name);
        Model model = checkpoint.ToModel();
        int rejected = 0;
        foreach (string key in checkpoint.Config.Select(p => p.Key).Concat(["rope_parameters", "layer_types", "partial_rotary_factor", "sliding_window_pattern"]).ToArray())
        {
            foreach (string value in Hostile)
            {
                var config = (JsonObject)checkpoint.Config.DeepClone();
                Set(config, key, value);
                CarriedFile file = model.Files[0] with { Data = TensorData.FromBytes(System.Text.Encoding.UTF8.GetBytes(config.ToJsonString())) };
                try
                {
                    Graph graph = ArchitectureCatalog.Build(model with { Files = [file] }).Graph;
                    Assert.All(graph.Initializers.Where(t => t.Name.EndsWith("inverse_frequencies", StringComparison.Ordinal)), t => Assert.True(AllFinite(t), $"{key} = {value}"));
                }
                catch (ModelPackException e)
                {
                    Assert.InRange(e.Code.Number, 1500, 1510);
                    rejected++;
                }
            }
        }

        Assert.True(rejected > 100);
    }

    private static bool AllFinite(Tensor tensor)
    {
        Assert.True(tensor.TryGetRawData(out TensorData data));
        return Array.TrueForAll(System.Runtime.InteropServices.MemoryMarshal.Cast<byte, float>(data.ToArray()).ToArray(), float.IsFinite);
    }

    private static void Set(JsonObject config, string key, string? value)
    {
        config.Remove(key);
        if (value is not null)
        {
            config[key] = JsonNode.Parse(value);
        }
    }

    private static ModelPackException Rejects(ErrorCode code, string name, Action<JsonObject> change, string message)
    {
        RandomCheckpoint checkpoint = FamilyCases.Make(name);
        change(checkpoint.Config);
        return Rejects(code, checkpoint, message);
    }

    private static ModelPackException Rejects(ErrorCode code, RandomCheckpoint checkpoint, string message)
    {
        using var folder = new TempFolder();
        return Rejects(code, checkpoint.Write(folder), message);
    }

    /// <summary>The error, with the path of the folder, and no output.</summary>
    private static ModelPackException Rejects(ErrorCode code, string path, string message)
    {
        string output = Path.Combine(Path.GetDirectoryName(path)!, "out.mpack");
        var error = Assert.Throws<ModelPackException>(() => ModelCompiler.Compile(new CompileRequest { Input = path, Output = output, Recipe = "lossless" }));
        Assert.Equal(code, error.Code);
        Assert.Contains(message, error.Message, StringComparison.Ordinal);
        Assert.StartsWith(path, error.Path, StringComparison.Ordinal);
        Assert.False(File.Exists(output));
        return error;
    }
}
