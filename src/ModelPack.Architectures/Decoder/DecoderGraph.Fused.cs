using System.Collections.Immutable;
using ModelPack.Compiler;

namespace ModelPack.Architectures.Decoder;

/// <summary>
/// Attention of one layer in ONNX Runtime's operators (com.microsoft, docs/ContribOperators.md; CPU, 1.31):
/// <code>
/// q, k, v = linear(x) [batch, seq, heads * dim] -> norm? per head -> RotaryEmbedding (q, k) by cosines and sines [seq, dim / 2] of the positions at hand
/// GroupQueryAttention(q, k, v, past, tokens behind the first, all tokens) -> sum, present: grouped heads, soft cap and window inside, nothing of the size of the scores outside
/// </code>
/// Past may have room for the new tokens behind those that are there (<see cref="GraphForm.CachedFused"/>): where past and present are one memory, the operator writes them there and copies nothing.
/// </summary>
internal sealed partial class DecoderGraph
{
    private const string Contrib = "com.microsoft";
    private const long OnnxInt32 = 6;

    /// <summary>What GroupQueryAttention and RotaryEmbedding take heads in multiples of.</summary>
    private const long HeadUnit = 8;

    private readonly Dictionary<int, (string Cosine, string Sine)> _halfRotations = [];

    /// <summary>Number of tokens of keys that come out: as many as came in where there is room among them, else with the new ones.</summary>
    private const string PastOrMore = "past or more";

    /// <summary>Number of tokens with those of the past: less one, i32 [batch], and i32 [].</summary>
    private (string Last, string Total)? _lengths;

    /// <summary>The form is asked for and the model has heads that it can be made of; else it is <see cref="GraphForm.Cached"/>.</summary>
    private bool Fused => _form == GraphForm.CachedFused && _spec.Latent is null && _spec.HeadDim % HeadUnit == 0 && _spec.Rotary.All(r => r.InverseFrequencies.Length % (HeadUnit / 2) == 0);

    private string FusedAttention(string q, string k, string v, int layer, Positions positions, string scope)
    {
        LayerAttention attention = _spec.Attention[layer];
        q = FusedRotate(NormHeads(q, _spec.Heads, WeightRole.QueryNorm, layer, $"{scope}/query"), _spec.Heads, attention.Rotary, positions, $"{scope}/query");
        k = FusedRotate(NormHeads(k, _spec.KeyValueHeads, WeightRole.KeyNorm, layer, $"{scope}/key"), _spec.KeyValueHeads, attention.Rotary, positions, $"{scope}/key");
        (string last, string total) = _lengths ??= MakeLengths();
        var attributes = new List<NodeAttribute>
        {
            GraphWriter.Int("num_heads", _spec.Heads),
            GraphWriter.Int("kv_num_heads", _spec.KeyValueHeads),
            GraphWriter.Float("scale", _spec.AttentionScale),
        };
        if (_spec.AttentionSoftCap is float cap)
        {
            attributes.Add(GraphWriter.Float("softcap", cap));
        }

        if (attention.Window is long window)
        {
            attributes.Add(GraphWriter.Int("local_window_size", window));
        }

        string[] outputs = [PresentName(layer, "key"), PresentName(layer, "value")];
        foreach (string output in outputs)
        {
            _graph.Output(output, DType.F32, Batch, _spec.KeyValueHeads, PastOrMore, _spec.HeadDim);
        }

        return _graph.Foreign(Contrib, scope, "GroupQueryAttention", [q, k, v, PastName(layer, "key"), PastName(layer, "value"), last, total], outputs, [.. attributes]);
    }

    /// <summary>[batch, seq, heads * dim] with each head normed where the family does so.</summary>
    private string NormHeads(string x, long heads, WeightRole norm, int layer, string scope)
    {
        if (!_spec.Names.Has(norm))
        {
            return x;
        }

        x = _graph.Op(scope, "Reshape", [x, _graph.Integers(0, 0, heads, _spec.HeadDim)]);
        x = Norm(x, norm, layer, _spec.HeadDim, $"{scope}/norm");
        return _graph.Op(scope, "Reshape", [x, _graph.Integers(0, 0, heads * _spec.HeadDim)]);
    }

    /// <summary>The rows of cosines and sines are those of the tokens at hand, so the first token is at row 0.</summary>
    private string FusedRotate(string x, long heads, int rotary, Positions positions, string scope)
    {
        (string cosine, string sine) = HalfRotation(rotary, positions);
        long turned = 2L * _spec.Rotary[rotary].InverseFrequencies.Length;
        ImmutableArray<NodeAttribute> attributes = turned == _spec.HeadDim
            ? [GraphWriter.Int("num_heads", heads)]
            : [GraphWriter.Int("num_heads", heads), GraphWriter.Int("rotary_embedding_dim", turned)];
        return _graph.Foreign(Contrib, $"{scope}/rotary", "RotaryEmbedding", [x, _graph.Integers(0), cosine, sine], [], attributes.AsSpan());
    }

    /// <summary>Cosines and sines [seq, dim / 2].</summary>
    private (string Cosine, string Sine) HalfRotation(int rotary, Positions positions)
    {
        if (!_halfRotations.TryGetValue(rotary, out (string Cosine, string Sine) known))
        {
            string angles = Angles(rotary, positions);
            _halfRotations[rotary] = known = (Scaled("Cos", angles, rotary), Scaled("Sin", angles, rotary));
        }

        return known;
    }

    private (string Last, string Total) MakeLengths()
    {
        const string scope = "lengths";
        string Size(string value, int axis) => _graph.Op(scope, "Gather", [_graph.Op(scope, "Shape", [value]), _graph.Index(axis)]);
        string ToInt32(string value) => _graph.Op(scope, "Cast", [value], GraphWriter.Int("to", OnnxInt32));
        string past = _graph.Op(scope, "Min", [Size(PastName(0, "key"), 2), "position_offset"]);
        string total = _graph.Op(scope, "Add", [past, Size("input_ids", 1)]);
        string batch = _graph.Op(scope, "Shape", ["input_ids"], GraphWriter.Int("start", 0), GraphWriter.Int("end", 1));
        string last = _graph.Op(scope, "Expand", [_graph.Op(scope, "Sub", [total, _graph.Index(1)]), batch]);
        return (ToInt32(last), ToInt32(total));
    }
}
