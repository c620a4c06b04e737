using ModelPack.Compiler;

namespace ModelPack.Passes;

/// <summary>All passes, in the order they usually run.</summary>
public static class PassCatalog
{
    public static IReadOnlyList<IPassFactory> All { get; } =
    [
        new CanonicalizeFactory(),
        new StaticShapesFactory(),
        new FoldConstantsFactory(),
        new FuseBatchNormFactory(),
        new FuseElementwiseFactory(),
        new ShareTensorsFactory(),
        new RotateFactory(),
        new SmoothFactory(),
        new ActivationSparsityFactory(),
        new SparsifyFactory(),
        new DecomposeFactory(),
        new SplitOutliersFactory(),
        new QuantizeInputsFactory(),
        new QuantizeFactory(),
        new QuantizeActivationsFactory(),
        new DetectSparsityFactory(),
    ];

    /// <exception cref="ModelPackException">MP2005: no such pass.</exception>
    public static IPassFactory Get(string name) => All.FirstOrDefault(f => f.Name == name)
        ?? throw new ModelPackException(ErrorCodes.UnknownPass, $"unknown pass '{name}'{Suggestion.For(name, All.Select(f => f.Name))}");
}
