using ModelPack.Compiler;

namespace ModelPack.Passes;

/// <summary>Registers <c>static-shapes</c>.</summary>
internal sealed class StaticShapesFactory : IPassFactory
{
    public string Name => "static-shapes";

    public string Summary => "Gives graph inputs fixed sizes and turns the shapes that are computed from them into constants";

    public IReadOnlyList<PassOption> Options { get; } =
    [
        new("shapes", "array", "[]", "Sizes of inputs, for example \"x=1x3x48x320\"; a size alone, such as \"1x3x48x320\", is for a model with one input"),
    ];

    public IPass Create(PassOptions options, TensorRules rules) => new StaticShapesPass(options);
}
