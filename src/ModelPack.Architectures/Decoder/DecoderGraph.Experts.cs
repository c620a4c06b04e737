using System.Collections.Immutable;

namespace ModelPack.Architectures.Decoder;

/// <summary>
/// A layer of experts, T tokens of all sequences at once:
/// <code>
/// shares [T, E] = softmax(router(x)), those of the chosen experts (TopK, then ScatterElements into zeros), over their sum where the family does so
/// per expert:  rows = NonZero(shares[:, e]);  y = expert(x[rows]) * shares[rows, e];  sum[rows] += y (ScatterND)
/// </code>
/// An expert computes the tokens that chose it and no others, so a token costs the experts it goes to.
/// </summary>
internal sealed partial class DecoderGraph
{
    private string Experts(string x, int layer, ExpertSpec experts, string scope)
    {
        string Op(string op, params ReadOnlySpan<string> inputs) => _graph.Op(scope, op, inputs);
        string rows = _graph.Op(scope, "Reshape", [x, _graph.Integers(-1, _spec.Hidden)]);
        string router = Matrix(_spec.Names.Of(WeightRole.Router, layer), WeightRole.Router, experts.Count, _spec.Hidden);
        string odds = _graph.Op($"{scope}/router", "Softmax", [_graph.Op($"{scope}/router", "MatMul", [rows, router])], GraphWriter.Int("axis", -1));
        ImmutableArray<string> best = _graph.Ops($"{scope}/router", "TopK", 2, [odds, _graph.Integers(experts.PerToken)]);
        string chosen = best[0];
        if (experts.Normalized)
        {
            chosen = _graph.Op($"{scope}/router", "Div", [chosen, _graph.Op($"{scope}/router", "ReduceSum", [chosen, _graph.Integers(-1)], GraphWriter.Int("keepdims", 1))]);
        }

        string shares = _graph.Op($"{scope}/router", "ScatterElements", [_graph.Op($"{scope}/router", "ConstantOfShape", [_graph.Op($"{scope}/router", "Shape", [odds])]), best[1], chosen], GraphWriter.Int("axis", -1));
        string sum = Op("ConstantOfShape", Op("Shape", rows));
        for (int e = 0; e < experts.Count; e++)
        {
            string inner = $"{scope}/expert.{e}";
            string share = _graph.Op(inner, "Gather", [shares, _graph.Index(e)], GraphWriter.Int("axis", 1));
            string where = _graph.Op(inner, "NonZero", [share]);
            string index = _graph.Op(inner, "Squeeze", [where, _graph.Integers(0)]);
            string own = _graph.Op(inner, "Gather", [rows, index]);
            string gate = _graph.Op($"{inner}/gate", "MatMul", [own, ExpertMatrix(WeightRole.ExpertGate, layer, e, experts.Intermediate, _spec.Hidden)]);
            string up = _graph.Op($"{inner}/up", "MatMul", [own, ExpertMatrix(WeightRole.ExpertUp, layer, e, experts.Intermediate, _spec.Hidden)]);
            string product = _graph.Op(inner, "Mul", [Activate(gate, $"{inner}/activation"), up]);
            string result = _graph.Op($"{inner}/down", "MatMul", [product, ExpertMatrix(WeightRole.ExpertDown, layer, e, _spec.Hidden, experts.Intermediate)]);
            string ownShare = _graph.Op(inner, "Unsqueeze", [_graph.Op(inner, "Gather", [share, index]), _graph.Integers(1)]);
            string weighted = _graph.Op(inner, "Mul", [result, ownShare]);
            string places = _graph.Op(inner, "Transpose", [where], GraphWriter.Ints("perm", 1, 0));
            sum = _graph.Op(inner, "ScatterND", [sum, places, weighted], GraphWriter.Text("reduction", "add"));
        }

        return Op("Reshape", sum, Op("Shape", x));
    }

    private string ExpertMatrix(WeightRole role, int layer, int expert, long outputs, long inputs) => Matrix(_spec.Names.Of(role, layer, expert), role, outputs, inputs);
}
