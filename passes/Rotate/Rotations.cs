using ModelPack.Compiler;

namespace ModelPack.Passes;

/// <summary>Rotations of the constants of a graph, collected use by use and applied once. A constant whose readers want different ones is stored once for each.</summary>
/// <param name="editor">The graph.</param>
/// <param name="index">The same graph.</param>
/// <param name="context">For values and reports.</param>
internal sealed class Rotations(GraphEditor editor, GraphIndex index, PassContext context)
{
    private readonly SortedDictionary<(int Node, int Input), (Tensor Tensor, ChannelRotation? First, ChannelRotation? Last)> _uses = [];
    private readonly Dictionary<(ChannelRotation, string), ChannelRotation> _gained = [];
    private readonly Dictionary<int, Node> _nodes = [];

    /// <summary>Constants that were rotated.</summary>
    public int Count => _uses.Count;

    /// <summary>Rotates the axis of a use.</summary>
    public void Add(WeightUse use, ChannelRotation rotation)
    {
        (_, ChannelRotation? first, ChannelRotation? last) = _uses.GetValueOrDefault((use.Node, use.Input));
        ChannelRotation whole = use.Gain is null ? rotation : AfterGain(rotation, use.Gain);
        bool isLast = use.Axis == use.Tensor.Shape.Rank - 1;
        _uses[(use.Node, use.Input)] = (use.Tensor, isLast ? first : whole, isLast ? whole : last);
    }

    /// <summary>What the outputs of a linear layer are rotated by so far; null for nothing.</summary>
    /// <param name="position">Position of the layer.</param>
    public ChannelRotation? OfOutputs(int position) =>
        _uses.TryGetValue((position, 1), out (Tensor, ChannelRotation? First, ChannelRotation? Last) found) ? (LinearNode.InputAxis(index.Graph.Nodes[position]) == 0 ? found.Last : found.First) : null;

    /// <summary>A node of the graph as it will be; for changes of one's own, which go to <see cref="Replace"/>.</summary>
    public Node Node(int position) => _nodes.GetValueOrDefault(position) ?? index.Graph.Nodes[position];

    /// <summary>Puts another node at a position.</summary>
    public void Replace(int position, Node node) => _nodes[position] = node;

    /// <summary>Hands all changes to the editor.</summary>
    public void Apply()
    {
        foreach (var same in _uses.GroupBy(u => u.Value.Tensor.Name, StringComparer.Ordinal))
        {
            Apply(same.First().Value.Tensor, [.. same.Select(u => (u.Key, u.Value.First, u.Value.Last))]);
        }

        foreach ((int position, Node node) in _nodes)
        {
            editor.ReplaceNode(position, node);
        }
    }

    private void Apply(Tensor tensor, ((int Node, int Input) Place, ChannelRotation? First, ChannelRotation? Last)[] uses)
    {
        var kinds = uses.GroupBy(u => (u.First, u.Last)).ToArray();
        bool others = index.Uses(tensor.Name).Count > uses.Length || index.IsOutput(tensor.Name);
        if (kinds.Length == 1 && !others)
        {
            editor.ReplaceInitializer(tensor.Name, tensor with { Encoding = RotatedTensor.Rotate(tensor.Encoding, uses[0].First, uses[0].Last, context) });
            return;
        }

        context.Report(DiagnosticSeverity.Info, $"stored {kinds.Length + (others ? 1 : 0)} times: its readers need it rotated differently", tensor.Name);
        foreach (var kind in kinds)
        {
            string name = editor.UniqueName($"{tensor.Name}_rotated");
            editor.AddInitializer(tensor with { Name = name, Encoding = RotatedTensor.Rotate(tensor.Encoding, kind.Key.First, kind.Key.Last, context), Foreign = default });
            foreach (((int position, int input), _, _) in kind)
            {
                Node node = Node(position);
                _nodes[position] = node with { Inputs = node.Inputs.SetItem(input, name) };
            }
        }
    }

    private ChannelRotation AfterGain(ChannelRotation rotation, Tensor gain)
    {
        if (!_gained.TryGetValue((rotation, gain.Name), out ChannelRotation? after))
        {
            float[] values = new float[gain.Shape.ElementCount];
            context.OpenValues(gain.Encoding).ReadRows(0, checked((int)gain.Shape.Rows), values);
            _gained[(rotation, gain.Name)] = after = rotation.After([.. values.Select(v => (double)v)]);
        }

        return after;
    }
}
