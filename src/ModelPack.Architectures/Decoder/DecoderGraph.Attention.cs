using System.Collections.Immutable;

namespace ModelPack.Architectures.Decoder;

/// <summary>
/// Attention of one layer:
/// <code>
/// q, k, v = linear(x) -> Reshape [batch, seq, heads, dim] -> norm? -> Transpose [batch, heads, seq, dim] -> rotate (q, k)
/// cached: k, v = Concat(past, .) -> present; as f16: Cast before and after; as i8: codes = Round(. / s), s = max |.| / 127 of a head of a token; scores are then multiplied by the scales of keys, weights by those of values
/// grouped heads: Unsqueeze(2) -> Expand [batch, kv_heads, heads/kv_heads, seq, dim] -> Reshape [batch, heads, seq, dim]
/// P = softmax(softcap?(q k^T * scale) + mask);  P v -> Transpose -> Reshape [batch, seq, heads * dim] -> norm? -> linear
/// </code>
/// </summary>
internal sealed partial class DecoderGraph
{
    /// <summary>Added to the scores of tokens that may not be seen: the least f32, as transformers does.</summary>
    private const float Masked = float.MinValue;

    /// <summary>Cosines and sines by index of the embedding, masks by width of the window; made when first asked for.</summary>
    /// <param name="Queries">Positions of the new tokens, i64 [seq].</param>
    /// <param name="Keys">Positions of all tokens, i64 [past + seq].</param>
    private sealed record Positions(string Queries, string Keys)
    {
        public Dictionary<int, (string Cosine, string Sine)> Rotations { get; } = [];

        /// <summary>By window; 0 stands for none.</summary>
        public Dictionary<long, string> Masks { get; } = [];
    }

    /// <summary>The least magnitude that becomes 127: scales stay normal numbers.</summary>
    private const float LeastMagnitude = 1e-30f;

    private bool Cached => _form != GraphForm.Full;

    private DType CacheType => _form switch
    {
        GraphForm.CachedF16 => DType.F16,
        GraphForm.CachedInt8 => DType.I8,
        _ => DType.F32,
    };

    private static string PastName(int layer, string part) => $"past_key_values.{layer}.{part}";

    private static string PresentName(int layer, string part) => $"present.{layer}.{part}";

    private void DeclarePast()
    {
        if (!Cached)
        {
            return;
        }

        _graph.Input("position_offset", DType.I64);
        for (int layer = 0; layer < _spec.Attention.Length; layer++)
        {
            foreach (string part in (string[])["key", "value"])
            {
                _graph.Input(PastName(layer, part), CacheType, Batch, _spec.KeyValueHeads, Past, CacheChannels(part));
                if (CacheType == DType.I8)
                {
                    _graph.Input(PastName(layer, ScaleOf(part)), DType.F32, Batch, _spec.KeyValueHeads, Past, 1L);
                }
            }
        }
    }

    private Positions MakePositions(string ids)
    {
        const string scope = "positions";
        string Size(string value, int axis) => _graph.Op(scope, "Gather", [_graph.Op(scope, "Shape", [value]), _graph.Index(axis)]);
        string Range(string start, string end) => _graph.Op(scope, "Range", [start, end, _graph.Index(1)]);
        string count = Size(ids, 1);
        if (!Cached)
        {
            string all = Range(_graph.Index(0), count);
            return new Positions(all, all);
        }

        string end = _graph.Op(scope, "Add", ["position_offset", count]);
        if (Fused)
        {
            return new Positions(Range("position_offset", end), end); // The operator counts keys itself.
        }

        string oldest = _graph.Op(scope, "Sub", ["position_offset", Size(PastName(0, "key"), 2)]);
        return new Positions(Range("position_offset", end), Range(oldest, end));
    }

    private string Attention(string x, int layer, Positions positions, string scope)
    {
        if (_spec.Latent is LatentSpec latent)
        {
            return LatentAttention(x, layer, latent, positions, scope);
        }

        (string q, string k, string v) = Project(x, layer, scope);
        if (Fused)
        {
            return Output(FusedAttention(q, k, v, layer, positions, scope), layer, scope);
        }

        LayerAttention attention = _spec.Attention[layer];
        q = Rotate(HeadsFirst(q, _spec.Heads, WeightRole.QueryNorm, layer, $"{scope}/query"), attention.Rotary, positions, $"{scope}/query");
        k = Rotate(HeadsFirst(k, _spec.KeyValueHeads, WeightRole.KeyNorm, layer, $"{scope}/key"), attention.Rotary, positions, $"{scope}/key");
        v = HeadsFirst(v, _spec.KeyValueHeads, null, layer, $"{scope}/value");
        string? keyScales = null;
        string? valueScales = null;
        if (Cached)
        {
            (k, keyScales) = Append(k, layer, "key", scope);
            (v, valueScales) = Append(v, layer, "value", scope);
        }

        k = Repeat(k, _spec.HeadDim, $"{scope}/key");
        v = Repeat(v, _spec.HeadDim, $"{scope}/value");
        string scores = _graph.Op(scope, "MatMul", [q, Turn(k, $"{scope}/key")]);
        scores = keyScales is null ? scores : _graph.Op(scope, "Mul", [scores, Turn(Repeat(keyScales, 1, $"{scope}/key_scale"), $"{scope}/key_scale")]);
        scores = _graph.Op(scope, "Mul", [scores, _graph.Scalar(_spec.AttentionScale)]);
        scores = _spec.AttentionSoftCap is float cap ? SoftCap(scores, cap, $"{scope}/soft_cap") : scores;
        scores = _graph.Op(scope, "Add", [scores, Mask(attention.Window, positions)]);
        string weights = _graph.Op(scope, "Softmax", [scores], GraphWriter.Int("axis", -1));
        weights = valueScales is null ? weights : _graph.Op(scope, "Mul", [weights, Turn(Repeat(valueScales, 1, $"{scope}/value_scale"), $"{scope}/value_scale")]);
        string sum = _graph.Op(scope, "MatMul", [weights, v]);
        sum = _graph.Op(scope, "Transpose", [sum], GraphWriter.Ints("perm", 0, 2, 1, 3));
        sum = _graph.Op(scope, "Reshape", [sum, _graph.Integers(0, 0, _spec.Heads * _spec.HeadDim)]);
        return Output(sum, layer, scope);
    }

    /// <summary>What comes behind the heads [batch, seq, heads * dim].</summary>
    private string Output(string sum, int layer, string scope)
    {
        sum = Norm(sum, WeightRole.AttentionSubNorm, layer, _spec.Heads * _spec.HeadDim, $"{scope}/sub_norm");
        return Linear(sum, WeightRole.Output, layer, _spec.Hidden, _spec.Heads * _spec.HeadDim, _spec.OutputBias, $"{scope}/output");
    }

    private (string Query, string Key, string Value) Project(string x, int layer, string scope)
    {
        long queries = _spec.Heads * _spec.HeadDim;
        long keys = _spec.KeyValueHeads * _spec.HeadDim;
        bool bias = _spec.QueryKeyValueBias;
        if (!_spec.Names.Has(WeightRole.QueryKeyValue))
        {
            return (
                Linear(x, WeightRole.Query, layer, queries, _spec.Hidden, bias, $"{scope}/query"),
                Linear(x, WeightRole.Key, layer, keys, _spec.Hidden, bias, $"{scope}/key"),
                Linear(x, WeightRole.Value, layer, keys, _spec.Hidden, bias, $"{scope}/value"));
        }

        string all = Linear(x, WeightRole.QueryKeyValue, layer, queries + (2 * keys), _spec.Hidden, bias, $"{scope}/query_key_value");
        ImmutableArray<string> parts = _graph.Split(scope, all, queries, keys, keys);
        return (parts[0], parts[1], parts[2]);
    }

    /// <summary>[batch, seq, heads * dim] as [batch, heads, seq, dim], each head normed where the family does so.</summary>
    private string HeadsFirst(string x, long heads, WeightRole? norm, int layer, string scope)
    {
        x = _graph.Op(scope, "Reshape", [x, _graph.Integers(0, 0, heads, _spec.HeadDim)]);
        x = norm is WeightRole role ? Norm(x, role, layer, _spec.HeadDim, $"{scope}/norm") : x;
        return _graph.Op(scope, "Transpose", [x], GraphWriter.Ints("perm", 0, 2, 1, 3));
    }

    /// <summary>x * cos + rotate_half(x) * sin over the first channels of every head; the others pass.</summary>
    private string Rotate(string x, int rotary, Positions positions, string scope)
    {
        (string cosine, string sine) = Rotation(rotary, positions);
        long half = _spec.Rotary[rotary].InverseFrequencies.Length;
        string turned = x;
        string? rest = null;
        if (2 * half < _spec.HeadDim)
        {
            ImmutableArray<string> parts = _graph.Split($"{scope}/rotary", x, 2 * half, _spec.HeadDim - (2 * half));
            (turned, rest) = (parts[0], parts[1]);
        }

        scope = $"{scope}/rotary";
        ImmutableArray<string> halves = _graph.Split(scope, turned, half, half);
        string across = _graph.Op(scope, "Concat", [_graph.Op(scope, "Neg", [halves[1]]), halves[0]], GraphWriter.Int("axis", -1));
        string result = _graph.Op(scope, "Add", [_graph.Op(scope, "Mul", [turned, cosine]), _graph.Op(scope, "Mul", [across, sine])]);
        return rest is null ? result : _graph.Op(scope, "Concat", [result, rest], GraphWriter.Int("axis", -1));
    }

    /// <summary>Cosines and sines [seq, dim], both halves alike.</summary>
    private (string Cosine, string Sine) Rotation(int rotary, Positions positions)
    {
        if (positions.Rotations.TryGetValue(rotary, out (string, string) known))
        {
            return known;
        }

        string angles = Angles(rotary, positions);
        string both = _graph.Op(RotaryScope(rotary), "Concat", [angles, angles], GraphWriter.Int("axis", -1));
        return positions.Rotations[rotary] = (Scaled("Cos", both, rotary), Scaled("Sin", both, rotary));
    }

    private static string RotaryScope(int rotary) => $"rotary.{rotary}";

    /// <summary>Position times frequency, [seq, dim / 2].</summary>
    private string Angles(int rotary, Positions positions)
    {
        string scope = RotaryScope(rotary);
        string column = _graph.Op(scope, "Unsqueeze", [_graph.Op(scope, "Cast", [positions.Queries], GraphWriter.Int("to", OnnxFloat)), _graph.Integers(1)]);
        return _graph.Op(scope, "Mul", [column, _graph.Row($"{scope}/inverse_frequencies", _spec.Rotary[rotary].InverseFrequencies)]);
    }

    private string Scaled(string op, string angles, int rotary)
    {
        string value = _graph.Op(RotaryScope(rotary), op, [angles]);
        float scale = _spec.Rotary[rotary].Scale;
        return scale.Equals(1f) ? value : _graph.Op(RotaryScope(rotary), "Mul", [value, _graph.Scalar(scale)]);
    }

    /// <summary>[seq, past + seq]: 0 where query i may see key j, that is j &lt;= i and, with a window, j > i - window.</summary>
    private string Mask(long? window, Positions positions)
    {
        if (positions.Masks.TryGetValue(window ?? 0, out string? known))
        {
            return known;
        }

        const string scope = "mask";
        string queries = _graph.Op(scope, "Unsqueeze", [positions.Queries, _graph.Integers(1)]);
        string keys = _graph.Op(scope, "Unsqueeze", [positions.Keys, _graph.Integers(0)]);
        string hidden = _graph.Op(scope, "Greater", [keys, queries]);
        if (window is long width)
        {
            string tooOld = _graph.Op(scope, "LessOrEqual", [keys, _graph.Op(scope, "Sub", [queries, _graph.Index(width)])]);
            hidden = _graph.Op(scope, "Or", [hidden, tooOld]);
        }

        return positions.Masks[window ?? 0] = _graph.Op(scope, "Where", [hidden, _graph.Scalar(Masked), _graph.Scalar(0)]);
    }

    /// <summary>The last two axes swapped.</summary>
    private string Turn(string x, string scope) => _graph.Op(scope, "Transpose", [x], GraphWriter.Ints("perm", 0, 1, 3, 2));

    /// <summary>Keys or values of all tokens as f32; in the form of i8 as their codes, with the scales that belong to them.</summary>
    private (string Values, string? Scales) Append(string x, int layer, string part, string scope)
    {
        scope = $"{scope}/{part}";
        string To(long type, string value) => _graph.Op(scope, "Cast", [value], GraphWriter.Int("to", type));
        switch (_form)
        {
            case GraphForm.CachedF16:
                return (To(OnnxFloat, Join(To(OnnxHalf, x), part, DType.F16, CacheChannels(part))), null);
            case GraphForm.CachedInt8:
                string largest = _graph.Op(scope, "ReduceMax", [_graph.Op(scope, "Abs", [x])], GraphWriter.Ints("axes", -1), GraphWriter.Int("keepdims", 1));
                string scale = _graph.Op(scope, "Div", [_graph.Op(scope, "Max", [largest, _graph.Scalar(LeastMagnitude)]), _graph.Scalar(127)]);
                string codes = To(OnnxInt8, _graph.Op(scope, "Round", [_graph.Op(scope, "Div", [x, scale])]));
                return (To(OnnxFloat, Join(codes, part, DType.I8, CacheChannels(part))), Join(scale, ScaleOf(part), DType.F32, 1));
            default:
                return (Join(x, part, DType.F32, CacheChannels(part)), null);
        }

        string Join(string value, string name, DType type, long channels)
        {
            string present = _graph.Named(PresentName(layer, name), scope, "Concat", [PastName(layer, name), value], GraphWriter.Int("axis", 2));
            _graph.Output(present, type, Batch, _spec.KeyValueHeads, "past + seq", channels);
            return present;
        }
    }

    /// <summary>Values per head and token that are kept: with latent attention what keys and values come from, and the rotated key.</summary>
    private long CacheChannels(string part) => _spec.Latent is LatentSpec latent ? (part == "key" ? latent.KeyValueRank : latent.RotaryDim) : _spec.HeadDim;

    private static string ScaleOf(string part) => $"{part}_scale";

    /// <summary>Every head of keys or values, for all heads of queries that share it.</summary>
    private string Repeat(string x, long channels, string scope)
    {
        long times = _spec.Heads / _spec.KeyValueHeads;
        if (times == 1)
        {
            return x;
        }

        string grouped = _graph.Op(scope, "Unsqueeze", [x, _graph.Integers(2)]);
        string expanded = _graph.Op(scope, "Expand", [grouped, _graph.Integers(1, _spec.KeyValueHeads, times, 1, channels)]);
        return _graph.Op(scope, "Reshape", [expanded, _graph.Integers(0, _spec.Heads, -1, channels)]);
    }
}
