using ModelPack.Compiler;

namespace ModelPack.Passes;

/// <summary>MatMul and Gemm with a constant matrix on the right, seen alike.</summary>
internal static class LinearNode
{
    /// <summary>The weight of a linear layer whose left input is an activation; null for every other node.</summary>
    public static Tensor? Weight(GraphIndex index, Node node) =>
        (node.Is("MatMul") || (node.Is("Gemm") && node.Int("transA", 0) == 0)) && index.Initializer(node.Input(0)) is null && index.Constant(node.Input(1)) is Tensor { Shape.Rank: 2 } weight ? weight : null;

    /// <summary>The axis of the weight that the layer sums over.</summary>
    public static int InputAxis(Node node) => node.Is("Gemm") && node.Int("transB", 0) != 0 ? 1 : 0;

    /// <summary>The uses that make the layer's output: the weight, and the bias of Gemm.</summary>
    /// <param name="index">The graph.</param>
    /// <param name="position">A node for which <see cref="Weight"/> gives one.</param>
    /// <param name="channels">Channels of the output.</param>
    /// <param name="refusal">Null when all is well, else why the output cannot be changed.</param>
    public static IReadOnlyList<WeightUse> Writers(GraphIndex index, int position, long channels, out string? refusal)
    {
        Node node = index.Graph.Nodes[position];
        Tensor weight = Weight(index, node)!;
        int axis = 1 - InputAxis(node);
        refusal = weight.Shape[axis] == channels ? null : $"'{weight.Name}' makes {weight.Shape[axis]} channels instead of {channels}";
        var uses = new List<WeightUse> { new(position, 1, weight, axis) };
        if (node.Is("Gemm") && node.Input(2).Length > 0)
        {
            refusal ??= AddVector(index, position, 2, channels, uses);
        }

        return uses;
    }

    /// <summary>Adds a constant with the channels along its last axis.</summary>
    /// <returns>Null when it is one, else why not.</returns>
    public static string? AddVector(GraphIndex index, int position, int input, long channels, List<WeightUse> uses)
    {
        string name = index.Graph.Nodes[position].Input(input);
        if (index.Constant(name) is not Tensor { Shape.Rank: >= 1 } constant || constant.Shape[-1] != channels)
        {
            return $"'{name}' is no constant with {channels} channels along its last axis";
        }

        uses.Add(new WeightUse(position, input, constant, constant.Shape.Rank - 1));
        return null;
    }
}
