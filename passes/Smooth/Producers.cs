using System.Collections.Immutable;
using ModelPack.Compiler;

namespace ModelPack.Passes;

/// <summary>
/// Finds the constants that take a division of a value's channels up: walks from the value towards the inputs of the graph, through operators that a positive factor per channel passes unchanged, to those whose constants
/// can be divided. What lies on the way must have no other reader.
/// <code>
/// MatMul, Gemm, Conv             columns or filters of the weight, and the bias
/// LayerNormalization and its kin, BatchNormalization   scale and bias
/// Mul(x, constant)               the constant (the weight of a norm written out)
/// Mul(x, y)                      one of the two (a gate stays as it is)
/// Add(x, y), Sub                 both, constants as well
/// Relu, LeakyRelu, poolings, Identity      passed
/// Reshape, Transpose, MatMul of attention  see <see cref="AttentionHeads"/>
/// </code>
/// Everything else (Clip, HardSwish, Sigmoid, Gelu ...) is no place to fold: the function of a scaled value is not the scaled function.
/// </summary>
/// <param name="index">The graph.</param>
/// <param name="imageRank">Axes of an image [N, C, ...], whose channels lie along axis 1; 0: channels lie along the last axis, whichever that is.</param>
/// <param name="channels">Number of channels.</param>
internal sealed class Producers(GraphIndex index, int imageRank, long channels)
{
    private const int MaxDepth = 16;

    private readonly bool _last = imageRank == 0;
    private readonly List<ScaledAxis> _found = [];

    /// <summary>How channels of the value share factors, when attention lies on the way; default: each has its own.</summary>
    public ImmutableArray<int> Sharing { get; private set; }

    /// <summary>The constants, in the order in which they were found.</summary>
    public ImmutableArray<ScaledAxis> Found => [.. _found];

    /// <summary>Null when everything was found, else why the value cannot be divided.</summary>
    public string? Find(string value) => index.IsOutput(value) ? "it is an output of the graph" : Absorb(value, 0);

    private string? Only(string value, int depth) =>
        index.IsOutput(value) || index.Uses(value).Count != 1 ? $"'{value}' has other readers" : Absorb(value, depth + 1);

    private string? Absorb(string value, int depth)
    {
        if (index.Producer(value) is not Node node)
        {
            return "it comes from outside of the graph";
        }

        if (depth > MaxDepth || node.Outputs[0] != value)
        {
            return $"{node.OpType} '{node.Handle}' is too far from anything that could be divided";
        }

        bool standard = node.Domain.Length == 0 || node.Domain == "com.microsoft";
        switch (standard ? node.OpType : "")
        {
            case "MatMul" when _last && index.Constant(node.Input(1)) is Tensor { Shape.Rank: 2 } weight:
                return Take(weight, 1);
            case "Gemm" when _last && index.Constant(node.Input(1)) is Tensor { Shape.Rank: 2 } weight:
                return Take(weight, node.Int("transB", 0) != 0 ? 0 : 1) ?? (node.Input(2).Length == 0 ? null : TakeBeside(node.Input(2)));
            case "Conv" when !_last && index.Constant(node.Input(1)) is Tensor { Shape.Rank: >= 3 } weight:
                return Take(weight, 0) ?? TakeVector(node.Input(2), optional: true);
            case "LayerNormalization" or "RMSNormalization" or "SimplifiedLayerNormalization" when _last && node.Int("axis", -1) == -1:
                return TakeVector(node.Input(1), optional: false) ?? TakeVector(node.Input(2), optional: true);
            case "BatchNormalization" when !_last && node.Int("training_mode", 0) == 0:
                return TakeVector(node.Input(1), optional: false) ?? TakeVector(node.Input(2), optional: false);
            case "Relu" or "LeakyRelu" or "Identity":
            case "MaxPool" or "AveragePool" or "GlobalAveragePool" or "GlobalMaxPool" when !_last && node.Outputs.Length == 1:
                return Only(node.Input(0), depth);
            case "Mul":
                return Product(node, depth);
            case "Add" or "Sub":
                return Summand(node, 0, depth) ?? Summand(node, 1, depth);
            case "Reshape" when _last && AttentionHeads.Match(index, value, channels) is AttentionHeads heads:
                string? refusal = new Producers(index, 0, heads.ValueChannels).Into(_found, heads.Value, depth);
                Sharing = refusal is null ? heads.Sharing : default;
                return refusal;
            default:
                return $"{node.OpType} '{node.Handle}' does not pass a factor on";
        }
    }

    private string? Into(List<ScaledAxis> found, string value, int depth)
    {
        string? refusal = Only(value, depth);
        if (refusal is null && Sharing.IsDefault)
        {
            found.AddRange(_found);
        }

        return refusal ?? (Sharing.IsDefault ? null : "attention within attention");
    }

    private string? Product(Node node, int depth)
    {
        for (int i = 0; i < 2; i++)
        {
            if (index.Constant(node.Input(i)) is Tensor constant)
            {
                return FloatConstant.Scalar(constant, 1) is not null ? Only(node.Input(1 - i), depth) : TakeBeside(node.Input(i));
            }
        }

        // A gate times what it gates: whichever can be divided.
        int before = _found.Count;
        string? refusal = null;
        for (int i = 1; i >= 0; i--)
        {
            string? reason = Only(node.Input(i), depth);
            if (reason is null)
            {
                return null;
            }

            refusal ??= reason;
            _found.RemoveRange(before, _found.Count - before);
            Sharing = default;
        }

        return refusal;
    }

    private string? Summand(Node node, int input, int depth) =>
        index.Initializer(node.Input(input)) is null ? Only(node.Input(input), depth) : TakeBeside(node.Input(input));

    /// <summary>A constant that meets an activation element by element: one number per channel along the axis of the channels, nothing along others.</summary>
    private string? TakeBeside(string name)
    {
        if (index.Constant(name) is not Tensor constant)
        {
            return $"'{name}' is no constant";
        }

        int axis = _last ? constant.Shape.Rank - 1 : constant.Shape.Rank - imageRank + 1;
        bool fits = axis >= 0 && (_last || axis <= 1) && constant.Shape.ElementCount == channels && constant.Shape[axis] == channels;
        return fits ? Take(constant, axis) : $"constant '{name}' does not have one number per channel";
    }

    private string? TakeVector(string name, bool optional) =>
        name.Length == 0 ? optional ? null : "a constant is missing"
        : index.Constant(name) is { Shape.Rank: 1 } vector ? Take(vector, 0)
        : $"'{name}' is no constant with one number per channel";

    private string? Take(Tensor tensor, int axis)
    {
        string? refusal = tensor.Shape[axis] != channels ? $"'{tensor.Name}' has {tensor.Shape[axis]} channels instead of {channels}" : Unusable(index, tensor);
        if (refusal is null)
        {
            _found.Add(new ScaledAxis(tensor, axis));
        }

        return refusal;
    }

    /// <summary>Why a constant cannot be scaled in place; null when it can.</summary>
    public static string? Unusable(GraphIndex index, Tensor tensor) =>
        index.Uses(tensor.Name).Count != 1 || index.IsOutput(tensor.Name) || index.IsInput(tensor.Name) ? $"'{tensor.Name}' has other readers"
        : !ScaledConstants.CanScale(tensor) ? $"'{tensor.Name}' is not stored as plain f32 numbers"
        : null;
}
