namespace ModelPack.Compiler;

/// <summary>What importers and graph builders both know of checkpoints that other tools quantised.</summary>
public static class QuantizedCheckpoints
{
    private static readonly string[] ScaleSuffixes = [".input_scale", ".input_zero_point", ".input_global_scale", ".output_scale", ".k_scale", ".v_scale", ".q_scale"];

    /// <summary>Values of <c>quant_method</c> whose codes and scales are read as weights.</summary>
    public static IReadOnlyList<string> Methods { get; } = ["compressed-tensors", "fp8", "gptq", "awq", "mxfp4", "modelopt"];

    /// <summary>True for the name of a tensor that says how activations or caches are rounded: weights do without it.</summary>
    public static bool IsActivationScale(string name) => Array.Exists(ScaleSuffixes, s => name.EndsWith(s, StringComparison.Ordinal));
}
