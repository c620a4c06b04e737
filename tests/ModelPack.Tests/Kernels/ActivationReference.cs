namespace ModelPack.Tests.Kernels;

/// <summary>Activations by their definitions, in f64.</summary>
internal static class ActivationReference
{
    public static double Of(string activation, double x) => activation switch
    {
        "relu" => Math.Max(0, x),
        "silu" => x / (1 + Math.Exp(-x)),
        "gelu" => 0.5 * x * (1 + Erf(x / Math.Sqrt(2))),
        "gelu_tanh" => 0.5 * x * (1 + Math.Tanh(Math.Sqrt(2 / Math.PI) * (x + (0.044715 * x * x * x)))),
        "hardswish" => x * Math.Clamp((x / 6) + 0.5, 0, 1),
        "" => x,
        _ => throw new ArgumentException(activation),
    };

    /// <summary>2 / sqrt(pi) times the integral of exp(-t^2), by its series.</summary>
    private static double Erf(double x)
    {
        double term = x;
        double sum = x;
        for (int n = 1; n < 200; n++)
        {
            term *= -x * x / n;
            sum += term / ((2 * n) + 1);
        }

        return Math.Abs(x) > 5 ? Math.Sign(x) : sum * 2 / Math.Sqrt(Math.PI);
    }
}
