using System.Collections.Immutable;

namespace ModelPack.Architectures.Decoder;

/// <summary>
/// Latent attention of one layer, heads h:
/// <code>
/// q = linear(norm?(linear(x))) -> [batch, h, seq, plain + rotary];   c, r = Split(linear(x));  c = norm(c);   q_r and r rotated, pairs of neighbours
/// full     k, v = Split(linear(c)) -> [batch, h, seq, .];   scores = q_p k^T + q_r r^T;   result = P v
/// cached   c and r are what is kept: [batch, 1, past + seq, rank] and [batch, 1, past + seq, rotary];
///          scores = (q_p U) c^T + q_r r^T;   result = (P c) V^T        with the rows U [h, plain, rank] and V [h, value, rank] of the same weight
/// </code>
/// The two are equal: q_p (U c)^T = (q_p U) c^T and P (V c) = (P c) V^T. The second reads rank + rotary values per token instead of h (plain + rotary + value).
/// </summary>
internal sealed partial class DecoderGraph
{
    private string LatentAttention(string x, int layer, LatentSpec latent, Positions positions, string scope)
    {
        string Op(string op, params ReadOnlySpan<string> inputs) => _graph.Op(scope, op, inputs);
        ImmutableArray<string> query = _graph.Split($"{scope}/query", Apart(Queries(x, layer, latent, scope), _spec.Heads, latent.PlainDim + latent.RotaryDim, $"{scope}/query"), latent.PlainDim, latent.RotaryDim);
        string both = Linear(x, WeightRole.KeyValueDown, layer, latent.KeyValueRank + latent.RotaryDim, _spec.Hidden, latent.Bias, $"{scope}/key_value_down");
        ImmutableArray<string> down = _graph.Split($"{scope}/key_value_down", both, latent.KeyValueRank, latent.RotaryDim);
        string content = Norm(down[0], WeightRole.KeyValueNorm, layer, latent.KeyValueRank, $"{scope}/key_value_norm", LatentSpec.NormEpsilon);
        int rotary = _spec.Attention[layer].Rotary;
        string turnedQuery = RotateNeighbours(query[1], rotary, positions, $"{scope}/query");
        string turnedKey = RotateNeighbours(Apart(down[1], 1, latent.RotaryDim, $"{scope}/key"), rotary, positions, $"{scope}/key");
        string plain, result;
        string? contentScales = null;
        string? keyScales = null;
        Func<string, string> finish;
        if (Cached)
        {
            (content, contentScales) = Append(_graph.Op(scope, "Unsqueeze", [content, _graph.Integers(1)]), layer, "key", scope);
            (turnedKey, keyScales) = Append(turnedKey, layer, "value", scope);
            string weight = Vector(WeightRole.KeyValueUp, layer, new Shape(_spec.Heads * (latent.PlainDim + latent.ValueDim), latent.KeyValueRank), Reasons.Of(WeightRole.KeyValueUp));
            string byHead = _graph.Op($"{scope}/key_value_up", "Reshape", [weight, _graph.Integers(_spec.Heads, latent.PlainDim + latent.ValueDim, latent.KeyValueRank)]);
            ImmutableArray<string> rows = _graph.SplitAt($"{scope}/key_value_up", byHead, 1, latent.PlainDim, latent.ValueDim);
            plain = Scaled(Op("MatMul", Op("MatMul", query[0], rows[0]), Turn(content, $"{scope}/key")), contentScales);
            finish = weights => Op("MatMul", Op("MatMul", Scaled(weights, contentScales), content), _graph.Op($"{scope}/key_value_up", "Transpose", [rows[1]], GraphWriter.Ints("perm", 0, 2, 1)));
        }
        else
        {
            string up = Linear(content, WeightRole.KeyValueUp, layer, _spec.Heads * (latent.PlainDim + latent.ValueDim), latent.KeyValueRank, false, $"{scope}/key_value_up");
            ImmutableArray<string> parts = _graph.Split($"{scope}/key_value_up", Apart(up, _spec.Heads, latent.PlainDim + latent.ValueDim, $"{scope}/key_value_up"), latent.PlainDim, latent.ValueDim);
            plain = Op("MatMul", query[0], Turn(parts[0], $"{scope}/key"));
            finish = weights => Op("MatMul", weights, parts[1]);
        }

        string scores = Op("Add", plain, Scaled(Op("MatMul", turnedQuery, Turn(turnedKey, $"{scope}/key")), keyScales));
        scores = Op("Add", Op("Mul", scores, _graph.Scalar(_spec.AttentionScale)), Mask(_spec.Attention[layer].Window, positions));
        result = finish(_graph.Op(scope, "Softmax", [scores], GraphWriter.Int("axis", -1)));
        result = _graph.Op(scope, "Transpose", [result], GraphWriter.Ints("perm", 0, 2, 1, 3));
        result = Op("Reshape", result, _graph.Integers(0, 0, _spec.Heads * latent.ValueDim));
        return Linear(result, WeightRole.Output, layer, _spec.Hidden, _spec.Heads * latent.ValueDim, latent.Bias, $"{scope}/output");

        string Scaled(string value, string? scales) => scales is null ? value : Op("Mul", value, Turn(scales, $"{scope}/scale"));
    }

    private string Queries(string x, int layer, LatentSpec latent, string scope)
    {
        long queries = _spec.Heads * (latent.PlainDim + latent.RotaryDim);
        if (latent.QueryRank is not long rank)
        {
            return Linear(x, WeightRole.Query, layer, queries, _spec.Hidden, false, $"{scope}/query");
        }

        string down = Linear(x, WeightRole.QueryDown, layer, rank, _spec.Hidden, latent.Bias, $"{scope}/query_down");
        return Linear(Norm(down, WeightRole.QueryDownNorm, layer, rank, $"{scope}/query_norm", LatentSpec.NormEpsilon), WeightRole.QueryUp, layer, queries, rank, false, $"{scope}/query_up");
    }

    /// <summary>[batch, seq, heads * channels] as [batch, heads, seq, channels].</summary>
    private string Apart(string x, long heads, long channels, string scope) =>
        _graph.Op(scope, "Transpose", [_graph.Op(scope, "Reshape", [x, _graph.Integers(0, 0, heads, channels)])], GraphWriter.Ints("perm", 0, 2, 1, 3));

    /// <summary>Turns channels 2i and 2i + 1 by the angle of frequency i; the results come in halves, first all firsts. Both sides of a product come so, and sums do not care.</summary>
    private string RotateNeighbours(string x, int rotary, Positions positions, string scope)
    {
        (string cosine, string sine) = Rotation(rotary, positions);
        scope = $"{scope}/rotary";
        long half = _spec.Rotary[rotary].InverseFrequencies.Length;
        string pairs = _graph.Op(scope, "Reshape", [x, _graph.Integers(0, 0, -1, half, 2)]);
        string apart = _graph.Op(scope, "Reshape", [_graph.Op(scope, "Transpose", [pairs], GraphWriter.Ints("perm", 0, 1, 2, 4, 3)), _graph.Integers(0, 0, -1, 2 * half)]);
        ImmutableArray<string> halves = _graph.Split(scope, apart, half, half);
        string across = _graph.Op(scope, "Concat", [_graph.Op(scope, "Neg", [halves[1]]), halves[0]], GraphWriter.Int("axis", -1));
        return _graph.Op(scope, "Add", [_graph.Op(scope, "Mul", [apart, cosine]), _graph.Op(scope, "Mul", [across, sine])]);
    }
}
