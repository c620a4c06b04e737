using System.Collections.Immutable;
using ModelPack.Compiler;

namespace ModelPack.Passes;

/// <summary>Finds the values of a graph whose channels can be scaled, in graph order, and says why others cannot.</summary>
internal static class SmoothValues
{
    /// <summary>All of them.</summary>
    /// <param name="index">The graph.</param>
    /// <param name="meant">Whether a weight may be scaled as a reader of the value.</param>
    /// <param name="refused">Called with a weight that was meant, and why its input cannot be scaled.</param>
    public static List<SmoothValue> Find(GraphIndex index, Func<Tensor, bool> meant, Action<Tensor, string> refused)
    {
        var found = new List<SmoothValue>();
        var seen = new HashSet<string>(StringComparer.Ordinal);
        foreach (Node node in index.Graph.Nodes)
        {
            bool reads = node.Domain.Length == 0 && node.OpType is "MatMul" or "Gemm" or "Conv";
            if (reads && index.Constant(node.Input(1)) is Tensor weight && index.Constant(node.Input(0)) is null && meant(weight) && seen.Add(node.Input(0)))
            {
                if (Examine(index, node.Input(0), out string reason) is SmoothValue value)
                {
                    found.Add(value);
                }
                else
                {
                    refused(weight, reason);
                }
            }
        }

        return found;
    }

    private static SmoothValue? Examine(GraphIndex index, string value, out string reason)
    {
        var consumers = ImmutableArray.CreateBuilder<ScaledAxis>();
        int imageRank = -1;
        long channels = -1;
        foreach (ValueUse use in index.Uses(value))
        {
            if (!ReferenceEquals(use.Owner, index.Graph) || Consumer(index, use, out int rank, out long count) is not ScaledAxis axis)
            {
                reason = $"{use.Node.OpType} '{use.Node.Handle}' reads '{value}' as well, and cannot take a factor up";
                return null;
            }

            if (imageRank >= 0 && (rank != imageRank || count != channels))
            {
                reason = $"the readers of '{value}' disagree on its channels";
                return null;
            }

            if (Producers.Unusable(index, axis.Tensor) is string unusable)
            {
                reason = unusable;
                return null;
            }

            (imageRank, channels) = (rank, count);
            consumers.Add(axis);
        }

        var producers = new Producers(index, imageRank, channels);
        if (producers.Find(value) is string refusal)
        {
            reason = $"'{value}' cannot be divided: {refusal}";
            return null;
        }

        reason = "";
        ImmutableArray<int> sharing = producers.Sharing;
        ImmutableArray<ScaledAxis> all = sharing.IsDefault ? consumers.ToImmutable() : [.. consumers.Select(c => c with { Channels = sharing })];
        int factors = checked((int)(sharing.IsDefault ? channels : sharing.Max() + 1));
        if (all.Any(c => producers.Found.Any(p => p.Tensor.Name == c.Tensor.Name)))
        {
            reason = "one weight both makes and reads it";
            return null;
        }

        return new SmoothValue(value, factors, all, producers.Found);
    }

    /// <summary>The axis of a weight that meets the channels of a value; null when the node is no linear layer or convolution that reads the value once, from the left.</summary>
    private static ScaledAxis? Consumer(GraphIndex index, ValueUse use, out int imageRank, out long channels)
    {
        Node node = use.Node;
        Tensor? weight = use.InputIndex == 0 && node.Domain.Length == 0 ? index.Constant(node.Input(1)) : null;
        imageRank = 0;
        channels = 0;
        switch (weight is null ? "" : node.OpType)
        {
            case "MatMul" when weight!.Shape.Rank == 2:
                channels = weight.Shape[0];
                return new ScaledAxis(weight, 0);
            case "Gemm" when weight!.Shape.Rank == 2 && node.Int("transA", 0) == 0:
                int axis = node.Int("transB", 0) != 0 ? 1 : 0;
                channels = weight.Shape[axis];
                return new ScaledAxis(weight, axis);
            case "Conv" when weight!.Shape.Rank >= 3:
                imageRank = weight.Shape.Rank;
                long groups = node.Int("group", 1);
                channels = weight.Shape[1] * groups;
                if (groups == 1)
                {
                    return new ScaledAxis(weight, 1);
                }

                // One channel per group: filters of a channel lie along the first axis.
                int multiplier = (int)(weight.Shape[0] / Math.Max(1, groups));
                return weight.Shape[1] == 1 && groups > 0 && weight.Shape[0] % groups == 0
                    ? new ScaledAxis(weight, 0, [.. Enumerable.Range(0, (int)weight.Shape[0]).Select(o => o / multiplier)])
                    : null;
            default:
                return null;
        }
    }
}
