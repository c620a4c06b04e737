using System.Collections.Immutable;
using ModelPack.Compiler;

namespace ModelPack.Passes;

/// <summary>
/// How many elements an operator makes at most, from constant inputs: known before it runs, so that nothing large is ever computed. Only
/// operators listed here are computed at all; random, stateful, control-flow and (de)quantising ones are not among them.
/// </summary>
internal static class OutputBounds
{
    private static readonly HashSet<string> LikeFirst = new(StringComparer.Ordinal)
    {
        "Abs", "ArgMax", "ArgMin", "Cast", "Ceil", "Cos", "CumSum", "Exp", "Flatten", "Floor", "GatherElements", "Identity", "IsInf", "IsNaN", "Log",
        "Neg", "Not", "Reciprocal", "ReduceL2", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum", "Reshape", "Round", "ScatterElements",
        "ScatterND", "Sigmoid", "Sign", "Sin", "Slice", "Softmax", "Split", "Sqrt", "Squeeze", "Tanh", "Transpose", "Trilu", "Unsqueeze", "Clip", "Relu",
    };

    private static readonly HashSet<string> Broadcasting = new(StringComparer.Ordinal)
    {
        "Add", "And", "BitShift", "Div", "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Max", "Mean", "Min", "Mod", "Mul", "Or", "Pow",
        "Sub", "Sum", "Where", "Xor",
    };

    /// <summary>An upper bound of all outputs together; null when there is none or the operator is not to be computed.</summary>
    public static long? Elements(GraphIndex index, Node node)
    {
        Shape[] shapes = [.. node.Inputs.Where(n => n.Length > 0).Select(n => index.Constant(n)!.Shape)];
        Int128? bound = node.OpType switch
        {
            string op when LikeFirst.Contains(op) => shapes[0].ElementCount + (op == "GatherElements" ? shapes[^1].ElementCount : 0),
            string op when Broadcasting.Contains(op) => Broadcast(shapes),
            "Concat" => shapes.Sum(s => s.ElementCount),
            "Gather" => (Int128)Math.Max(1, shapes[0].ElementCount) * Math.Max(1, shapes[1].ElementCount),
            "NonZero" => (Int128)shapes[0].ElementCount * Math.Max(1, shapes[0].Rank),
            "MatMul" when shapes is [{ Rank: 2 }, { Rank: 2 }] => (Int128)shapes[0][0] * shapes[1][1],
            "ConstantOfShape" => Product(index, node, 0),
            "Expand" when SmallConstants.TryReadIntegers(index.Constant(node.Input(1)), out ImmutableArray<long> to) && to.All(d => d >= 0) => Broadcast([shapes[0], new Shape(to.AsSpan())]),
            "Tile" => Product(index, node, 1) * shapes[0].ElementCount,
            "Range" => RangeLength(index, node),
            _ => null,
        };
        return bound is Int128 b && b >= 0 && b <= int.MaxValue ? (long)b : null;
    }

    private static Int128? Broadcast(Shape[] shapes)
    {
        Int128 product = 1;
        for (int axis = 1; axis <= shapes.Max(s => s.Rank); axis++)
        {
            long size = 1;
            foreach (Shape shape in shapes.Where(s => s.Rank >= axis))
            {
                size = shape[-axis] == 1 ? size : shape[-axis];
            }

            product = Limited(product * size);
        }

        return product;
    }

    private static Int128? Product(GraphIndex index, Node node, int input)
    {
        if (!SmallConstants.TryReadIntegers(index.Constant(node.Input(input)), out ImmutableArray<long> dims) || dims.Any(d => d < 0))
        {
            return null;
        }

        Int128 product = 1;
        foreach (long d in dims)
        {
            product = Limited(product * d);
        }

        return product;
    }

    private static Int128? RangeLength(GraphIndex index, Node node)
    {
        long[] values = new long[3];
        for (int i = 0; i < 3; i++)
        {
            if (!SmallConstants.TryReadIntegers(index.Constant(node.Input(i)), out ImmutableArray<long> value) || value.Length != 1)
            {
                return null;
            }

            values[i] = value[0];
        }

        return values[2] == 0 ? null : Int128.Max(0, (((Int128)values[1] - values[0]) / values[2]) + 1);
    }

    /// <summary>Once far beyond any limit the exact number does not matter, and must not overflow.</summary>
    private static Int128 Limited(Int128 value) => Int128.Min(value, (Int128)1 << 63);
}
