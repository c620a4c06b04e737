namespace ModelPack.Architectures.Decoder;

/// <summary>The function between gate and up.</summary>
internal enum Activation
{
    /// <summary>x * sigmoid(x).</summary>
    Silu,

    /// <summary>x/2 * (1 + tanh(sqrt(2/pi) * (x + 0.044715 x^3))).</summary>
    GeluTanh,

    /// <summary>x/2 * (1 + erf(x / sqrt(2))).</summary>
    Gelu,

    /// <summary>max(x, 0).</summary>
    Relu,

    /// <summary>max(x, 0)^2.</summary>
    SquaredRelu,
}

/// <summary>The words that configurations use for activations.</summary>
internal static class Activations
{
    private static readonly (string Word, Activation Activation)[] Words =
    [
        ("silu", Activation.Silu),
        ("swish", Activation.Silu),
        ("gelu_pytorch_tanh", Activation.GeluTanh),
        ("gelu_new", Activation.GeluTanh),
        ("gelu", Activation.Gelu),
        ("relu", Activation.Relu),
        ("relu2", Activation.SquaredRelu),
    ];

    /// <exception cref="ModelPackException">MP1505: a word that is not known.</exception>
    public static Activation Read(ModelConfig config, string key, string fallback)
    {
        string word = config.Text(key) ?? fallback;
        foreach ((string known, Activation activation) in Words)
        {
            if (known == word)
            {
                return activation;
            }
        }

        throw config.Unsupported(key, $"is '{word}'; there are: {string.Join(", ", Words.Select(w => w.Word))}");
    }
}
