using ModelPack.Compiler;

namespace ModelPack.Passes;

/// <summary>Registers <c>sparsify</c>.</summary>
internal sealed class SparsifyFactory : IPassFactory
{
    public string Name => "sparsify";

    public string Summary => "Sets weights of linear layers to zero: single ones, N of every M, or blocks; with calibration data survivors are solved for, so that outputs change least";

    public IReadOnlyList<PassOption> Options { get; } =
    [
        new("structure", "string", "\"unstructured\"", "What is dropped together: unstructured for single weights, N:M for all but N of every M neighbours (2:4, or banks as 16:64), ROWSxCOLUMNS for blocks (32x32)", PerTensor: true),
        new("sparsity_percent", "integer", "50", "Share of the weights that is dropped; N:M says it itself", PerTensor: true, Minimum: 1, Maximum: 99),
        new("score", "string", "\"auto\"", "Which go first: the smallest (magnitude), times their inputs (wanda), or those that others make up for best (second-order); auto: the last with calibration data, the first without", ["auto", "magnitude", "wanda", "second-order"], PerTensor: true),
        new("reconstruct", "boolean", "true", "With calibration data: solve for the survivors after every step", PerTensor: true),
        new("steps", "integer", "6", "Steps of the cubic schedule, with calibration data; without there is one", PerTensor: true, Minimum: 1, Maximum: 100),
        new("regrow", "integer", "3", "With calibration data: rounds in which dropped weights may return in the place of others", PerTensor: true, Minimum: 0, Maximum: 100),
        new("permute", "string", "\"none\"", "Blocks and N:M: order channels first so that what counts lies in fewer of them, which is exact: hidden for those between layers, all for those added up from embedding to head as well", ["none", "hidden", "all"]),
        new("allocation", "string", "\"sensitivity\"", "With calibration data: the same share of every layer (uniform), or more where the model loses less, sparsity_percent being that of all together (sensitivity)", ["sensitivity", "uniform"]),
        new("heal", "boolean", "true", "With calibration data: every layer makes up for what those before it became, towards the outputs of the model as it was"),
        new("damping_permille", "integer", "10", "Thousandths of the mean square of the activations that are added to each, against trusting the calibration data too much", PerTensor: true, Minimum: 1, Maximum: 1000),
        new("ends", "string", "\"keep\"", "Layers that read the input and layers that make the output; embeddings always stay", ["keep", "prune"]),
        new("protect", "array", """["*down_proj*"]""", "Layers that match one of these patterns stay as they are"),
        new("max_loss_permille", "integer", "0", "Gate: approaches the sparsity in quarters and keeps the last that loses no more on calibration data, in thousandths of a nat per token (or of the outputs' power); 0 takes all", Minimum: 0, Maximum: 1000000),
        new("force", "boolean", "false", "Without calibration data: drop more than 30 % of the blocks all the same"),
        new("min_vectors", "integer", "128", "A layer that met fewer activation vectors than this in the calibration data stays as it is"),
        new("min_elements", "integer", "1024", "Smaller tensors stay as they are", PerTensor: true),
        new("include", "array", "[]", "Only tensors that match one of these patterns; empty means all"),
        new("exclude", "array", "[]", "Tensors that match one of these patterns stay as they are"),
    ];

    public IPass Create(PassOptions options, TensorRules rules) => new SparsifyPass(options, rules);
}
