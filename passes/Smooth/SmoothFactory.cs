using ModelPack.Compiler;
using ModelPack.Numbers;

namespace ModelPack.Passes;

/// <summary>Registers <c>smooth</c>.</summary>
internal sealed class SmoothFactory : IPassFactory
{
    public string Name => "smooth";

    public string Summary => "Moves factors between channels of activations and the weights that read them, without a change to outputs, so that quantisation loses less";

    public IReadOnlyList<PassOption> Options { get; } =
    [
        new("method", "string", "\"awq\"", "awq: finer weights where activations are large; smoothquant: outliers from activations to weights; equalize: like ranges in consecutive layers (no data)", ["awq", "smoothquant", "equalize"]),
        new("alpha_percent", "integer", "50", "smoothquant: how much of the outliers moves to the weights", Minimum: 0, Maximum: 100),
        new("format", "string", "\"int4\"", "awq: number format that weights will have, as for quantize", Formats: NumberFormats.Ids),
        new("block", "integer", "128", "awq, integer formats: weights that share one scale", ["16", "32", "64", "128", "256"]),
        new("symmetric", "boolean", "true", "awq, integer formats: only a scale per block"),
        new("scale", "string", "\"f32\"", "awq, integer formats: type of the scales", ["auto", "f32", "f16", "bf16"]),
        new("search", "string", "\"none\"", "awq, integer formats: how the range of a block is chosen", ["none", "mse"]),
        new("include", "array", "[]", "Only inputs of weights that match one of these patterns; empty means all"),
        new("exclude", "array", "[]", "Weights that match one of these patterns are no reason to scale their input"),
    ];

    public IPass Create(PassOptions options, TensorRules rules) => options.Text("method") == "equalize" ? new EqualizePass(options, rules) : new SmoothPass(options, rules);
}
