using System.Text.Json.Nodes;
using ModelPack.Testing;

namespace ModelPack.Tests.Architectures;

/// <summary>
/// Encoders as plain loops in double precision, one text at a time, written from the models' published definitions (transformers, <c>models/{bert,roberta,distilbert,mpnet}/modeling_*.py</c>) and for these tests only.
/// </summary>
internal sealed class ScalarEncoder(RandomCheckpoint checkpoint, string prefix)
{
    private const int Hidden = 24;
    private const int Heads = 4;
    private const int Layers = 2;

    private readonly JsonObject _config = checkpoint.Config;
    private readonly SortedDictionary<string, (long[] Shape, float[] Values)> _tensors = checkpoint.Tensors;
    private readonly string _class = (string)checkpoint.Config["architectures"]![0]!;

    private bool Distil => _class.StartsWith("DistilBert", StringComparison.Ordinal);

    private bool MPNet => _class.StartsWith("MPNet", StringComparison.Ordinal);

    private bool Bert => _class.StartsWith("Bert", StringComparison.Ordinal);

    /// <summary>What the class gives: vectors or scores per token, or one row of scores for the text; and the pooler's vector where there is one.</summary>
    public (double[][] Rows, double[]? Pooled) Run(long[] ids, long[] mask, long[] types)
    {
        double[][] x = Embed(ids, types);
        for (int n = 0; n < Layers; n++)
        {
            x = Layer(x, mask, n);
        }

        if (_class.EndsWith("ForMaskedLM", StringComparison.Ordinal))
        {
            return ([.. x.Select(Words)], null);
        }

        if (_class.EndsWith("ForTokenClassification", StringComparison.Ordinal))
        {
            return ([.. x.Select(t => Linear(t, "classifier"))], null);
        }

        if (_class.EndsWith("ForQuestionAnswering", StringComparison.Ordinal))
        {
            return ([.. x.Select(t => Linear(t, "qa_outputs"))], null);
        }

        if (_class.EndsWith("ForSequenceClassification", StringComparison.Ordinal))
        {
            double[] first = Bert ? Tanh(Linear(x[0], prefix + "pooler.dense")) : Distil ? [.. Linear(x[0], "pre_classifier").Select(v => Math.Max(v, 0))] : Tanh(Linear(x[0], "classifier.dense"));
            return ([Linear(first, Bert || Distil ? "classifier" : "classifier.out_proj")], null);
        }

        return (x, _tensors.ContainsKey(prefix + "pooler.dense.weight") ? Tanh(Linear(x[0], prefix + "pooler.dense")) : null);
    }

    private double[][] Embed(long[] ids, long[] types)
    {
        int padding = MPNet ? 1 : (int?)_config["pad_token_id"] ?? 1;
        var result = new double[ids.Length][];
        int seen = 0;
        for (int t = 0; t < ids.Length; t++)
        {
            int position = t;
            if (!Bert && !Distil)
            {
                seen += ids[t] == padding ? 0 : 1;
                position = ids[t] == padding ? padding : padding + seen;
            }

            double[] sum = Row("embeddings.word_embeddings", ids[t]);
            sum = [.. sum.Zip(Row("embeddings.position_embeddings", position), (a, b) => a + b)];
            if (_tensors.ContainsKey(prefix + "embeddings.token_type_embeddings.weight"))
            {
                sum = [.. sum.Zip(Row("embeddings.token_type_embeddings", ((int?)_config["type_vocab_size"] ?? 2) > 1 ? types[t] : 0), (a, b) => a + b)];
            }

            result[t] = Norm(sum, prefix + "embeddings.LayerNorm");
        }

        return result;
    }

    private double[] Row(string table, long row) => [.. _tensors[$"{prefix}{table}.weight"].Values.Skip((int)row * Hidden).Take(Hidden).Select(v => (double)v)];

    private double[][] Layer(double[][] x, long[] mask, int n)
    {
        string layer = $"{prefix}{(Distil ? "transformer" : "encoder")}.layer.{n}.";
        string[] names = Distil ? ["attention.q_lin", "attention.k_lin", "attention.v_lin", "attention.out_lin", "sa_layer_norm", "ffn.lin1", "ffn.lin2", "output_layer_norm"]
            : MPNet ? ["attention.attn.q", "attention.attn.k", "attention.attn.v", "attention.attn.o", "attention.LayerNorm", "intermediate.dense", "output.dense", "output.LayerNorm"]
            : ["attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense", "attention.output.LayerNorm", "intermediate.dense", "output.dense", "output.LayerNorm"];
        const int dim = Hidden / Heads;
        double[][] q = [.. x.Select(t => Linear(t, layer + names[0]))];
        double[][] k = [.. x.Select(t => Linear(t, layer + names[1]))];
        double[][] v = [.. x.Select(t => Linear(t, layer + names[2]))];
        var result = new double[x.Length][];
        for (int t = 0; t < x.Length; t++)
        {
            double[] joined = new double[Hidden];
            for (int h = 0; h < Heads; h++)
            {
                double[] scores = new double[x.Length];
                for (int s = 0; s < x.Length; s++)
                {
                    double dot = 0;
                    for (int c = h * dim; c < (h + 1) * dim; c++)
                    {
                        dot += q[t][c] * k[s][c];
                    }

                    scores[s] = mask[s] == 0 ? double.NegativeInfinity : (dot / Math.Sqrt(dim)) + (MPNet ? Bias(s - t, h) : 0);
                }

                double most = scores.Max();
                double total = scores.Sum(s => Math.Exp(s - most));
                for (int s = 0; s < x.Length; s++)
                {
                    for (int c = h * dim; c < (h + 1) * dim; c++)
                    {
                        joined[c] += Math.Exp(scores[s] - most) / total * v[s][c];
                    }
                }
            }

            double[] attended = Norm([.. Linear(joined, layer + names[3]).Zip(x[t], (a, b) => a + b)], layer + names[4]);
            double[] up = [.. Linear(attended, layer + names[5]).Select(Activate)];
            result[t] = Norm([.. Linear(up, layer + names[6]).Zip(attended, (a, b) => a + b)], layer + names[7]);
        }

        return result;
    }

    /// <summary>T5's buckets in both directions: near keys one each, farther ones in logarithmic steps up to 128, those behind in the upper half.</summary>
    private double Bias(int distance, int head)
    {
        int buckets = (int)_config["relative_attention_num_buckets"]! / 2;
        int n = Math.Abs(distance);
        int near = buckets / 2;
        int bucket = n < near ? n : Math.Min(buckets - 1, near + (int)(Math.Log(n / (double)near) / Math.Log(128 / (double)near) * (buckets - near)));
        return _tensors[prefix + "encoder.relative_attention_bias.weight"].Values[((bucket + (distance > 0 ? buckets : 0)) * Heads) + head];
    }

    private double[] Words(double[] x)
    {
        (string dense, string norm, string bias, string table) = Bert ? ("cls.predictions.transform.dense", "cls.predictions.transform.LayerNorm", "cls.predictions.bias", "cls.predictions.decoder.weight")
            : Distil ? ("vocab_transform", "vocab_layer_norm", "vocab_projector.bias", "vocab_projector.weight")
            : ("lm_head.dense", "lm_head.layer_norm", "lm_head.bias", "lm_head.decoder.weight");
        double[] y = Linear(x, dense);
        y = Norm([.. y.Select(v => Bert || Distil ? Activate(v) : Gelu(v))], norm);
        float[] words = _tensors[((bool?)_config["tie_word_embeddings"] ?? true) ? prefix + "embeddings.word_embeddings.weight" : table].Values;
        return [.. _tensors[bias].Values.Select((b, w) => b + Enumerable.Range(0, Hidden).Sum(c => y[c] * words[(w * Hidden) + c]))];
    }

    private double Activate(double x) => ((string?)_config[Distil ? "activation" : "hidden_act"] ?? "gelu") switch
    {
        "relu" => Math.Max(x, 0),
        "gelu_new" => 0.5 * x * (1 + Math.Tanh(Math.Sqrt(2 / Math.PI) * (x + (0.044715 * x * x * x)))),
        _ => Gelu(x),
    };

    private static double Gelu(double x) => 0.5 * x * (1 + ErrorFunction.Of(x / Math.Sqrt(2)));

    private double[] Norm(double[] x, string module)
    {
        bool old = _tensors.ContainsKey(module + ".gamma");
        float[] gain = _tensors[module + (old ? ".gamma" : ".weight")].Values;
        float[] bias = _tensors[module + (old ? ".beta" : ".bias")].Values;
        double mean = x.Average();
        double deviation = Math.Sqrt(x.Average(v => (v - mean) * (v - mean)) + ((double?)_config["layer_norm_eps"] ?? 1e-12));
        return [.. x.Select((v, i) => ((v - mean) / deviation * gain[i]) + bias[i])];
    }

    private double[] Linear(double[] x, string module)
    {
        (long[] shape, float[] w) = _tensors[module + ".weight"];
        float[] bias = _tensors[module + ".bias"].Values;
        double[] y = new double[shape[0]];
        for (int o = 0; o < y.Length; o++)
        {
            y[o] = bias[o];
            for (int i = 0; i < x.Length; i++)
            {
                y[o] += x[i] * w[(o * x.Length) + i];
            }
        }

        return y;
    }

    private static double[] Tanh(double[] x) => [.. x.Select(Math.Tanh)];
}
