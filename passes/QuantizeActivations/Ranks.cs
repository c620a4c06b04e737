using ModelPack.Compiler;

namespace ModelPack.Passes;

/// <summary>Finds the rank of a value where the operators before it say it.</summary>
internal static class Ranks
{
    private const int MaxDepth = 64;

    /// <summary>The rank, or null when it is not certain.</summary>
    public static int? Of(GraphIndex index, string value, int depth = 0)
    {
        if (index.TypeOf(value).Dims is { IsDefault: false } dims)
        {
            return dims.Length;
        }

        if (depth == MaxDepth || index.Producer(value) is not { Domain.Length: 0 } node)
        {
            return null;
        }

        int? Rank(int input) => Of(index, node.Input(input), depth + 1);
        switch (node.OpType)
        {
            case "Transpose" when node.Ints("perm") is { IsEmpty: false } perm:
                return perm.Length;
            case "Conv" or "ConvTranspose" when index.Constant(node.Input(1)) is Tensor weight:
                return weight.Shape.Rank;
            case "Reshape" when index.Constant(node.Input(1)) is Tensor { Shape.Rank: 1 } shape:
                return (int)shape.Shape[0];
            case "Squeeze" when node.Ints("axes") is { IsEmpty: false } axes:
                return Rank(0) - axes.Length;
            case "Unsqueeze" when node.Ints("axes") is { IsEmpty: false } axes:
                return Rank(0) + axes.Length;
            case "Add" or "Sub" or "Mul" or "Div" or "Pow" or "MatMul":
                return Rank(0) is int left && Rank(1) is int right ? Math.Max(left, right) : null;
            case "Cast" or "Clip" or "Identity" or "Relu" or "Sigmoid" or "HardSigmoid" or "Tanh" or "Slice" or "Softmax" or "Sqrt" or "Transpose" or "BatchNormalization" or "MaxPool" or "AveragePool" or "LeakyRelu" or "Dropout":
                return Rank(0);
            default:
                return null;
        }
    }
}
