using ModelPack.Compiler;

namespace ModelPack.Passes;

/// <summary>Registers <c>detect-sparsity</c>.</summary>
internal sealed class DetectSparsityFactory : IPassFactory
{
    public string Name => "detect-sparsity";

    public string Summary => "Stores weights that are sparse matrices as such where that is smaller: blocks, N:M, banks, any elements; no value changes";

    public IReadOnlyList<PassOption> Options { get; } =
    [
        new("quantized", "string", "\"auto\"", "Whether weights that are quantised are looked at too: only stored values are then quantised. auto: all formats but int4, which runs as it is stored while sparse weights are expanded", ["auto", "yes", "no"]),
    ];

    public IPass Create(PassOptions options, TensorRules rules) => new DetectSparsityPass(options.Text("quantized"));
}
