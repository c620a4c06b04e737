using ModelPack.Kernels.MatMul;
using ModelPack.Testing;

namespace ModelPack.Tests.Kernels;

/// <summary>Activations by their definitions, in f64.</summary>
internal static class ActivationReference
{
    public static double Of(Activation activation, double x) => activation switch
    {
        Activation.Relu => Math.Max(0, x),
        Activation.Silu => x / (1 + Math.Exp(-x)),
        Activation.Gelu => x * (1 + ErrorFunction.Of(x / Math.Sqrt(2))) / 2,
        Activation.GeluTanh => x * (1 + Math.Tanh(Math.Sqrt(2 / Math.PI) * (x + (0.044715 * x * x * x)))) / 2,
        Activation.HardSwish => x * Math.Clamp((x / 6) + 0.5, 0, 1),
        _ => x,
    };

    /// <summary>By the names of operators' attributes.</summary>
    public static double Of(string activation, double x) => Of(
        activation switch
        {
            "relu" => Activation.Relu,
            "silu" => Activation.Silu,
            "gelu" => Activation.Gelu,
            "gelu_tanh" => Activation.GeluTanh,
            "hardswish" => Activation.HardSwish,
            _ => throw new ArgumentException(activation),
        },
        x);
}
