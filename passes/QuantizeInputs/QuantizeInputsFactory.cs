using ModelPack.Compiler;

namespace ModelPack.Passes;

/// <summary>Registers <c>quantize-inputs</c>.</summary>
internal sealed class QuantizeInputsFactory : IPassFactory
{
    public string Name => "quantize-inputs";

    public string Summary => "Rounds what MatMul, Gemm and Conv read to 8-bit floats (scales from calibration data, or of every run) or to 8-bit integers with scales of every run";

    public IReadOnlyList<PassOption> Options { get; } =
    [
        new("format", "string", "\"f8e4m3fn\"", "Type of the rounded values; int8: unsigned codes with a zero point, as DynamicQuantizeLinear makes them, for MatMul and Gemm", InputRounding.Formats),
        new("scales", "string", "\"row\"", "static: one per value, from calibration data; tensor: one per value and run; row: one per row (token) and run, for convolutions per sample", InputRounding.Scales),
        new("backoff_permille", "integer", "500", "static: where the largest value of the calibration data lies, in thousandths of the largest number of the format; the rest is room for larger ones", Minimum: 1, Maximum: 1000),
        new("pow2", "boolean", "false", "static: scales are powers of two, so that multiplying with them is exact"),
        new("ends", "boolean", "false", "Also the first and last layers of the network"),
        new("include", "array", "[]", "Only inputs of weights that match one of these patterns; empty means all"),
        new("exclude", "array", "[]", "Inputs of weights that match one of these patterns stay as they are"),
    ];

    public IPass Create(PassOptions options, TensorRules rules) => new QuantizeInputsPass(options, rules);
}
