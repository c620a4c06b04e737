namespace ModelPack.Kernels.MatMul;

/// <summary>What is applied to outputs of a product one by one.</summary>
public enum Activation
{
    /// <summary>x.</summary>
    None,

    /// <summary>max(0, x).</summary>
    Relu,

    /// <summary>x / (1 + exp(-x)), also called swish.</summary>
    Silu,

    /// <summary>x (1 + erf(x / sqrt 2)) / 2.</summary>
    Gelu,

    /// <summary>x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2.</summary>
    GeluTanh,

    /// <summary>x max(0, min(1, x / 6 + 1 / 2)).</summary>
    HardSwish,
}
