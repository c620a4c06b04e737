using System.Collections.Immutable;
using ModelPack.Compiler;

namespace ModelPack.Passes;

/// <summary>Recognises nodes whose only output equals their first input, where that is certain without inference.</summary>
/// <param name="index">The graph that holds the nodes.</param>
/// <param name="opset">Version of the standard operator set.</param>
internal sealed class NoOps(GraphIndex index, long opset)
{
    public bool IsNoOp(Node node)
    {
        if (node.Domain.Length > 0 || node.Input(0).Length == 0 || node.Outputs.IsEmpty || node.Outputs[0].Length == 0)
        {
            return false;
        }

        return node.OpType switch
        {
            "Identity" => node.Outputs.Length == 1,
            "Dropout" => IsInferenceDropout(node),
            "Transpose" => node.Outputs.Length == 1 && IsIdentityPermutation(node.Ints("perm")),
            "Cast" => node.Outputs.Length == 1 && IsSameTypeCast(node),
            "Reshape" => node.Outputs.Length == 1 && IsSameShapeReshape(node),
            _ => false,
        };
    }

    private static bool IsIdentityPermutation(ImmutableArray<long> perm) => perm.Length > 0 && perm.SequenceEqual(Enumerable.Range(0, perm.Length).Select(i => (long)i));

    private bool IsInferenceDropout(Node node)
    {
        bool maskUsed = node.Outputs.Skip(1).Any(o => o.Length > 0 && !index.IsUnused(o));
        bool training = opset < 7
            ? node.Int("is_test", 0) == 0
            : node.Input(2).Length > 0 && !(SmallConstants.TryReadIntegers(index.Constant(node.Inputs[2]), out ImmutableArray<long> mode) && mode is [0]);
        return !maskUsed && !training;
    }

    /// <summary>Element types of inputs, initializers and listed values are binding: a runtime refuses a graph where they are wrong.</summary>
    private bool IsSameTypeCast(Node node)
    {
        DType target = OnnxTypes.FromNumber(node.Int("to", 0));
        return target != DType.Undefined && index.TypeOf(node.Inputs[0]).DType == target;
    }

    /// <summary>Listed shapes are only hints; certain are initializers, and a Reshape right after one to the same constant shape.</summary>
    private bool IsSameShapeReshape(Node node)
    {
        if (!SmallConstants.TryReadIntegers(index.Constant(node.Input(1)), out ImmutableArray<long> shape))
        {
            return false;
        }

        bool afterSame = index.Producer(node.Inputs[0]) is Node before && before.Is("Reshape") && before.Int("allowzero", 0) == node.Int("allowzero", 0)
            && SmallConstants.TryReadIntegers(index.Constant(before.Input(1)), out ImmutableArray<long> first) && first.AsSpan().SequenceEqual(shape.AsSpan());
        return afterSame || (index.Initializer(node.Inputs[0]) is Tensor tensor && !shape.Contains(0) && tensor.Shape.Dims.AsSpan().SequenceEqual(shape.AsSpan()));
    }
}
