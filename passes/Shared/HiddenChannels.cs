using System.Collections.Immutable;
using ModelPack.Compiler;

namespace ModelPack.Passes;

/// <summary>
/// Channels between linear layers, which nothing but these and element-wise operators see:
/// <code>
/// h = f(x G + b) (x U)   y = h D     columns of G and U, b, rows of D
/// v = x V -> heads -> P v -> x'      columns of V within each head, rows of the output projection; see <see cref="AttentionHeads"/>
/// </code>
/// </summary>
internal sealed class HiddenChannels
{
    private const int MaxDepth = 32;

    /// <summary>Operators that see every element by itself, or with that of another value of the same channel.</summary>
    private static readonly HashSet<string> ElementWise = new(StringComparer.Ordinal)
    {
        "Relu", "LeakyRelu", "PRelu", "Elu", "Selu", "Celu", "ThresholdedRelu", "Shrink", "Sigmoid", "HardSigmoid", "HardSwish", "Tanh", "Softplus", "Softsign", "Gelu", "Mish", "Erf", "Exp", "Log", "Sqrt", "Reciprocal", "Abs", "Neg",
        "Identity", "Clip", "Cast", "Pow", "Mul", "Add", "Sub", "Div", "Min", "Max",
    };

    private readonly GraphIndex _index;
    private readonly long _channels;
    private readonly List<ScaledAxis> _places = [];
    private readonly HashSet<string> _values = new(StringComparer.Ordinal);
    private readonly HashSet<int> _nodes = [];

    private HiddenChannels(GraphIndex index, long channels)
    {
        _index = index;
        _channels = channels;
    }

    /// <summary>All of a graph, in graph order.</summary>
    public static IEnumerable<ChannelSet> Find(GraphIndex index)
    {
        var seen = new HashSet<string>(StringComparer.Ordinal);
        foreach (Node node in index.Graph.Nodes)
        {
            if (LinearNode.Weight(index, node) is not null && seen.Add(node.Input(0)) && Follow(index, node.Input(0)) is ChannelSet found)
            {
                yield return found;
            }
        }
    }

    private static ChannelSet? Follow(GraphIndex index, string value)
    {
        var consumers = new List<(ScaledAxis Place, int Node)>();
        foreach (ValueUse use in index.Uses(value).Where(u => !u.Node.Is("Shape")))
        {
            if (use.IsCaptured(index.Graph) || use.InputIndex != 0 || LinearNode.Weight(index, use.Node) is not Tensor weight)
            {
                return null;
            }

            consumers.Add((new ScaledAxis(weight, LinearNode.InputAxis(use.Node)), use.NodeIndex));
        }

        long width = consumers[0].Place.Tensor.Shape[consumers[0].Place.Axis];
        AttentionHeads? heads = AttentionHeads.Match(index, value, width);
        var walk = new HiddenChannels(index, heads?.ValueChannels ?? width);
        string start = heads?.Value ?? value;
        bool found = index.Uses(start) is { Count: > 0 } readers && walk.Make(start, 0) && walk.ReadersAreKnown(start, heads is null ? [.. consumers.Select(c => c.Node)] : readers.Count == 1 ? [readers[0].NodeIndex] : [])
            && consumers.All(c => c.Place.Tensor.Shape[c.Place.Axis] == width && walk.Take(c.Place.Tensor, c.Place.Axis, heads?.Sharing ?? default));
        return found && walk._places.Select(p => p.Tensor.Name).Distinct(StringComparer.Ordinal).Count() == walk._places.Count
            ? new ChannelSet(value, checked((int)walk._channels), checked((int)(heads?.HeadSize ?? walk._channels)), [.. walk._places], IsStream: false)
            : null;
    }

    /// <summary>Follows a value to the constants that make its channels; false when something else does.</summary>
    private bool Make(string value, int depth)
    {
        if (!_values.Add(value))
        {
            return true;
        }

        int position = _index.ProducerIndex(value);
        if (position < 0 || depth > MaxDepth || _index.IsOutput(value))
        {
            return false;
        }

        Node node = _index.Graph.Nodes[position];
        if (LinearNode.Weight(_index, node) is not null)
        {
            IReadOnlyList<WeightUse> uses = LinearNode.Writers(_index, position, _channels, out string? refusal);
            return refusal is null && uses.All(u => Take(u.Tensor, u.Axis));
        }

        if (node.Domain.Length > 0 || node.Outputs.Length != 1 || !ElementWise.Contains(node.OpType))
        {
            return false;
        }

        _nodes.Add(position);
        return node.Inputs.All(input => input.Length == 0
            || (_index.Constant(input) is Tensor constant ? constant.Shape.ElementCount == 1 || (constant.Shape.Rank > 0 && constant.Shape[-1] == _channels && Take(constant, constant.Shape.Rank - 1))
                : PerVector.Is(_index, input) || Make(input, depth + 1)));
    }

    /// <summary>True when nothing else sees the channels.</summary>
    private bool ReadersAreKnown(string start, int[] last) => _values.All(v => _index.Uses(v).All(u =>
        !u.IsCaptured(_index.Graph) && (u.Node.Is("Shape") || _nodes.Contains(u.NodeIndex) || (v == start && last.Contains(u.NodeIndex)))));

    private bool Take(Tensor tensor, int axis, ImmutableArray<int> channels = default)
    {
        _places.Add(new ScaledAxis(tensor, axis, channels));
        return (channels.IsDefault ? tensor.Shape[axis] == _channels : tensor.Shape[axis] == channels.Length)
            && ChannelOrder.CanApply(tensor, axis) && _index.Uses(tensor.Name).Count == 1 && !_index.IsInput(tensor.Name) && !_index.IsOutput(tensor.Name);
    }
}
