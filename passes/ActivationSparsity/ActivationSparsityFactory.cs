using ModelPack.Compiler;

namespace ModelPack.Passes;

/// <summary>Registers <c>activation-sparsity</c>.</summary>
internal sealed class ActivationSparsityFactory : IPassFactory
{
    public string Name => "activation-sparsity";

    public string Summary => "Sets small activations of gated perceptrons to zero, by thresholds from calibration data: their neurons need not be multiplied (CATS)";

    public IReadOnlyList<PassOption> Options { get; } =
    [
        new("target_percent", "integer", "50", "Share of the activations of each perceptron that becomes zero on the calibration data", Minimum: 1, Maximum: 95),
        new("order", "boolean", "true", "Orders the neurons by how often they count, which changes no output but for the order of sums"),
        new("rounds", "integer", "8", "Runs over the calibration data in which thresholds follow what those of the layers before do", Minimum: 0, Maximum: 20),
        new("max_loss_permille", "integer", "0", "Gate: activations stay as they are when the loss on calibration data is larger, in thousandths of a nat per token (or of the outputs' power); 0 takes all", Minimum: 0, Maximum: 1000000),
        new("min_vectors", "integer", "128", "A perceptron that met fewer activation vectors than this in the calibration data stays as it is"),
        new("include", "array", "[]", "Only perceptrons whose second weight (down_proj) matches one of these patterns; empty means all"),
        new("exclude", "array", "[]", "Perceptrons whose second weight (down_proj) matches one of these patterns stay as they are"),
    ];

    public IPass Create(PassOptions options, TensorRules rules) => new ActivationSparsityPass(options, rules);
}
