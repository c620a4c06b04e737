using ModelPack.Compiler;

namespace ModelPack.Passes;

/// <summary>Registers <c>quantize-activations</c>.</summary>
internal sealed class QuantizeActivationsFactory : IPassFactory
{
    public string Name => "quantize-activations";

    public string Summary => "Static int8: activations as 8-bit codes with ranges from calibration data, weights as int8 per output channel, in the form that ONNX Runtime runs on integers";

    public IReadOnlyList<PassOption> Options { get; } =
    [
        new("range", "string", "\"mse\"", "How the range of an activation is chosen: all values, all but the outermost, least information loss, or least squared error", ActivationRange.Methods),
        new("percentile_millionths", "integer", "999900", "range=percentile: millionths of the values that stay inside", Minimum: 500_000, Maximum: 1_000_000),
        new("weight_search", "string", "\"none\"", "Ranges of weights: all values, or the one of least squared error per output channel", ["none", "mse"]),
        new("min_sqnr_db", "integer", "30", "A node stays float when, on what the float model gives it, its output channels have a lower mean ratio of signal to quantisation noise; lower is faster and less exact", Maximum: 60),
        new("min_output_sqnr_db", "integer", "0", "Nodes stay float until the outputs of the whole model have this ratio of signal to noise on the calibration data, those first that save least for their noise; 0: outputs are not measured", Maximum: 60),
        new("bias_correction", "boolean", "true", "Adds the mean error that quantisation makes in every output channel on the calibration data to the bias"),
        new("min_macs", "integer", "50000", "Nodes with fewer multiplications for an average sample stay float: changing to codes and back would cost more than they do"),
        new("depthwise", "string", "\"quantize\"", "Convolutions of one channel per filter: as all others, or float", ["quantize", "keep"]),
        new("matmul", "string", "\"quantize\"", "MatMul and Gemm: as convolutions, or float", ["quantize", "keep"]),
        new("coverage", "string", "\"fast\"", "Which operators work on codes: those that are faster for it in ONNX Runtime, or all, for processors without float arithmetic", ["fast", "all"]),
        new("io", "string", "\"float\"", "Type of the graph's float inputs and outputs: as they are, or codes of 8 bits (their scales and zeros go into the model's metadata)", ["float", "integer"]),
        new("include", "array", "[]", "Only nodes whose weight matches one of these patterns; empty means all"),
        new("exclude", "array", "[]", "Nodes whose weight matches one of these patterns stay float"),
    ];

    public IPass Create(PassOptions options, TensorRules rules) => new QuantizeActivationsPass(options, rules);
}
