using ModelPack.Compiler;

namespace ModelPack.Passes;

/// <summary>Registers <c>fuse-batchnorm</c>.</summary>
internal sealed class FuseBatchNormFactory : IPassFactory
{
    public string Name => "fuse-batchnorm";

    public string Summary => "Folds inference BatchNormalization into the weights and bias of the Conv or ConvTranspose before it";

    public IReadOnlyList<PassOption> Options { get; } = [];

    public IPass Create(PassOptions options, TensorRules rules) => new FuseBatchNormPass();
}
