using ModelPack.Compiler;

namespace ModelPack.Passes;

/// <summary>All passes, in the order they usually run.</summary>
public static class PassCatalog
{
    public static IReadOnlyList<IPassFactory> All { get; } =
    [
    ];
}
