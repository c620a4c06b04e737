using ModelPack.Compiler;

namespace ModelPack.Passes;

/// <summary>Registers <c>fold-constants</c>.</summary>
internal sealed class FoldConstantsFactory : IPassFactory
{
    public string Name => "fold-constants";

    public string Summary => "Computes what depends on constants only: casts and transposes of weights without touching their data, small subgraphs by running them";

    public IReadOnlyList<PassOption> Options { get; } =
    [
        new("max_output_bytes", "integer", "1048576", "Results larger than this are not computed; does not concern casts and transposes of weights"),
        new("max_growth_bytes", "integer", "65536", "A result may be larger than what it is computed from by at most this"),
    ];

    public IPass Create(PassOptions options, TensorRules rules) => new FoldConstantsPass(options.Integer("max_output_bytes"), options.Integer("max_growth_bytes"));
}
