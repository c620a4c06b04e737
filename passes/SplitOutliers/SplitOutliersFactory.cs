using ModelPack.Compiler;

namespace ModelPack.Passes;

/// <summary>Registers <c>split-outliers</c>.</summary>
internal sealed class SplitOutliersFactory : IPassFactory
{
    public string Name => "split-outliers";

    public string Summary => "Splits linear layers: input channels that are far larger than the others on calibration data are multiplied in 16 bits, the rest is left to quantize";

    public IReadOnlyList<PassOption> Options { get; } =
    [
        new("threshold", "integer", "6", "A channel is an outlier when its greatest absolute value is at least so many times the median of all channels", Minimum: 2, Maximum: 1_000_000),
        new("max_permille", "integer", "20", "At most so many of 1000 channels of a layer, but at least one may be: the largest", Minimum: 1, Maximum: 500),
        new("format", "string", "\"f16\"", "How their weights are stored", ["f16", "bf16", "same"]),
        new("mask", "boolean", "true", "The other channels are read without the outliers, so that kernels which round activations see an even range; false saves a multiplication per activation"),
        new("ends", "boolean", "false", "Also the first and last layers of the network"),
        new("min_elements", "integer", "4096", "Smaller weights are left alone", Maximum: int.MaxValue),
        new("include", "array", "[]", "Only weights that match one of these patterns; empty means all"),
        new("exclude", "array", "[]", "Weights that match one of these patterns are left alone"),
    ];

    public IPass Create(PassOptions options, TensorRules rules) => new SplitOutliersPass(options, rules);
}
