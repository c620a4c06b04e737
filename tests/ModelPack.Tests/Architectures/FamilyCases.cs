using System.Text.Json.Nodes;

namespace ModelPack.Tests.Architectures;

/// <summary>Small random models of every family: grouped heads, windows shorter than the text, head sizes that are not hidden / heads, all types of weights, all rotary embeddings.</summary>
internal static class FamilyCases
{
    private const int Vocabulary = 61;

    /// <summary>Longer than every window.</summary>
    public const int Tokens = 15;

    /// <summary>Name, class and settings beside those all have; <c>dtype</c> is the type of the weights.</summary>
    private static readonly (string Name, string Class, string Settings)[] All =
    [
        ("llama", "LlamaForCausalLM", """{"hidden_size":48,"num_attention_heads":6,"num_key_value_heads":2,"dtype":"bf16","rms_norm_eps":1e-5}"""),
        ("llama tied, as SmolLM", "LlamaForCausalLM", """{"hidden_size":36,"num_attention_heads":3,"num_key_value_heads":1,"dtype":"bf16","tie_word_embeddings":true,"rope_theta":100000}"""),
        ("llama biases, head_dim", "LlamaForCausalLM", """{"hidden_size":40,"num_attention_heads":4,"num_key_value_heads":4,"head_dim":14,"dtype":"f32","attention_bias":true,"mlp_bias":true}"""),
        ("llama linear", "LlamaForCausalLM", """{"hidden_size":32,"num_attention_heads":4,"dtype":"f16","rope_scaling":{"type":"linear","factor":2.5}}"""),
        ("llama dynamic", "LlamaForCausalLM", """{"hidden_size":32,"num_attention_heads":4,"dtype":"f32","rope_scaling":{"type":"dynamic","factor":2.0}}"""),
        ("llama llama3", "LlamaForCausalLM", """{"hidden_size":64,"num_attention_heads":4,"num_key_value_heads":2,"dtype":"bf16","rope_scaling":{"rope_type":"llama3","factor":8.0,"low_freq_factor":1.0,"high_freq_factor":4.0,"original_max_position_embeddings":32}}"""),
        ("llama yarn", "LlamaForCausalLM", """{"hidden_size":64,"num_attention_heads":4,"num_key_value_heads":2,"dtype":"f32","rope_parameters":{"rope_type":"yarn","rope_theta":500.0,"factor":4.0,"original_max_position_embeddings":64,"beta_fast":4.0,"beta_slow":0.5}}"""),
        ("llama gelu", "LlamaForCausalLM", """{"hidden_size":32,"num_attention_heads":4,"dtype":"f32","hidden_act":"gelu"}"""),
        ("mistral", "MistralForCausalLM", """{"hidden_size":40,"num_attention_heads":4,"num_key_value_heads":2,"sliding_window":5,"dtype":"bf16"}"""),
        ("mistral without window", "MistralForCausalLM", """{"hidden_size":40,"num_attention_heads":4,"num_key_value_heads":2,"sliding_window":null,"head_dim":6,"dtype":"f16"}"""),
        ("qwen2", "Qwen2ForCausalLM", """{"hidden_size":48,"num_attention_heads":4,"num_key_value_heads":2,"dtype":"bf16","use_sliding_window":true,"sliding_window":4,"max_window_layers":1,"rope_scaling":{"type":"yarn","factor":4.0,"original_max_position_embeddings":32}}"""),
        ("qwen2 window off", "Qwen2ForCausalLM", """{"hidden_size":32,"num_attention_heads":4,"num_key_value_heads":1,"dtype":"f32","use_sliding_window":false,"sliding_window":4,"max_window_layers":0,"tie_word_embeddings":true}"""),
        ("qwen3", "Qwen3ForCausalLM", """{"hidden_size":40,"num_attention_heads":4,"num_key_value_heads":2,"head_dim":18,"dtype":"bf16","rope_theta":1000000}"""),
        ("mixtral", "MixtralForCausalLM", """{"hidden_size":40,"num_attention_heads":4,"num_key_value_heads":2,"num_local_experts":5,"num_experts_per_tok":3,"sliding_window":6,"rope_theta":5000.0,"dtype":"bf16","rms_norm_eps":1e-5}"""),
        ("qwen3 moe", "Qwen3MoeForCausalLM", """{"hidden_size":40,"num_attention_heads":4,"num_key_value_heads":2,"head_dim":18,"num_experts":6,"num_experts_per_tok":3,"moe_intermediate_size":24,"norm_topk_prob":true,"mlp_only_layers":[1],"dtype":"bf16","rope_theta":1000000}"""),
        ("qwen3 moe, every second layer", "Qwen3MoeForCausalLM", """{"hidden_size":32,"num_attention_heads":4,"num_key_value_heads":4,"num_experts":4,"num_experts_per_tok":2,"moe_intermediate_size":20,"decoder_sparse_step":2,"attention_bias":true,"dtype":"f32"}"""),
        ("deepseek v2", "DeepseekV2ForCausalLM", """{"hidden_size":32,"num_attention_heads":4,"q_lora_rank":null,"kv_lora_rank":12,"qk_nope_head_dim":10,"qk_rope_head_dim":8,"v_head_dim":14,"n_routed_experts":8,"num_experts_per_tok":3,"topk_method":"group_limited_greedy","n_group":4,"topk_group":2,"n_shared_experts":2,"moe_intermediate_size":16,"first_k_dense_replace":1,"routed_scaling_factor":1.7,"attention_bias":true,"dtype":"bf16"}"""),
        ("deepseek v3", "DeepseekV3ForCausalLM", """{"hidden_size":40,"num_attention_heads":4,"q_lora_rank":20,"kv_lora_rank":12,"qk_nope_head_dim":10,"qk_rope_head_dim":8,"v_head_dim":14,"n_routed_experts":8,"num_experts_per_tok":3,"scoring_func":"sigmoid","n_group":4,"topk_group":2,"n_shared_experts":1,"moe_intermediate_size":16,"first_k_dense_replace":1,"routed_scaling_factor":1.5,"norm_topk_prob":true,"rope_scaling":{"type":"yarn","factor":4.0,"original_max_position_embeddings":32,"beta_fast":4.0,"beta_slow":0.5,"mscale":0.8,"mscale_all_dim":1.3},"dtype":"f32"}"""),
        ("phi3", "Phi3ForCausalLM", """{"hidden_size":48,"num_attention_heads":6,"num_key_value_heads":2,"sliding_window":6,"dtype":"bf16","rms_norm_eps":1e-5}"""),
        ("phi4-mini, part of heads turned", "Phi3ForCausalLM", """{"hidden_size":64,"num_attention_heads":4,"num_key_value_heads":2,"sliding_window":null,"partial_rotary_factor":0.75,"tie_word_embeddings":true,"dtype":"f32","rms_norm_eps":1e-5}"""),
        ("phi3 longrope", "Phi3ForCausalLM", """{"hidden_size":32,"num_attention_heads":4,"sliding_window":null,"original_max_position_embeddings":32,"rope_scaling":{"type":"longrope","short_factor":[1.5,1.0,2.5,3.0],"long_factor":[4.0,5.0,6.0,7.0]},"dtype":"f16","rms_norm_eps":1e-5}"""),
        ("gemma2", "Gemma2ForCausalLM", """{"hidden_size":40,"num_attention_heads":4,"num_key_value_heads":2,"head_dim":12,"query_pre_attn_scalar":20,"attn_logit_softcapping":3.0,"final_logit_softcapping":5.0,"sliding_window":5,"hidden_activation":"gelu_pytorch_tanh","dtype":"bf16"}"""),
        ("gemma3", "Gemma3ForCausalLM", """{"hidden_size":40,"num_attention_heads":4,"num_key_value_heads":2,"head_dim":16,"query_pre_attn_scalar":12,"sliding_window":4,"sliding_window_pattern":3,"rope_theta":5000.0,"rope_local_base_freq":50.0,"rope_scaling":{"rope_type":"linear","factor":8.0},"hidden_activation":"gelu_pytorch_tanh","dtype":"bf16"}"""),
        ("gemma3, as transformers 5 writes it", "Gemma3ForCausalLM", """{"hidden_size":32,"num_attention_heads":2,"num_key_value_heads":1,"head_dim":16,"query_pre_attn_scalar":16,"sliding_window":3,"layer_types":["full_attention","sliding_attention","sliding_attention"],"rope_parameters":{"full_attention":{"rope_type":"linear","factor":4.0,"rope_theta":8000.0},"sliding_attention":{"rope_type":"default","rope_theta":70.0}},"hidden_activation":"gelu_pytorch_tanh","final_logit_softcapping":7.0,"dtype":"f32"}"""),
        ("bitnet llama", "LlamaForCausalLM", """{"hidden_size":48,"num_attention_heads":6,"num_key_value_heads":2,"dtype":"f32","quantization_note":"BitNet b1.58 QAT latent weights"}"""),
        ("bitnet", "BitNetForCausalLM", """{"hidden_size":48,"num_attention_heads":4,"num_key_value_heads":2,"dtype":"bf16","hidden_act":"relu2","rope_theta":500000.0,"rms_norm_eps":1e-5,"tie_word_embeddings":true,"quantization_config":{"quant_method":"bitnet","linear_class":"autobitlinear","quantization_mode":"online"}}"""),
    ];

    public static IEnumerable<string> Names => All.Select(c => c.Name);

    public static IEnumerable<string> Classes => All.Select(c => c.Class).Distinct(StringComparer.Ordinal);

    /// <summary>The checkpoint of a case.</summary>
    /// <param name="name">Its name.</param>
    /// <param name="seed">Of the weights.</param>
    /// <param name="change">Changes the configuration before tensors are made.</param>
    /// <param name="dtype">Type of the weights; null for that of the case.</param>
    public static RandomCheckpoint Make(string name, ulong seed = 1, Action<JsonObject>? change = null, DType? dtype = null)
    {
        (_, string className, string settings) = All.Single(c => c.Name == name);
        var config = (JsonObject)JsonNode.Parse(settings)!;
        string named = (string)config["dtype"]!;
        config.Remove("dtype");
        config["architectures"] = new JsonArray(className);
        config["vocab_size"] = Vocabulary;
        config["intermediate_size"] = 56;
        config["num_hidden_layers"] = 3;
        config["max_position_embeddings"] = 128;
        change?.Invoke(config);
        Assert(DTypes.TryParse(named, out DType type));
        var checkpoint = new RandomCheckpoint(config, seed) { DType = dtype ?? type };
        AddTensors(checkpoint, className);
        return checkpoint;
    }

    /// <summary>Seeded token ids.</summary>
    public static long[] Ids(int count, ulong seed)
    {
        var random = new ModelPack.Testing.SplitMix(seed);
        return [.. Enumerable.Range(0, count).Select(_ => (long)random.Below(Vocabulary))];
    }

    /// <summary>The tensors that the classes of transformers have, by their names there.</summary>
    private static void AddTensors(RandomCheckpoint checkpoint, string className)
    {
        JsonObject config = checkpoint.Config;
        int Int(string key, int fallback) => (int?)config[key] ?? fallback;
        bool gemma = className.StartsWith("Gemma", StringComparison.Ordinal);
        int hidden = Int("hidden_size", 0);
        int heads = Int("num_attention_heads", 0);
        int groups = Int("num_key_value_heads", heads);
        int dim = Int("head_dim", hidden / heads);
        int width = Int("intermediate_size", 0);
        bool deepSeek = className.StartsWith("Deepseek", StringComparison.Ordinal);
        bool attentionBias = (bool?)config["attention_bias"] ?? false;
        bool mlpBias = (bool?)config["mlp_bias"] ?? false;
        void Gain(string name, int channels) => checkpoint.Add(name, 0.3, gemma ? 0 : 1, channels);
        void Linear(string module, int outputs, int inputs, bool bias)
        {
            checkpoint.Add(module + ".weight", 1.6 / Math.Sqrt(inputs), 0, outputs, inputs);
            if (bias)
            {
                checkpoint.Add(module + ".bias", 0.3, 0, outputs);
            }
        }

        checkpoint.Add("model.embed_tokens.weight", 1, 0, Vocabulary, hidden);
        Gain("model.norm.weight", hidden);
        if (!((bool?)config["tie_word_embeddings"] ?? gemma))
        {
            Linear("lm_head", Vocabulary, hidden, false);
        }

        for (int n = 0; n < Int("num_hidden_layers", 0); n++)
        {
            string layer = $"model.layers.{n}.";
            Gain(layer + "input_layernorm.weight", hidden);
            Gain(layer + "post_attention_layernorm.weight", hidden);
            if (gemma)
            {
                Gain(layer + "pre_feedforward_layernorm.weight", hidden);
                Gain(layer + "post_feedforward_layernorm.weight", hidden);
            }

            if (className is "Qwen3ForCausalLM" or "Qwen3MoeForCausalLM" or "Gemma3ForCausalLM")
            {
                Gain(layer + "self_attn.q_norm.weight", dim);
                Gain(layer + "self_attn.k_norm.weight", dim);
            }

            if (className == "BitNetForCausalLM")
            {
                Gain(layer + "self_attn.attn_sub_norm.weight", heads * dim);
                Gain(layer + "mlp.ffn_sub_norm.weight", width);
            }

            Linear(layer + "self_attn.o_proj", hidden, heads * Int("v_head_dim", dim), attentionBias);
            bool sparse = (deepSeek && n >= Int("first_k_dense_replace", 0)) || className == "MixtralForCausalLM" || (className == "Qwen3MoeForCausalLM" && (n + 1) % Int("decoder_sparse_step", 1) == 0 && (config["mlp_only_layers"]?.AsArray().All(l => (int)l! != n) ?? true));
            if (sparse)
            {
                bool mixtral = className == "MixtralForCausalLM";
                string block = layer + (mixtral ? "block_sparse_moe" : "mlp");
                int expertWidth = Int("moe_intermediate_size", width);
                int experts = Int("num_local_experts", Int("num_experts", Int("n_routed_experts", 0)));
                // Scores far apart: which experts a token takes is no matter of rounding.
                checkpoint.Add(block + ".gate.weight", 6 / Math.Sqrt(hidden), 0, experts, hidden);
                for (int e = 0; e < experts; e++)
                {
                    Linear($"{block}.experts.{e}.{(mixtral ? "w1" : "gate_proj")}", expertWidth, hidden, false);
                    Linear($"{block}.experts.{e}.{(mixtral ? "w3" : "up_proj")}", expertWidth, hidden, false);
                    Linear($"{block}.experts.{e}.{(mixtral ? "w2" : "down_proj")}", hidden, expertWidth, false);
                }
            }
            if (sparse && deepSeek)
            {
                int shared = Int("n_shared_experts", 0) * Int("moe_intermediate_size", 0);
                Linear(layer + "mlp.shared_experts.gate_proj", shared, hidden, false);
                Linear(layer + "mlp.shared_experts.up_proj", shared, hidden, false);
                Linear(layer + "mlp.shared_experts.down_proj", hidden, shared, false);
                if (className == "DeepseekV3ForCausalLM")
                {
                    checkpoint.Add(layer + "mlp.gate.e_score_correction_bias", 0.5, 0.2, Int("n_routed_experts", 0));
                }
            }
            else if (!sparse)
            {
                Linear(layer + "mlp.down_proj", hidden, width, mlpBias);
            }

            if (className == "Phi3ForCausalLM")
            {
                Linear(layer + "self_attn.qkv_proj", (heads + (2 * groups)) * dim, hidden, false);
                Linear(layer + "mlp.gate_up_proj", 2 * width, hidden, false);
                continue;
            }

            if (!sparse)
            {
                Linear(layer + "mlp.gate_proj", width, hidden, mlpBias);
                Linear(layer + "mlp.up_proj", width, hidden, mlpBias);
            }

            if (deepSeek)
            {
                int rotary = Int("qk_rope_head_dim", 0);
                int queries = heads * (Int("qk_nope_head_dim", 0) + rotary);
                int rank = Int("kv_lora_rank", 0);
                if (Int("q_lora_rank", 0) is > 0 and int queryRank)
                {
                    Linear(layer + "self_attn.q_a_proj", queryRank, hidden, attentionBias);
                    Gain(layer + "self_attn.q_a_layernorm.weight", queryRank);
                    Linear(layer + "self_attn.q_b_proj", queries, queryRank, false);
                }
                else
                {
                    Linear(layer + "self_attn.q_proj", queries, hidden, false);
                }

                Linear(layer + "self_attn.kv_a_proj_with_mqa", rank + rotary, hidden, attentionBias);
                Gain(layer + "self_attn.kv_a_layernorm.weight", rank);
                Linear(layer + "self_attn.kv_b_proj", heads * (Int("qk_nope_head_dim", 0) + Int("v_head_dim", 0)), rank, false);
                continue;
            }

            bool bias = attentionBias || className == "Qwen2ForCausalLM";
            Linear(layer + "self_attn.q_proj", heads * dim, hidden, bias);
            Linear(layer + "self_attn.k_proj", groups * dim, hidden, bias);
            Linear(layer + "self_attn.v_proj", groups * dim, hidden, bias);
        }
    }

    private static void Assert(bool condition) => Xunit.Assert.True(condition);
}
