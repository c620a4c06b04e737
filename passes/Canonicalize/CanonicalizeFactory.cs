using ModelPack.Compiler;

namespace ModelPack.Passes;

/// <summary>Registers <c>canonicalize</c>.</summary>
internal sealed class CanonicalizeFactory : IPassFactory
{
    public string Name => "canonicalize";

    public string Summary => "Turns Constant nodes into initializers, lifts weights out of branches and loop bodies, removes nodes that do nothing or are not needed";

    public IReadOnlyList<PassOption> Options { get; } =
    [
        new("lift_min_bytes", "integer", "1024", "Constants inside If, Loop and Scan of at least this size move to the main graph, where they can be compressed"),
    ];

    public IPass Create(PassOptions options, TensorRules rules) => new CanonicalizePass(options.Integer("lift_min_bytes"));
}
