using System.Collections.Immutable;
using ModelPack.Compiler;

namespace ModelPack.Passes;

/// <summary>What a node does with quantised activations.</summary>
internal enum UnitKind
{
    /// <summary>Conv, MatMul or Gemm with a constant weight: what the work is in.</summary>
    Weighted,

    /// <summary>Add or Mul of two activations.</summary>
    Arithmetic,

    /// <summary>A function of one activation that ONNX Runtime computes on codes, or pooling.</summary>
    Unary,

    /// <summary>HardSigmoid: a straight line between two bounds, which codes of another scale are already.</summary>
    Gate,

    /// <summary>Joins activations.</summary>
    Concat,

    /// <summary>Moves or picks elements: codes stay what they are.</summary>
    Passing,

    /// <summary>Anything else that makes floats of floats, between codes because nothing may stay float.</summary>
    Any,
}

/// <summary>
/// A node of the graph that can work on codes, together with the nodes after it that then cost nothing:
/// <code>
/// Conv(x, w, b) -> Relu -> y          the range of y begins at 0, so rounding to codes is the Relu
/// Mul(x, g) -> Mul m -> Add a -> y    codes of the product are codes of y with another scale and zero
/// </code>
/// </summary>
internal sealed record QuantizableUnit
{
    public required UnitKind Kind { get; init; }

    /// <summary>Position of the node.</summary>
    public required int Position { get; init; }

    public required Node Node { get; init; }

    /// <summary>Positions of the nodes behind it that belong to it.</summary>
    public ImmutableArray<int> Tail { get; init; } = [];

    /// <summary>The Relu or Clip behind it; null when there is none.</summary>
    public Node? Activation { get; init; }

    /// <summary>Factor of the constants behind it, positive.</summary>
    public float Factor { get; init; } = 1;

    /// <summary>Offset of the constants behind it.</summary>
    public float Offset { get; init; }

    /// <summary>True when there are constants behind it.</summary>
    public bool IsScaled => Factor != 1 || Offset != 0;

    /// <summary>Which inputs of the node are activations.</summary>
    public required ImmutableArray<int> DataInputs { get; init; }

    /// <summary>The value that the unit makes, after its tail.</summary>
    public required string Output { get; init; }

    /// <summary>Constant inputs that are written as codes as well.</summary>
    public ImmutableArray<int> ConstantInputs { get; init; } = [];

    /// <summary>
    /// False for MatMul where float is allowed: ONNX Runtime gives its product as floats for the price of codes, and what follows (residual sums, normalisation) suffers from rounding.
    /// </summary>
    public required bool WritesCodes { get; init; }

    /// <summary>Weighted: the weight.</summary>
    public Tensor? Weight { get; init; }

    /// <summary>Values of <see cref="DataInputs"/>.</summary>
    public IEnumerable<string> Data => DataInputs.Select(i => Node.Inputs[i]);

    /// <summary>What the value before the tail of constants is called.</summary>
    public string Inner => Activation?.Outputs[0] ?? Node.Outputs[0];

    /// <summary>A Conv whose every filter reads one channel.</summary>
    public bool IsDepthwise => Node.Is("Conv") && Weight is not null && Weight.Shape[1] == 1 && Node.Int("group", 1) > 1;

    /// <summary>HardSigmoid: where its line meets zero, left of 0: beta / alpha.</summary>
    public double GateOffset => (double)Node.Float("beta", 0.5f) / Node.Float("alpha", 0.2f);
}
