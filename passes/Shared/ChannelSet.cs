using System.Collections.Immutable;
using ModelPack.Compiler;

namespace ModelPack.Passes;

/// <summary>Channels of the values of a graph that may be put into another order without a change to any output but by the order of sums.</summary>
/// <param name="Value">A value that has them, for messages.</param>
/// <param name="Channels">Their number.</param>
/// <param name="ClassSize">Channels stay among so many neighbours (those of a head); all of them where they are free.</param>
/// <param name="Places">All constants along an axis of which they lie, in graph order.</param>
/// <param name="IsStream">True for the values that are added up from the embedding to the head.</param>
internal sealed record ChannelSet(string Value, int Channels, int ClassSize, ImmutableArray<ScaledAxis> Places, bool IsStream)
{
    /// <summary>All of a graph: the values added up from the embedding to the head first, then what lies between two linear layers.</summary>
    public static IReadOnlyList<ChannelSet> Find(GraphIndex index) => [.. Streams(index), .. HiddenChannels.Find(index)];

    /// <summary>Puts the channels into another order.</summary>
    /// <param name="order">At i the channel that goes there.</param>
    /// <param name="changed">Constants of the graph that are not what they were, by name; those of the places are added.</param>
    public void Apply(int[] order, Dictionary<string, Tensor> changed)
    {
        foreach (ScaledAxis place in Places)
        {
            changed[place.Tensor.Name] = ChannelOrder.Apply(changed.GetValueOrDefault(place.Tensor.Name, place.Tensor), place.Axis, OrderAlong(place, order));
        }
    }

    /// <summary>The order of the positions along the axis of a place.</summary>
    /// <param name="place">One of <see cref="Places"/>.</param>
    /// <param name="order">Of the channels: at i what was at order[i].</param>
    public int[] OrderAlong(ScaledAxis place, int[] order)
    {
        if (place.Channels.IsDefault)
        {
            return order;
        }

        // Heads that share one: every run of a head's size is that head, and is ordered as it is.
        int[] result = new int[place.Channels.Length];
        for (int i = 0; i < result.Length; i++)
        {
            int within = place.Channels[i] - (place.Channels[i] % ClassSize);
            result[i] = i - (i % ClassSize) + order[place.Channels[i]] - within;
        }

        return result;
    }

    private static IEnumerable<ChannelSet> Streams(GraphIndex index)
    {
        foreach ((Node table, ResidualStream stream, string? refusal) in ResidualStream.All(index))
        {
            if (refusal is null && stream.Readers.Count > 0 && PlacesOf(index, stream) is { } places)
            {
                yield return new ChannelSet(table.Outputs[0], stream.Channels, stream.Channels, places, IsStream: true);
            }
        }
    }

    /// <summary>The constants of a stream; null when one of them cannot be ordered, or is used beside it.</summary>
    private static ImmutableArray<ScaledAxis>? PlacesOf(GraphIndex index, ResidualStream stream)
    {
        HashSet<int> nodes = [.. stream.Writers.Concat(stream.Readers).Select(u => u.Node), .. stream.Gains.Select(g => g.Node), .. stream.Norms];
        ScaledAxis[] all =
        [
            .. stream.Writers.Concat(stream.Readers).Select(u => new ScaledAxis(u.Tensor, u.Axis)),
            .. stream.Readers.Select(r => r.Gain).Concat(stream.Shifts.Select(s => s.Shift)).OfType<Tensor>().Select(t => new ScaledAxis(t, t.Shape.Rank - 1)),
        ];
        IGrouping<string, ScaledAxis>[] tensors = [.. all.GroupBy(p => p.Tensor.Name, StringComparer.Ordinal)];
        return tensors.All(t => t.Select(p => p.Axis).Distinct().Count() == 1 && ChannelOrder.CanApply(t.First().Tensor, t.First().Axis) && t.First().Tensor.Shape[t.First().Axis] == stream.Channels
                && !index.IsInput(t.Key) && !index.IsOutput(t.Key) && index.Uses(t.Key).All(u => !u.IsCaptured(index.Graph) && nodes.Contains(u.NodeIndex)))
            ? [.. tensors.Select(t => t.First())]
            : null;
    }
}
