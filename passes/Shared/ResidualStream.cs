using ModelPack.Compiler;

namespace ModelPack.Passes;

/// <summary>
/// The values of a transformer that are added up from the embedding to the head, with all that makes them and all that reads them. They can be rotated together when every maker ends in a constant, and every reader is
/// linear or a norm:
/// <code>
/// makers    Gather(table, ids), MatMul(z, W), Gemm(z, W, b), Add of two such values or of a constant vector, a multiple of one
/// readers   MatMul(x, W), Gemm(x, W, b); x * (1 / rms(x)) however it is written, SimplifiedLayerNormalization, RMSNormalization, and behind these x * gain whose readers are linear
/// </code>
/// LayerNormalization, written in one or out of single operators, subtracts the mean of the channels: a rotation must keep that (<see cref="KeepsMean"/>), and what it adds goes through the weights behind it.
/// </summary>
internal sealed class ResidualStream
{
    private readonly GraphIndex _index;
    private readonly Queue<string> _open = new();
    private readonly HashSet<string> _values = new(StringComparer.Ordinal);
    private readonly HashSet<(int Node, int Input)> _known = [];

    private ResidualStream(GraphIndex index, int channels)
    {
        _index = index;
        Channels = channels;
    }

    /// <summary>Channels of every value.</summary>
    public int Channels { get; }

    /// <summary>Constants that make the values.</summary>
    public List<WeightUse> Writers { get; } = [];

    /// <summary>Weights that read them.</summary>
    public List<WeightUse> Readers { get; } = [];

    /// <summary>Multiplications with a gain that are taken out, the weights behind them having it: position, and which input stays.</summary>
    public List<(int Node, string Kept)> Gains { get; } = [];

    /// <summary>Norms whose own gain becomes one.</summary>
    public List<int> Norms { get; } = [];

    /// <summary>True when the mean of the channels is used: a rotation must map a vector of equal numbers to itself.</summary>
    public bool KeepsMean { get; private set; }

    /// <summary>Readers behind a norm that adds a vector, which becomes a vector that is added to what they make: the reader, and the vector.</summary>
    public List<(WeightUse Reader, Tensor Shift)> Shifts { get; } = [];

    /// <summary>Whether a value is one of them.</summary>
    public bool Holds(string value) => _values.Contains(value);

    /// <summary>All streams of a graph in graph order, each with the lookup that it begins with; null, or why it cannot be rotated.</summary>
    public static IEnumerable<(Node Table, ResidualStream Stream, string? Refusal)> All(GraphIndex index)
    {
        var found = new List<ResidualStream>();
        for (int i = 0; i < index.Graph.Nodes.Length; i++)
        {
            Node node = index.Graph.Nodes[i];
            if (IsTable(index, node) && !found.Any(s => s.Holds(node.Outputs[0])))
            {
                ResidualStream stream = Follow(index, i, out string? refusal);
                found.Add(stream);
                yield return (node, stream, refusal);
            }
        }
    }

    /// <summary>Follows the values that begin with a row of a table.</summary>
    /// <param name="index">The graph.</param>
    /// <param name="gather">Position of a Gather of rows of a constant matrix.</param>
    /// <param name="refusal">Null, or why the stream cannot be rotated.</param>
    private static ResidualStream Follow(GraphIndex index, int gather, out string? refusal)
    {
        Node node = index.Graph.Nodes[gather];
        var stream = new ResidualStream(index, checked((int)index.Constant(node.Input(0))!.Shape[1]));
        stream.Enter(node.Outputs[0]);
        refusal = null;
        while (refusal is null && stream._open.TryDequeue(out string? value))
        {
            refusal = stream.Make(value) ?? stream.Read(value);
        }

        refusal ??= stream.Shifts.Select(s => index.Graph.Nodes[s.Reader.Node]).FirstOrDefault(n => stream.Holds(n.Outputs[0])) is Node both
            ? $"{both.OpType} '{both.Handle}' reads what a norm has shifted and writes into the stream" : null;

        return stream;
    }

    /// <summary>True for the lookup of rows in a constant matrix.</summary>
    private static bool IsTable(GraphIndex index, Node node) =>
        node.Is("Gather") && node.Int("axis", 0) is 0 or -2 && index.Constant(node.Input(0)) is Tensor { Shape.Rank: 2 } table && table.DType.IsFloat() && table.Shape.ElementCount > 0;

    private void Enter(string value)
    {
        if (_values.Add(value))
        {
            _open.Enqueue(value);
        }
    }

    private string? Make(string value)
    {
        int position = _index.ProducerIndex(value);
        if (position < 0 || _index.Graph.Nodes[position] is not { Domain.Length: 0 } node)
        {
            return $"'{value}' comes from outside of the graph or from an unknown operator";
        }

        if (IsTable(_index, node))
        {
            return TakeWriters([new WeightUse(position, 0, _index.Constant(node.Input(0))!, 1)], _index.Constant(node.Input(0))!.Shape[1] == Channels ? null : $"'{node.Input(0)}' does not have {Channels} columns");
        }

        if (LinearNode.Weight(_index, node) is not null)
        {
            return TakeWriters(LinearNode.Writers(_index, position, Channels, out string? refusal), refusal);
        }

        switch (node.OpType)
        {
            case "Add":
                return Sum(position);
            case "Identity":
                Enter(node.Input(0));
                return null;
            case "Mul" or "Div" when Factor(node) is >= 0 and int other:
                Enter(node.Input(other));
                return null;
            case "Sub" when SubtractsNumber(node):
                Enter(node.Input(0));
                return null;
            default:
                return $"{node.OpType} '{node.Handle}' makes '{value}'";
        }
    }

    private string? Read(string value)
    {
        if (_index.IsOutput(value))
        {
            return $"'{value}' is an output of the graph";
        }

        foreach (ValueUse use in _index.Uses(value))
        {
            if (Read(value, use) is string refusal)
            {
                return refusal;
            }
        }

        return null;
    }

    private string? Read(string value, ValueUse use)
    {
        Node node = use.Node;
        string no = $"{node.OpType} '{node.Handle}' reads '{value}' and is not linear";
        if (!ReferenceEquals(use.Owner, _index.Graph) || node.Domain.Length > 0 && node.OpType != "SimplifiedLayerNormalization")
        {
            return no;
        }

        if (LinearNode.Weight(_index, node) is not null)
        {
            return TakeReader(use, null);
        }

        switch (node.OpType)
        {
            case "Shape":
                return null;
            case "Add":
                Enter(node.Outputs[0]);
                return Sum(use.NodeIndex);
            case "Identity":
                Enter(node.Outputs[0]);
                return null;
            case "Pow" when use.InputIndex == 0 && FloatConstant.Scalar(_index.Constant(node.Input(1)), 8) == 2:
            case "Mul" when node.Input(0) == node.Input(1):
                return OnlySummed(node.Outputs[0]) ? null : no;
            case "ReduceL2" or "ReduceSumSquare" when PerVector.OverChannels(_index, node):
                return null;
            case "Mul" or "Div" when Factor(node) == use.InputIndex:
                Enter(node.Outputs[0]);
                return null;
            case "Sub" when use.InputIndex == 0 && SubtractsNumber(node):
                KeepsMean = true;
                Enter(node.Outputs[0]);
                return null;
            case "ReduceMean" or "ReduceSum" when use.InputIndex == 0 && PerVector.OverChannels(_index, node):
                KeepsMean = true;
                return null;
            case "Mul" when _index.Constant(node.Input(1 - use.InputIndex)) is Tensor gain:
                Gains.Add((use.NodeIndex, value));
                return ReadGained(node.Outputs[0], gain);
            case "SimplifiedLayerNormalization" or "RMSNormalization" when use.InputIndex == 0 && node.Outputs.Length == 1 && node.Int("axis", -1) == -1 && _index.Constant(node.Input(1)) is Tensor gain:
                Norms.Add(use.NodeIndex);
                return ReadGained(node.Outputs[0], gain);
            case "LayerNormalization" when use.InputIndex == 0 && node.Outputs.Length == 1 && node.Int("axis", -1) == -1 && _index.Constant(node.Input(1)) is Tensor gain && (node.Input(2).Length == 0 || IsVector(node.Input(2))):
                KeepsMean = true;
                Norms.Add(use.NodeIndex);
                return ReadGained(node.Outputs[0], gain, _index.Constant(node.Input(2)));
            default:
                return no;
        }
    }

    /// <summary>Both inputs of an addition are in the stream, or one is a constant vector.</summary>
    private string? Sum(int position)
    {
        Node node = _index.Graph.Nodes[position];
        for (int i = 0; i < 2; i++)
        {
            if (_index.Initializer(node.Input(i)) is null)
            {
                Enter(node.Input(i));
                continue;
            }

            var uses = new List<WeightUse>();
            string? refusal = LinearNode.AddVector(_index, position, i, Channels, uses);
            if (TakeWriters(uses, refusal) is string reason)
            {
                return reason;
            }
        }

        return null;
    }

    /// <summary>Which input of a multiplication or division is the vector, when the other is one number for all channels; -1 otherwise.</summary>
    private int Factor(Node node) =>
        PerVector.Is(_index, node.Input(1)) && _index.Initializer(node.Input(0)) is null ? 0
        : node.OpType == "Mul" && PerVector.Is(_index, node.Input(0)) && _index.Initializer(node.Input(1)) is null ? 1
        : -1;

    private bool OnlySummed(string squares) =>
        !_index.IsOutput(squares) && _index.Uses(squares).All(u => ReferenceEquals(u.Owner, _index.Graph) && u.Node is { Domain.Length: 0, OpType: "ReduceMean" or "ReduceSum" } && u.InputIndex == 0 && PerVector.OverChannels(_index, u.Node));

    /// <summary>True for a subtraction of one number for all channels.</summary>
    private bool SubtractsNumber(Node node) => _index.Initializer(node.Input(0)) is null && PerVector.Is(_index, node.Input(1));

    private bool IsVector(string name) => _index.Constant(name) is Tensor constant && constant.Shape.ElementCount == Channels && constant.Shape[-1] == Channels;

    private string? ReadGained(string value, Tensor gain, Tensor? shift = null)
    {
        if (gain.Shape.ElementCount != Channels || gain.Shape[-1] != Channels)
        {
            return $"'{gain.Name}' does not have one number per channel";
        }

        if (_index.IsOutput(value))
        {
            return $"'{value}' is an output of the graph";
        }

        foreach (ValueUse use in _index.Uses(value))
        {
            if (ReferenceEquals(use.Owner, _index.Graph) && use.Node.Is("Shape"))
            {
                continue;
            }

            if (shift is null && ReferenceEquals(use.Owner, _index.Graph) && use.Node.Is("Add") && IsVector(use.Node.Input(1 - use.InputIndex)))
            {
                Gains.Add((use.NodeIndex, value));
                if (ReadGained(use.Node.Outputs[0], gain, _index.Constant(use.Node.Input(1 - use.InputIndex))) is string reason)
                {
                    return reason;
                }

                continue;
            }

            if (!ReferenceEquals(use.Owner, _index.Graph) || LinearNode.Weight(_index, use.Node) is null)
            {
                return $"{use.Node.OpType} '{use.Node.Handle}' reads '{value}', which has a factor for every channel, and is no linear layer";
            }

            if (TakeReader(use, gain, shift) is string refusal)
            {
                return refusal;
            }
        }

        return null;
    }

    private string? TakeReader(ValueUse use, Tensor? gain, Tensor? shift = null)
    {
        Tensor weight = LinearNode.Weight(_index, use.Node)!;
        int axis = LinearNode.InputAxis(use.Node);
        if (use.InputIndex != 0)
        {
            return $"{use.Node.OpType} '{use.Node.Handle}' reads it twice";
        }

        if (weight.Shape[axis] != Channels)
        {
            return $"'{weight.Name}' reads {weight.Shape[axis]} channels instead of {Channels}";
        }

        Readers.Add(new WeightUse(use.NodeIndex, 1, weight, axis, gain));
        if (shift is not null)
        {
            Shifts.Add((Readers[^1], shift));
        }

        return RotatedTensor.Refusal(weight);
    }

    private string? TakeWriters(IEnumerable<WeightUse> uses, string? refusal)
    {
        foreach (WeightUse use in uses)
        {
            refusal ??= RotatedTensor.Refusal(use.Tensor);
            if (_known.Add((use.Node, use.Input)))
            {
                Writers.Add(use);
            }
        }

        return refusal;
    }
}
