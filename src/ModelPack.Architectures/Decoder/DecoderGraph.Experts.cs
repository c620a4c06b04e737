namespace ModelPack.Architectures.Decoder;

/// <summary>
/// A layer of experts, T tokens of all sequences at once:
/// <code>
/// shares [T, E] = softmax or sigmoid of router(x), those of the chosen experts (TopK, then ScatterElements into zeros), over their sum where the family does so
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
        string scores = _graph.Op($"{scope}/router", "MatMul", [rows, router]);
        string shares = Shares(scores, layer, experts, $"{scope}/router");
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
            string product = _graph.Op(inner, "Mul", [_graph.Activate(_spec.Activation, gate, $"{inner}/activation"), up]);
            string result = _graph.Op($"{inner}/down", "MatMul", [product, ExpertMatrix(WeightRole.ExpertDown, layer, e, _spec.Hidden, experts.Intermediate)]);
            string ownShare = _graph.Op(inner, "Unsqueeze", [_graph.Op(inner, "Gather", [share, index]), _graph.Integers(1)]);
            string weighted = _graph.Op(inner, "Mul", [result, ownShare]);
            string places = _graph.Op(inner, "Transpose", [where], GraphWriter.Ints("perm", 1, 0));
            sum = _graph.Op(inner, "ScatterND", [sum, places, weighted], GraphWriter.Text("reduction", "add"));
        }

        if (experts.SharedIntermediate > 0)
        {
            string inner = $"{scope}/shared";
            string gate = Linear(rows, WeightRole.SharedGate, layer, experts.SharedIntermediate, _spec.Hidden, false, $"{inner}/gate");
            string up = Linear(rows, WeightRole.SharedUp, layer, experts.SharedIntermediate, _spec.Hidden, false, $"{inner}/up");
            string product = _graph.Op(inner, "Mul", [_graph.Activate(_spec.Activation, gate, $"{inner}/activation"), up]);
            sum = Op("Add", sum, Linear(product, WeightRole.SharedDown, layer, _spec.Hidden, experts.SharedIntermediate, false, $"{inner}/down"));
        }

        return Op("Reshape", sum, Op("Shape", x));
    }

    /// <summary>What every expert counts for, [T, E]; 0 where it was not chosen.</summary>
    private string Shares(string scores, int layer, ExpertSpec experts, string scope)
    {
        string Op(string op, params ReadOnlySpan<string> inputs) => _graph.Op(scope, op, inputs);
        string odds = experts.Sigmoid ? Op("Sigmoid", scores) : _graph.Op(scope, "Softmax", [scores], GraphWriter.Int("axis", -1));
        string worth = experts.Corrected ? Op("Add", odds, Vector(WeightRole.RouterCorrection, layer, new Shape(experts.Count), "one per expert")) : odds;
        worth = experts.Groups > 1 ? OfBestGroups(worth, experts, scope) : worth;
        string indices = _graph.Ops(scope, "TopK", 2, [worth, _graph.Integers(experts.PerToken)])[1];
        string chosen = _graph.Op(scope, "GatherElements", [odds, indices], GraphWriter.Int("axis", -1));
        if (experts.Normalized)
        {
            chosen = Op("Div", chosen, _graph.Op(scope, "ReduceSum", [chosen, _graph.Integers(-1)], GraphWriter.Int("keepdims", 1)));
        }

        chosen = experts.Scale.Equals(1f) ? chosen : Op("Mul", chosen, _graph.Scalar(experts.Scale));
        return _graph.Op(scope, "ScatterElements", [Op("ConstantOfShape", Op("Shape", odds)), indices, chosen], GraphWriter.Int("axis", -1));
    }

    /// <summary>The same numbers where an expert's group is one of the best, the least f32 elsewhere.</summary>
    private string OfBestGroups(string worth, ExpertSpec experts, string scope)
    {
        scope = $"{scope}/groups";
        string Op(string op, params ReadOnlySpan<string> inputs) => _graph.Op(scope, op, inputs);
        string grouped = Op("Reshape", worth, _graph.Integers(-1, experts.Groups, experts.Count / experts.Groups));
        string best = _graph.Ops(scope, "TopK", 2, [grouped, _graph.Integers(experts.GroupsByTwo ? 2 : 1)])[0];
        string groups = _graph.Op(scope, "ReduceSum", [best, _graph.Integers(-1)], GraphWriter.Int("keepdims", 0));
        string kept = _graph.Ops(scope, "TopK", 2, [groups, _graph.Integers(experts.GroupsPerToken)])[1];
        string marks = _graph.Op(scope, "ScatterElements", [Op("ConstantOfShape", Op("Shape", groups)), kept, Op("Expand", _graph.Scalar(1), Op("Shape", kept))], GraphWriter.Int("axis", -1));
        string mask = Op("Greater", Op("Unsqueeze", marks, _graph.Integers(-1)), _graph.Scalar(0.5f));
        return Op("Reshape", Op("Where", mask, grouped, _graph.Scalar(Masked)), _graph.Integers(-1, experts.Count));
    }

    private string ExpertMatrix(WeightRole role, int layer, int expert, long outputs, long inputs) => Matrix(_spec.Names.Of(role, layer, expert), role, outputs, inputs);
}
