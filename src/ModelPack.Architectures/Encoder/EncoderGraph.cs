using ModelPack.Architectures.Decoder;
using ModelPack.Compiler;

namespace ModelPack.Architectures.Encoder;

/// <summary>
/// Builds the graph of an encoder, whose tokens see each other in both directions, and whose norms stand behind the sums:
/// <code>
/// x = norm(words[input_ids] + positions[.] + types[token_type_ids]?)
/// per layer:  x = norm(x + output(softmax(q k^T / sqrt(dim) + distance bias? + mask) v))
///             x = norm(x + down(activation(up(x))))
/// linear(x)   MatMul(x, Transpose(Cast(w))) + Cast(bias)    w [out, in] as it lies in the checkpoint
/// norm(x)     LayerNormalization
/// </code>
/// Takes <c>input_ids</c>, <c>attention_mask</c> (0 hides a token from all) and, with several token types, <c>token_type_ids</c>, all i64 [batch, seq]. Gives <c>last_hidden_state</c> f32 [batch, seq, hidden] and, with a
/// pooler, <c>pooler_output</c> f32 [batch, hidden]; a model with a head gives <c>logits</c> instead, [batch, seq, vocab], [batch, labels] or [batch, seq, labels]. All arithmetic is f32.
/// </summary>
internal sealed partial class EncoderGraph
{
    private const string Batch = "batch";
    private const string Sequence = "seq";
    private const long OnnxInt64 = 7;

    /// <summary>Added to the scores of hidden tokens: the least f32, as transformers does.</summary>
    private const float Masked = float.MinValue;

    private readonly EncoderSpec _spec;
    private readonly CheckpointWeights _weights;
    private readonly GraphWriter _graph = new();
    private readonly string _prefix;

    private EncoderGraph(EncoderSpec spec, CheckpointWeights weights)
    {
        _spec = spec;
        _weights = weights;
        _prefix = weights.Has(spec.Names.Prefix + WordTable) ? spec.Names.Prefix : "";
    }

    private const string WordTable = "embeddings.word_embeddings.weight";

    /// <summary>Builds the graph; takes the tensors it reads out of <paramref name="weights"/>.</summary>
    /// <exception cref="ModelPackException">MP1506, MP1508 to MP1510; MP1511: the form has keys and values of earlier tokens.</exception>
    public static Graph Build(EncoderSpec spec, CheckpointWeights weights, GraphForm form) => form == GraphForm.Full
        ? new EncoderGraph(spec, weights).Build()
        : throw new ModelPackException(ErrorCodes.GraphNotBuilt, "an encoder reads whole texts: it does not continue them, and has no keys and values of earlier tokens");

    private Graph Build()
    {
        string ids = _graph.Input("input_ids", DType.I64, Batch, Sequence);
        string mask = _graph.Input("attention_mask", DType.I64, Batch, Sequence);
        string table = _graph.AsFloat(_weights.Take(_prefix + WordTable, new Shape(_spec.Vocabulary, _spec.Hidden), "vocab_size, hidden size", vocabulary: true));
        string x = Embed(ids, table);
        string hidden = Mask(mask);
        for (int layer = 0; layer < _spec.Layers; layer++)
        {
            x = Layer(x, layer, hidden);
        }

        Finish(x, table);
        return _graph.Build("encoder");
    }

    private string Embed(string ids, string table)
    {
        const string scope = "embeddings";
        string x = _graph.Op(scope, "Gather", [table, ids]);
        string positions = Table("embeddings.position_embeddings.weight", _spec.Positions, "max_position_embeddings, hidden size");
        x = _graph.Op(scope, "Add", [x, _graph.Op($"{scope}/positions", "Gather", [positions, Positions(ids)])]);
        if (_spec.TokenTypes > 0)
        {
            string types = Table("embeddings.token_type_embeddings.weight", _spec.TokenTypes, "type_vocab_size, hidden size");
            string chosen = _spec.TokenTypes > 1 ? _graph.Input("token_type_ids", DType.I64, Batch, Sequence) : _graph.Index(0);
            x = _graph.Op(scope, "Add", [x, _graph.Op($"{scope}/types", "Gather", [types, chosen])]);
        }

        return Norm(x, _prefix + "embeddings.LayerNorm", scope);
    }

    private string Table(string name, long rows, string why) => _graph.AsFloat(_weights.Take(_prefix + name, new Shape(rows, _spec.Hidden), why));

    /// <summary>Rows of the table of positions: [seq] from 0 on, or [batch, seq] counted behind the padding token, which does not count.</summary>
    private string Positions(string ids)
    {
        const string scope = "embeddings/positions";
        if (_spec.PositionsAfter is not long padding)
        {
            return Range(ids, scope);
        }

        string real = _graph.Op(scope, "Cast", [_graph.Op(scope, "Not", [_graph.Op(scope, "Equal", [ids, _graph.Index(padding)])])], GraphWriter.Int("to", OnnxInt64));
        string count = _graph.Op(scope, "CumSum", [real, _graph.Index(1)]);
        return _graph.Op(scope, "Add", [_graph.Op(scope, "Mul", [count, real]), _graph.Index(padding)]);
    }

    private string Range(string ids, string scope) =>
        _graph.Op(scope, "Range", [_graph.Index(0), _graph.Op(scope, "Gather", [_graph.Op(scope, "Shape", [ids]), _graph.Index(1)]), _graph.Index(1)]);

    /// <summary>What is added to all scores: 0 for tokens that are seen, [batch, 1, 1, seq]; with distances, [batch, heads, seq, seq].</summary>
    private string Mask(string mask)
    {
        const string scope = "mask";
        string row = _graph.Op(scope, "Where", [_graph.Op(scope, "Equal", [mask, _graph.Index(0)]), _graph.Scalar(Masked), _graph.Scalar(0)]);
        string all = _graph.Op(scope, "Unsqueeze", [row, _graph.Integers(1, 2)]);
        return _spec.DistanceBuckets is long buckets ? _graph.Op(scope, "Add", [Distances(mask, buckets), all]) : all;
    }

    /// <summary>One bias per head and distance, [1, heads, seq, seq].</summary>
    private string Distances(string ids, long buckets)
    {
        const string scope = "distances";
        string biases = _graph.AsFloat(_weights.Take(_prefix + "encoder.relative_attention_bias.weight", new Shape(buckets, _spec.Heads), "relative_attention_num_buckets, num_attention_heads"));
        string positions = Range(ids, scope);
        string keys = _graph.Op(scope, "Unsqueeze", [positions, _graph.Integers(0)]);
        string queries = _graph.Op(scope, "Unsqueeze", [positions, _graph.Integers(1)]);
        string index = _graph.Op(scope, "Add", [_graph.Op(scope, "Sub", [keys, queries]), _graph.Index(_spec.Positions - 1)]);
        string bucket = _graph.Op(scope, "Gather", [_graph.List("distances/buckets", DistanceBuckets.All(_spec.Positions, buckets)), index]);
        string bias = _graph.Op(scope, "Transpose", [_graph.Op(scope, "Gather", [biases, bucket])], GraphWriter.Ints("perm", 2, 0, 1));
        return _graph.Op(scope, "Unsqueeze", [bias, _graph.Integers(0)]);
    }

    private string Layer(string x, int layer, string mask)
    {
        string scope = $"layers.{layer}";
        string Module(string name) => _prefix + _spec.Names.Layer.Replace("{n}", layer.ToString(System.Globalization.CultureInfo.InvariantCulture), StringComparison.Ordinal) + name;
        string attended = Linear(Attention(x, Module, mask, $"{scope}/attention"), Module(_spec.Names.Output), _spec.Hidden, _spec.Hidden, $"{scope}/attention/output");
        x = Norm(_graph.Op($"{scope}/attention_residual", "Add", [x, attended]), Module(_spec.Names.AttentionNorm), $"{scope}/attention_norm");
        string up = Linear(x, Module(_spec.Names.Up), _spec.Intermediate, _spec.Hidden, $"{scope}/mlp/up");
        up = _graph.Activate(_spec.Activation, up, $"{scope}/mlp/activation");
        string down = Linear(up, Module(_spec.Names.Down), _spec.Hidden, _spec.Intermediate, $"{scope}/mlp/down");
        return Norm(_graph.Op($"{scope}/mlp_residual", "Add", [x, down]), Module(_spec.Names.OutputNorm), $"{scope}/output_norm");
    }

    private string Attention(string x, Func<string, string> module, string mask, string scope)
    {
        long dim = _spec.Hidden / _spec.Heads;
        string Heads(string name, string inner, params ReadOnlySpan<long> order)
        {
            string heads = Linear(x, module(name), _spec.Hidden, _spec.Hidden, $"{scope}/{inner}");
            heads = _graph.Op($"{scope}/{inner}", "Reshape", [heads, _graph.Integers(0, 0, _spec.Heads, dim)]);
            return _graph.Op($"{scope}/{inner}", "Transpose", [heads], GraphWriter.Ints("perm", order));
        }

        string q = Heads(_spec.Names.Query, "query", 0, 2, 1, 3);
        string k = Heads(_spec.Names.Key, "key", 0, 2, 3, 1);
        string v = Heads(_spec.Names.Value, "value", 0, 2, 1, 3);
        string scores = _graph.Op(scope, "Mul", [_graph.Op(scope, "MatMul", [q, k]), _graph.Scalar((float)(1 / Math.Sqrt(dim)))]);
        string shares = _graph.Op(scope, "Softmax", [_graph.Op(scope, "Add", [scores, mask])], GraphWriter.Int("axis", -1));
        string sum = _graph.Op(scope, "Transpose", [_graph.Op(scope, "MatMul", [shares, v])], GraphWriter.Ints("perm", 0, 2, 1, 3));
        return _graph.Op(scope, "Reshape", [sum, _graph.Integers(0, 0, _spec.Hidden)]);
    }

    private string Linear(string x, string module, long outputs, long inputs, string scope)
    {
        string product = _graph.Op(scope, "MatMul", [x, _graph.Factor(_weights.Take($"{module}.weight", new Shape(outputs, inputs), "what the layer makes of what it reads"))]);
        return _graph.Op(scope, "Add", [product, _graph.AsFloat(_weights.Take($"{module}.bias", new Shape(outputs), "one per output"))]);
    }

    /// <summary>(x - mean) / sqrt(variance + epsilon) * gain + bias. Checkpoints made before 2019 call them gamma and beta.</summary>
    private string Norm(string x, string module, string scope)
    {
        bool old = !_weights.Has($"{module}.weight") && _weights.Has($"{module}.gamma");
        string Of(string name) => _graph.AsFloat(_weights.Take($"{module}.{name}", new Shape(_spec.Hidden), "hidden size"));
        return _graph.Op(scope, "LayerNormalization", [x, Of(old ? "gamma" : "weight"), Of(old ? "beta" : "bias")], GraphWriter.Int("axis", -1), GraphWriter.Float("epsilon", _spec.NormEpsilon));
    }
}
