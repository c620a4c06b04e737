using System.Text.Json.Nodes;
using ModelPack.Testing;

namespace ModelPack.Tests.Architectures;

/// <summary>
/// Dense decoders as plain loops in double precision, written from the models' published definitions (transformers, <c>models/*/modeling_*.py</c> and <c>modeling_rope_utils.py</c>) and for these tests only: it
/// shares nothing with the graph builder, not even the reading of config.json.
/// </summary>
internal sealed class ScalarDecoder
{
    private readonly JsonObject _config;
    private readonly SortedDictionary<string, (long[] Shape, float[] Values)> _tensors;
    private readonly string _class;
    private readonly int _hidden;
    private readonly int _heads;
    private readonly int _kvHeads;
    private readonly int _headDim;
    private readonly int _layers;
    private readonly bool _gemma;
    private readonly bool _ternary;

    public ScalarDecoder(RandomCheckpoint checkpoint)
    {
        _config = checkpoint.Config;
        _tensors = checkpoint.Tensors;
        _class = (string)_config["architectures"]![0]!;
        _hidden = Int("hidden_size", 0);
        _heads = Int("num_attention_heads", 0);
        _kvHeads = Int("num_key_value_heads", _heads);
        _headDim = Int("head_dim", _hidden / _heads);
        _layers = Int("num_hidden_layers", 0);
        _gemma = _class.StartsWith("Gemma", StringComparison.Ordinal);
        _ternary = _config["quantization_note"] is not null || (string?)_config["quantization_config"]?["quant_method"] == "bitnet";
    }

    /// <summary>Logits [tokens, vocab].</summary>
    public double[][] Run(long[] ids)
    {
        float[] table = _tensors["model.embed_tokens.weight"].Values;
        double[][] x = [.. ids.Select(id => Enumerable.Range(0, _hidden).Select(c => table[(id * _hidden) + c] * (_gemma ? Math.Sqrt(_hidden) : 1)).ToArray())];
        for (int n = 0; n < _layers; n++)
        {
            string prefix = $"model.layers.{n}.";
            double[][] a = Attention([.. x.Select(t => Norm(t, prefix + "input_layernorm.weight"))], n);
            a = _gemma ? [.. a.Select(t => Norm(t, prefix + "post_attention_layernorm.weight"))] : a;
            x = Sum(x, a);
            string before = _gemma ? "pre_feedforward_layernorm.weight" : "post_attention_layernorm.weight";
            double[][] m = [.. x.Select(t => Mlp(Norm(t, prefix + before), prefix))];
            m = _gemma ? [.. m.Select(t => Norm(t, prefix + "post_feedforward_layernorm.weight"))] : m;
            x = Sum(x, m);
        }

        bool tied = (bool?)_config["tie_word_embeddings"] ?? _gemma;
        double cap = (double?)_config["final_logit_softcapping"] ?? 0;
        return [.. x.Select(t => Cap(Linear(Norm(t, "model.norm.weight"), tied ? "model.embed_tokens" : "lm_head", false), cap))];
    }

    private double[][] Attention(double[][] x, int n)
    {
        if (_class.StartsWith("Deepseek", StringComparison.Ordinal))
        {
            return Latent(x, n);
        }

        string prefix = $"model.layers.{n}.self_attn.";
        int seq = x.Length;
        int window = Window(n);
        double scale = _gemma ? Math.Pow((double)_config["query_pre_attn_scalar"]!, -0.5) : Math.Pow(_headDim, -0.5);
        double cap = (double?)_config["attn_logit_softcapping"] ?? 0;
        var q = new double[seq][][];
        var k = new double[seq][][];
        var v = new double[seq][][];
        for (int t = 0; t < seq; t++)
        {
            (double[] qs, double[] ks, double[] vs) = Projections(x[t], prefix);
            q[t] = [.. Heads(qs, _heads).Select(h => Rotate(HeadNorm(h, prefix + "q_norm.weight"), t, n))];
            k[t] = [.. Heads(ks, _kvHeads).Select(h => Rotate(HeadNorm(h, prefix + "k_norm.weight"), t, n))];
            v[t] = [.. Heads(vs, _kvHeads)];
        }

        var result = new double[seq][];
        for (int t = 0; t < seq; t++)
        {
            double[] joined = new double[_heads * _headDim];
            for (int h = 0; h < _heads; h++)
            {
                int g = h / (_heads / _kvHeads);
                double[] scores = [.. Enumerable.Range(0, t + 1).Select(s => s > t - window ? Capped(Dot(q[t][h], k[s][g]) * scale, cap) : double.NegativeInfinity)];
                double most = scores.Max();
                double[] weights = [.. scores.Select(s => Math.Exp(s - most))];
                double total = weights.Sum();
                for (int s = 0; s <= t; s++)
                {
                    for (int c = 0; c < _headDim; c++)
                    {
                        joined[(h * _headDim) + c] += weights[s] / total * v[s][g][c];
                    }
                }
            }

            joined = _tensors.ContainsKey(prefix + "attn_sub_norm.weight") ? Norm(joined, prefix + "attn_sub_norm.weight") : joined;
            result[t] = Linear(joined, prefix + "o_proj", _ternary);
        }

        return result;
    }

    private (double[] Query, double[] Key, double[] Value) Projections(double[] x, string prefix)
    {
        if (_class != "Phi3ForCausalLM")
        {
            return (Linear(x, prefix + "q_proj", _ternary), Linear(x, prefix + "k_proj", _ternary), Linear(x, prefix + "v_proj", _ternary));
        }

        double[] all = Linear(x, prefix + "qkv_proj", false);
        int queries = _heads * _headDim;
        int keys = _kvHeads * _headDim;
        return (all[..queries], all[queries..(queries + keys)], all[(queries + keys)..]);
    }

    /// <summary>Multi-head latent attention, written out: keys and values of every head from the compressed vector, channels 2i and 2i + 1 turned together.</summary>
    private double[][] Latent(double[][] x, int n)
    {
        string prefix = $"model.layers.{n}.self_attn.";
        int plain = Int("qk_nope_head_dim", 0);
        int rotary = Int("qk_rope_head_dim", 0);
        int rank = Int("kv_lora_rank", 0);
        int values = Int("v_head_dim", 0);
        JsonObject? yarn = _config["rope_scaling"] as JsonObject;
        double stretch = yarn is null ? 1 : (0.1 * (double)yarn["mscale_all_dim"]! * Math.Log((double)yarn["factor"]!)) + 1;
        double scale = stretch * stretch / Math.Sqrt(plain + rotary);
        var q = new double[x.Length][][];
        var k = new double[x.Length][][];
        var v = new double[x.Length][][];
        for (int t = 0; t < x.Length; t++)
        {
            double[] queries = Int("q_lora_rank", 0) > 0 ? Linear(Norm(Linear(x[t], prefix + "q_a_proj", false), prefix + "q_a_layernorm.weight"), prefix + "q_b_proj", false) : Linear(x[t], prefix + "q_proj", false);
            double[] down = Linear(x[t], prefix + "kv_a_proj_with_mqa", false);
            double[] up = Linear(Norm(down[..rank], prefix + "kv_a_layernorm.weight"), prefix + "kv_b_proj", false);
            double[] common = Turn(down[rank..], t);
            q[t] = new double[_heads][];
            k[t] = new double[_heads][];
            v[t] = new double[_heads][];
            for (int h = 0; h < _heads; h++)
            {
                int at = h * (plain + rotary);
                q[t][h] = [.. queries[at..(at + plain)], .. Turn(queries[(at + plain)..(at + plain + rotary)], t)];
                at = h * (plain + values);
                k[t][h] = [.. up[at..(at + plain)], .. common];
                v[t][h] = up[(at + plain)..(at + plain + values)];
            }
        }

        var result = new double[x.Length][];
        for (int t = 0; t < x.Length; t++)
        {
            double[] joined = new double[_heads * values];
            for (int h = 0; h < _heads; h++)
            {
                double[] scores = [.. Enumerable.Range(0, t + 1).Select(s => Dot(q[t][h], k[s][h]) * scale)];
                double most = scores.Max();
                double[] weights = [.. scores.Select(s => Math.Exp(s - most))];
                for (int s = 0; s <= t; s++)
                {
                    for (int c = 0; c < values; c++)
                    {
                        joined[(h * values) + c] += weights[s] / weights.Sum() * v[s][h][c];
                    }
                }
            }

            result[t] = Linear(joined, prefix + "o_proj", false);
        }

        return result;

        double[] Turn(double[] head, int position)
        {
            double length = (double?)yarn?["original_max_position_embeddings"] ?? 0;
            double factor = (double?)yarn?["factor"] ?? 1;
            double Dimension(double rotations) => rotary * Math.Log(length / (rotations * 2 * Math.PI)) / (2 * Math.Log(10000));
            double Magnitude(string key) => (0.1 * (double)yarn![key]! * Math.Log(factor)) + 1;
            double size = yarn is null ? 1 : Magnitude("mscale") / Magnitude("mscale_all_dim");
            double[] turned = new double[rotary];
            for (int i = 0; i < rotary / 2; i++)
            {
                double frequency = 1 / Math.Pow(10000, 2.0 * i / rotary);
                if (yarn is not null)
                {
                    double low = Math.Max(Math.Floor(Dimension((double)yarn["beta_fast"]!)), 0);
                    double high = Math.Min(Math.Ceiling(Dimension((double)yarn["beta_slow"]!)), rotary - 1);
                    double ramp = Math.Min(1, Math.Max(0, (i - low) / (low == high ? 0.001 : high - low)));
                    frequency = (frequency / factor * ramp) + (frequency * (1 - ramp));
                }

                (double sin, double cos) = Math.SinCos(position * frequency);
                turned[2 * i] = ((head[2 * i] * cos) - (head[(2 * i) + 1] * sin)) * size;
                turned[(2 * i) + 1] = ((head[2 * i] * sin) + (head[(2 * i) + 1] * cos)) * size;
            }

            return turned;
        }
    }

    /// <summary>DeepSeek: which experts, and what they count for.</summary>
    private Dictionary<int, double> Routed(double[] x, string block)
    {
        bool third = _class == "DeepseekV3ForCausalLM";
        double[] scores = Linear(x, block + ".gate", false);
        double total = scores.Sum(Math.Exp);
        double[] odds = [.. scores.Select(s => third ? 1 / (1 + Math.Exp(-s)) : Math.Exp(s) / total)];
        double[] worth = [.. odds.Select((o, e) => o + (third ? _tensors[block + ".gate.e_score_correction_bias"].Values[e] : 0))];
        int groups = third || (string?)_config["topk_method"] == "group_limited_greedy" ? Int("n_group", 1) : 1;
        int size = odds.Length / groups;
        int[] kept = [.. Enumerable.Range(0, groups).OrderByDescending(g => worth.Skip(g * size).Take(size).OrderDescending().Take(third ? 2 : 1).Sum()).Take(Int("topk_group", groups))];
        int[] chosen = [.. Enumerable.Range(0, odds.Length).Where(e => kept.Contains(e / size)).OrderByDescending(e => worth[e]).Take(Int("num_experts_per_tok", third ? 8 : 6))];
        bool normalized = (bool?)_config["norm_topk_prob"] ?? false;
        double scale = normalized && !third ? 1 : (double?)_config["routed_scaling_factor"] ?? 1;
        return chosen.ToDictionary(e => e, e => odds[e] * scale / (normalized ? chosen.Sum(c => odds[c]) : 1));
    }

    /// <summary>Softmax over all experts, the largest few of them, over their sum in Mixtral and where norm_topk_prob says so.</summary>
    private double[] Experts(double[] x, string block)
    {
        if (_class.StartsWith("Deepseek", StringComparison.Ordinal))
        {
            double[] result = Gated(x, block + ".shared_experts.");
            foreach ((int e, double share) in Routed(x, block))
            {
                double[] y = Gated(x, $"{block}.experts.{e}.");
                result = [.. result.Select((v, c) => v + (share * y[c]))];
            }

            return result;
        }

        bool mixtral = _class == "MixtralForCausalLM";
        double[] odds = Linear(x, block + ".gate", false);
        double most = odds.Max();
        odds = [.. odds.Select(v => Math.Exp(v - most))];
        double all = odds.Sum();
        int count = Math.Min(odds.Length, Int("num_experts_per_tok", mixtral ? 2 : 8));
        int[] chosen = [.. Enumerable.Range(0, odds.Length).OrderByDescending(e => odds[e]).Take(count)];
        double total = mixtral || (bool?)_config["norm_topk_prob"] == true ? chosen.Sum(e => odds[e]) : all;
        double[] sum = new double[x.Length];
        foreach (int e in chosen)
        {
            string expert = $"{block}.experts.{e}.";
            double[] gate = Linear(x, expert + (mixtral ? "w1" : "gate_proj"), false);
            double[] up = Linear(x, expert + (mixtral ? "w3" : "up_proj"), false);
            double[] y = Linear([.. gate.Select((g, i) => Activation(g) * up[i])], expert + (mixtral ? "w2" : "down_proj"), false);
            for (int c = 0; c < sum.Length; c++)
            {
                sum[c] += odds[e] / total * y[c];
            }
        }

        return sum;
    }

    private double[] Gated(double[] x, string prefix)
    {
        double[] gate = Linear(x, prefix + "gate_proj", false);
        double[] up = Linear(x, prefix + "up_proj", false);
        return Linear([.. gate.Select((g, i) => Activation(g) * up[i])], prefix + "down_proj", false);
    }

    private double[] Mlp(double[] x, string prefix)
    {
        string block = prefix + (_class == "MixtralForCausalLM" ? "block_sparse_moe" : "mlp");
        if (_tensors.ContainsKey(block + ".gate.weight"))
        {
            return Experts(x, block);
        }

        int width = Int("intermediate_size", 0);
        double[] gate, up;
        if (_class == "Phi3ForCausalLM")
        {
            double[] both = Linear(x, prefix + "mlp.gate_up_proj", false);
            (gate, up) = (both[..width], both[width..]);
        }
        else
        {
            (gate, up) = (Linear(x, prefix + "mlp.gate_proj", _ternary), Linear(x, prefix + "mlp.up_proj", _ternary));
        }

        double[] y = [.. gate.Select((g, i) => Activation(g) * up[i])];
        y = _tensors.ContainsKey(prefix + "mlp.ffn_sub_norm.weight") ? Norm(y, prefix + "mlp.ffn_sub_norm.weight") : y;
        return Linear(y, prefix + "mlp.down_proj", _ternary);
    }

    private double Activation(double x) => (string?)_config[_gemma ? "hidden_activation" : "hidden_act"] switch
    {
        "gelu_pytorch_tanh" => 0.5 * x * (1 + Math.Tanh(Math.Sqrt(2 / Math.PI) * (x + (0.044715 * x * x * x)))),
        "gelu" => 0.5 * x * (1 + ErrorFunction.Of(x / Math.Sqrt(2))),
        "relu2" => x > 0 ? x * x : 0,
        _ => x / (1 + Math.Exp(-x)),
    };

    private int Window(int n)
    {
        const int all = int.MaxValue / 2;
        int width = Int("sliding_window", all);
        if (_config["layer_types"] is JsonArray types)
        {
            return (string?)types[n] == "sliding_attention" ? width : all;
        }

        return _class switch
        {
            "MistralForCausalLM" or "MixtralForCausalLM" or "Phi3ForCausalLM" => width,
            "Qwen2ForCausalLM" or "Qwen3ForCausalLM" => (bool?)_config["use_sliding_window"] == true && n >= Int("max_window_layers", 28) ? width : all,
            "Gemma2ForCausalLM" => n % 2 == 0 ? width : all,
            "Gemma3ForCausalLM" => (n + 1) % Int("sliding_window_pattern", 6) != 0 ? width : all,
            _ => all,
        };
    }

    private double[] Rotate(double[] head, int position, int n)
    {
        (double[] frequencies, double scale) = Frequencies(n);
        int half = frequencies.Length;
        double[] turned = [.. head];
        for (int i = 0; i < half; i++)
        {
            double cos = Math.Cos(position * frequencies[i]) * scale;
            double sin = Math.Sin(position * frequencies[i]) * scale;
            turned[i] = (head[i] * cos) - (head[half + i] * sin);
            turned[half + i] = (head[half + i] * cos) + (head[i] * sin);
        }

        return turned;
    }

    private (double[] Frequencies, double Scale) Frequencies(int n)
    {
        JsonObject? parameters = _config["rope_scaling"] as JsonObject ?? _config["rope_parameters"] as JsonObject;
        double theta = (double?)_config["rope_theta"] ?? 10000;
        if (_class == "Gemma3ForCausalLM")
        {
            bool local = Window(n) < int.MaxValue / 2;
            if (parameters?["full_attention"] is not null)
            {
                parameters = (JsonObject)parameters[local ? "sliding_attention" : "full_attention"]!;
            }
            else if (local)
            {
                (parameters, theta) = (null, (double?)_config["rope_local_base_freq"] ?? 10000);
            }
        }

        theta = (double?)parameters?["rope_theta"] ?? theta;
        int dim = (int)(_headDim * ((double?)_config["partial_rotary_factor"] ?? 1));
        double[] plain = [.. Enumerable.Range(0, dim / 2).Select(i => 1 / Math.Pow(theta, 2.0 * i / dim))];
        double factor = (double?)parameters?["factor"] ?? 1;
        switch ((string?)parameters?["rope_type"] ?? (string?)parameters?["type"])
        {
            case "linear":
                return ([.. plain.Select(f => f / factor)], 1);
            case "llama3":
                double original = (double)parameters!["original_max_position_embeddings"]!;
                double lowFactor = (double)parameters["low_freq_factor"]!;
                double highFactor = (double)parameters["high_freq_factor"]!;
                return ([.. plain.Select(f =>
                {
                    double wave = 2 * Math.PI / f;
                    double smooth = ((original / wave) - lowFactor) / (highFactor - lowFactor);
                    return wave < original / highFactor ? f : wave > original / lowFactor ? f / factor : ((1 - smooth) * f / factor) + (smooth * f);
                })], 1);
            case "yarn":
                double length = (double?)parameters!["original_max_position_embeddings"] ?? (double)_config["max_position_embeddings"]!;
                double Dimension(double rotations) => dim * Math.Log(length / (rotations * 2 * Math.PI)) / (2 * Math.Log(theta));
                double low = Math.Max(Math.Floor(Dimension((double?)parameters["beta_fast"] ?? 32)), 0);
                double high = Math.Min(Math.Ceiling(Dimension((double?)parameters["beta_slow"] ?? 1)), dim - 1);
                double[] ramp = [.. Enumerable.Range(0, dim / 2).Select(i => Math.Min(1, Math.Max(0, (i - low) / (low == high ? 0.001 : high - low))))];
                return ([.. plain.Select((f, i) => (f / factor * ramp[i]) + (f * (1 - ramp[i])))], (double?)parameters["attention_factor"] ?? (0.1 * Math.Log(factor)) + 1);
            case "longrope":
                double trained = Int("original_max_position_embeddings", 0);
                double stretch = Int("max_position_embeddings", 0) / trained;
                return ([.. plain.Select((f, i) => f / (double)parameters!["short_factor"]![i]!)], Math.Sqrt(1 + (Math.Log(stretch) / Math.Log(trained))));
            default:
                return (plain, 1);
        }
    }

    private double[] HeadNorm(double[] head, string name) => _tensors.ContainsKey(name) ? Norm(head, name) : head;

    private double[] Norm(double[] x, string name)
    {
        float[] gain = _tensors[name].Values;
        double rms = Math.Sqrt((x.Sum(v => v * v) / x.Length) + ((double?)_config["rms_norm_eps"] ?? 1e-6));
        return [.. x.Select((v, i) => v / rms * (_gemma ? 1.0 + gain[i] : gain[i]))];
    }

    private double[] Linear(double[] x, string module, bool ternary)
    {
        (long[] shape, float[] w) = _tensors[module + ".weight"];
        double mean = ternary ? w.Average(v => (double)Math.Abs(v)) : 0;
        double Weight(float v) => ternary ? Math.Clamp(Math.Round(v / mean), -1, 1) * mean : v;
        float[]? bias = _tensors.TryGetValue(module + ".bias", out (long[], float[] Values) b) ? b.Values : null;
        double[] y = new double[shape[0]];
        for (int o = 0; o < y.Length; o++)
        {
            double sum = bias?[o] ?? 0;
            for (int i = 0; i < x.Length; i++)
            {
                sum += x[i] * Weight(w[(o * x.Length) + i]);
            }

            y[o] = sum;
        }

        return y;
    }

    private IEnumerable<double[]> Heads(double[] x, int heads) => Enumerable.Range(0, heads).Select(h => x[(h * _headDim)..((h + 1) * _headDim)]);

    private static double Capped(double x, double cap) => cap > 0 ? Math.Tanh(x / cap) * cap : x;

    private static double[] Cap(double[] x, double cap) => [.. x.Select(v => Capped(v, cap))];

    private static double Dot(double[] a, double[] b) => a.Zip(b, (x, y) => x * y).Sum();

    private static double[][] Sum(double[][] a, double[][] b) => [.. a.Zip(b, (x, y) => x.Zip(y, (u, v) => u + v).ToArray())];

    private int Int(string name, int fallback) => (int?)_config[name] ?? fallback;
}
