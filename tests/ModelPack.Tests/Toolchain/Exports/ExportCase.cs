using System.Text.Json.Nodes;
using ModelPack.Testing;
using ModelPack.Tests.Architectures;
using ModelPack.Toolchain;

namespace ModelPack.Tests.Toolchain.Exports;

/// <summary>A small checkpoint of a family with a tokenizer, compiled, and its true values.</summary>
internal sealed class ExportCase : IDisposable
{
    public const int Hidden = 256;
    public const int HeadDim = 64;
    public const int Vocabulary = 40;

    private readonly TempFolder _folder = new();
    private PlainSafetensors? _dense;

    public ExportCase(string architecture = "LlamaForCausalLM", Action<RandomCheckpoint>? change = null, string? tokenizer = null)
    {
        var config = new JsonObject
        {
            ["architectures"] = new JsonArray(architecture),
            ["hidden_size"] = Hidden,
            ["num_attention_heads"] = Hidden / HeadDim,
            ["num_key_value_heads"] = 2,
            ["intermediate_size"] = 512,
            ["num_hidden_layers"] = 1,
            ["vocab_size"] = Vocabulary,
            ["max_position_embeddings"] = 64,
            ["rms_norm_eps"] = 1e-5,
            ["hidden_act"] = "silu",
            ["torch_dtype"] = "bfloat16",
            ["bos_token_id"] = 1,
            ["eos_token_id"] = new JsonArray(2, 1),
        };
        Checkpoint = new RandomCheckpoint(config) { DType = DType.BF16 };
        Checkpoint.Add("model.embed_tokens.weight", 1, 0, Vocabulary, Hidden);
        Checkpoint.Add("lm_head.weight", 0.1, 0, Vocabulary, Hidden);
        Checkpoint.Add("model.norm.weight", 0.1, 1, Hidden);
        foreach ((string name, long rows, long columns) in new[] { ("self_attn.q_proj", 256L, 256L), ("self_attn.k_proj", 128, 256), ("self_attn.v_proj", 128, 256), ("self_attn.o_proj", 256, 256), ("mlp.gate_proj", 512, 256), ("mlp.up_proj", 512, 256), ("mlp.down_proj", 256, 512) })
        {
            Checkpoint.Add($"model.layers.0.{name}.weight", 0.05, 0, rows, columns);
        }

        Checkpoint.Add("model.layers.0.input_layernorm.weight", 0.1, 1, Hidden);
        Checkpoint.Add("model.layers.0.post_attention_layernorm.weight", 0.1, 1, Hidden);
        change?.Invoke(Checkpoint);
        _folder.Write("checkpoint/tokenizer.json", tokenizer ?? Tokenizer);
    }

    /// <summary>Byte-level BPE of GPT-2 with a control token at 1 and 2 and nothing from 12 on.</summary>
    public static string Tokenizer => """
        {"added_tokens":[{"id":1,"content":"<s>","special":true},{"id":2,"content":"</s>","special":true},{"id":11,"content":"<x>","special":false}],
         "pre_tokenizer":{"type":"ByteLevel","add_prefix_space":false,"use_regex":true},"decoder":{"type":"ByteLevel"},
         "model":{"type":"BPE","vocab":{"<s>":1,"</s>":2,"a":0,"b":3,"c":4,"ab":5,"abc":6,"\u0120":7,"\u0120a":8,"d":9,"e":10},"merges":["a b","ab c","\u0120 a"]}}
        """;

    public RandomCheckpoint Checkpoint { get; }

    public TempFolder Folder => _folder;

    public string Artifact => _folder["m.mpack"];

    public string this[string name] => _folder[name];

    /// <summary>Values as the artifact decodes them.</summary>
    public PlainSafetensors Dense
    {
        get
        {
            if (_dense is null)
            {
                FilePacking.Unpack(Artifact, _folder["dense"], DType.F32);
                _dense = new PlainSafetensors(Path.Combine(_folder["dense"], "model.safetensors"));
            }

            return _dense;
        }
    }

    public void Compile(string recipe, params string[] sets) => ModelCompiler.Compile(new CompileRequest
    {
        Input = Checkpoint.Write(_folder),
        Output = Artifact,
        Recipe = recipe,
        Sets = [.. sets],
    });

    public ExportResult Export(string to, string name, DType? others = null, bool? round = null) =>
        Exporting.Export(Artifact, to, _folder[name], new ExportOptions { Others = others, RoundActivations = round });

    public void Dispose() => _folder.Dispose();
}
