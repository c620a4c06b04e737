using ModelPack.Compiler;

namespace ModelPack.Passes;

/// <summary>Registers <c>rotate</c>.</summary>
internal sealed class RotateFactory : IPassFactory
{
    public string Name => "rotate";

    public string Summary => "Rotates channels of a transformer's values by Hadamard matrices folded into the weights, without a change to outputs: spreads outliers before quantisation";

    public IReadOnlyList<PassOption> Options { get; } =
    [
        new("stream", "boolean", "true", "The residual stream: embedding, all that writes into it and all that reads it; gains of norms go into the weights behind them"),
        new("heads", "boolean", "true", "What attention heads sum: between the value and the output projection"),
        new("online", "string", "\"none\"", "down: also the inputs of layers that write into the stream and come from no layer (down projections), by a product with a small matrix in the graph", ["none", "down"]),
        new("block", "integer", "0", "Largest block of channels that are mixed; 0: all, where a Hadamard matrix of their number is known, else their largest power of two", Maximum: 1 << 20),
        new("include", "array", "[]", "Only where all weights concerned match one of these patterns; empty means all"),
        new("exclude", "array", "[]", "Not where a weight matches one of these patterns"),
    ];

    public IPass Create(PassOptions options, TensorRules rules) => new RotatePass(options, rules);
}
