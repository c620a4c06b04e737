using ModelPack.Compiler;

namespace ModelPack.Passes;

/// <summary>Registers <c>decompose</c>.</summary>
internal sealed class DecomposeFactory : IPassFactory
{
    public string Name => "decompose";

    public string Summary => "Stores linear layers with fewer parameters, as products of smaller matrices or tensor trains; with calibration data so that outputs change least";

    public IReadOnlyList<PassOption> Options { get; } =
    [
        new("structure", "string", "\"pivotrank\"", "What a weight becomes: two factors (lowrank), rows and combinations of them (pivotrank: fewer parameters), a tensor train (mpo) or a sum of Kronecker products (kronecker: an mpo of two sites)", ["pivotrank", "lowrank", "mpo", "kronecker"], PerTensor: true),
        new("convolutions", "string", "\"keep\"", "Convolution kernels of more than one element become 1x1, a kernel of fewer channels, 1x1 (tucker2) or 1x1, one kernel per channel, 1x1 (cp)", ["keep", "tucker2", "cp"]),
        new("positions", "integer", "512", "Convolutions: how many patches of every sample are looked at, evenly spread over the positions of the output", Minimum: 1, Maximum: 1 << 20),
        new("residual", "string", "\"\"", "What two factors leave is kept too: in a number format (int4(block=32)), or the entries that matter most (sparse); option 'rank' is that of the factors, by default a thirty-second", PerTensor: true),
        new("residual_permille", "integer", "50", "residual=sparse: share of the entries that are kept", PerTensor: true, Minimum: 1, Maximum: 1000),
        new("share", "string", "\"none\"", "lowrank: layers that read the same value share the factor on its side, which is stored once", ["none", "inputs"]),
        new("sites", "integer", "2", "mpo: cores of a tensor train", PerTensor: true, Minimum: 2, Maximum: 4),
        new("parameters_percent", "integer", "75", "Parameters that all linear layers together keep, those that stay as they are included", Minimum: 1, Maximum: 99),
        new("max_bytes", "integer", "0", "Instead of parameters_percent: bytes that all linear layers together keep, components in the type that weights are stored in", Minimum: 0),
        new("rank", "integer", "0", "Rank (mpo: bond dimension) instead of a share of the budget", PerTensor: true, Minimum: 0, Maximum: 1 << 26),
        new("max_error_permille", "integer", "0", "Instead of a share of the budget: the least rank with no larger relative error of the layer's outputs (without calibration data, of the weights)", PerTensor: true, Minimum: 0, Maximum: 999),
        new("rank_multiple", "integer", "8", "Ranks are multiples of this where layers are large enough", PerTensor: true, Minimum: 1, Maximum: 256),
        new("whiten", "boolean", "true", "With calibration data: singular values of what a layer does to its inputs, not of the weight", PerTensor: true),
        new("allocation", "string", "\"sensitivity\"", "With calibration data: the same share of every layer (uniform), or more where the model loses more (sensitivity)", ["sensitivity", "uniform"]),
        new("exclusions", "string", "\"auto\"", "Layers that stay as they are: down_proj everywhere and the first quarter of the blocks (paper); auto: these unless sensitivity decides", ["auto", "paper", "none"]),
        new("heal", "boolean", "true", "With calibration data: every layer makes up for what those before it became, towards the outputs of the model as it was; layers that stay whole too"),
        new("bias_correction", "boolean", "false", "With calibration data and without heal: what outputs of a layer then lack in the mean is added to them"),
        new("healing_rounds", "integer", "2", "mpo, tucker2: rounds of alternating least squares of the cores on the outputs", PerTensor: true, Minimum: 0, Maximum: 100),
        new("damping_permille", "integer", "10", "Thousandths of the mean square of the activations that are added to each, against trusting the calibration data too much", PerTensor: true, Minimum: 1, Maximum: 1000),
        new("ends", "string", "\"keep\"", "Layers that read the input and layers that make the output", ["keep", "decompose"]),
        new("embeddings", "string", "\"keep\"", "Embedding tables", ["keep", "decompose"]),
        new("max_loss_permille", "integer", "0", "Budget of losses: the fewest parameters, not below the other budget, that lose no more on calibration data, in thousandths of a nat per token (or of the outputs' power); 0: the other budget alone", Minimum: 0, Maximum: 1000000),
        new("min_vectors", "integer", "128", "A layer that met fewer activation vectors than this in the calibration data stays as it is"),
        new("min_elements", "integer", "4096", "Smaller tensors stay as they are", PerTensor: true),
        new("include", "array", "[]", "Only tensors that match one of these patterns; empty means all"),
        new("exclude", "array", "[]", "Tensors that match one of these patterns stay as they are"),
    ];

    public IPass Create(PassOptions options, TensorRules rules) => new DecomposePass(options, rules);
}
