using ModelPack.Compiler;
using ModelPack.Numbers;

namespace ModelPack.Passes;

/// <summary>Registers <c>quantize</c>.</summary>
internal sealed class QuantizeFactory : IPassFactory
{
    public string Name => "quantize";

    public string Summary => "Stores weights of MatMul, Gemm, Conv and Gather in a compact number format, blocks along the reduction axis";

    public IReadOnlyList<PassOption> Options { get; } =
    [
        new("format", "string", "\"int8\"", "Number format of the weights: a name of 'modelpack formats', one with arguments such as nf4(block=128), or a name that the recipe defines", PerTensor: true, Formats: NumberFormats.Ids),
        new("block", "integer", "32", "Integer formats: weights that share one scale, along the reduction axis", ["16", "32", "64", "128", "256"], PerTensor: true),
        new("symmetric", "boolean", "true", "Integer formats: only a scale per block; false adds a zero point, better for one-sided weights", PerTensor: true),
        new("scale", "string", "\"auto\"", "Integer formats: type of the scales; auto takes f16 where every scale of the tensor fits, else f32", ["auto", "f32", "f16", "bf16"], PerTensor: true),
        new("search", "string", "\"none\"", "Integer formats: mse tries clipped ranges for every block and keeps the one with the least squared error", ["none", "mse"], PerTensor: true),
        new("share_scales", "boolean", "false", "nvfp4: one scale of the whole tensor for layers that runtimes compute as one product (queries, keys and values; gate and up), as vLLM needs it"),
        new("algorithm", "string", "\"rtn\"", "How codes are chosen: rtn to the nearest; diffusion pushes output errors on calibration data into the next weight; gptq makes up for them in all later ones, so that outputs change least", [.. WeightAlgorithms.All.Select(a => a.Name)], PerTensor: true),
        new("scales", "string", "\"encoder\"", "How scales are chosen: by the format's encoder; fitted to the weights with their zero points (mse; hqq lets a few weights miss); or by the outputs on calibration data", ["encoder", "output", "mse", "hqq"], PerTensor: true),
        new("refine", "integer", "0", "Rounds in which every code and every scale takes the best value with all others held, by what errors do to outputs on calibration data", PerTensor: true, Minimum: 0, Maximum: 100),
        new("activation_order", "boolean", "true", "gptq, diffusion: weights of the largest activations first", PerTensor: true),
        new("damping_permille", "integer", "50", "gptq, diffusion: thousandths of the mean square of the activations that are added to each, against trusting the calibration data too much", PerTensor: true, Minimum: 1, Maximum: 1000),
        new("sequential", "boolean", "true", "With calibration data: statistics of a layer are taken with the layers before it quantised already; false takes all from the float model, once, and keeps them for other recipes"),
        new("follow_float", "boolean", "true", "gptq, sequential: also makes up for what the layers before did to the input, so that outputs stay near those of the float model"),
        new("min_vectors", "integer", "128", "A layer that met fewer activation vectors than this in the calibration data (an expert that was hardly chosen) is rounded to nearest", PerTensor: true),
        new("positions", "integer", "512", "Calibrated convolutions: how many patches of every sample are looked at, evenly spread over the positions of the output", Minimum: 1, Maximum: 1 << 20),
        new("axis", "string", "\"auto\"", "Axis along which blocks run: the reduction axis of the operator that reads the tensor, or the last or first axis of the tensor as stored", ["auto", "last", "first"], PerTensor: true),
        new("ends", "string", "\"same\"", "Embeddings, layers that read the input and layers that make the output: as all others, int8, or kept as they are", ["same", "int8", "keep"]),
        new("convolutions", "string", "\"same\"", "Convolutions: as all others, int8, or kept as they are", ["same", "int8", "keep"]),
        new("ops", "array", """["MatMul","Gemm","Conv","Gather"]""", "Operators whose weights are quantised; for checkpoints MatMul means any linear layer, Gather embeddings", ["MatMul", "Gemm", "Conv", "Gather"]),
        new("allow_ternary", "boolean", "false", "Ternary formats: take weights too that were not trained to be ternary", PerTensor: true),
        new("min_elements", "integer", "1024", "Smaller tensors are left alone", PerTensor: true),
        new("include", "array", "[]", "Only tensors that match one of these patterns; empty means all"),
        new("exclude", "array", "[]", "Tensors that match one of these patterns are left alone"),
    ];

    public IPass Create(PassOptions options, TensorRules rules) => new QuantizePass(options, rules);
}
