using ModelPack.Compiler;

namespace ModelPack.Passes;

/// <summary>Registers <c>fuse-elementwise</c>.</summary>
internal sealed class FuseElementwiseFactory : IPassFactory
{
    public string Name => "fuse-elementwise";

    public string Summary => "Folds constant factors and offsets into the Conv before them and writes hard-swish as HardSigmoid and Mul: fewer passes over activations";

    public IReadOnlyList<PassOption> Options { get; } = [];

    public IPass Create(PassOptions options, TensorRules rules) => new FuseElementwisePass();
}
