using ModelPack.Compiler;

namespace ModelPack.Passes;

/// <summary>Registers <c>canonicalize</c>.</summary>
internal sealed class CanonicalizeFactory : IPassFactory
{
    public string Name => "canonicalize";

    public string Summary => "Turns Constant nodes into initializers, lifts weights out of branches and loop bodies, removes nodes that do nothing or are not needed";

    public IReadOnlyList<PassOption> Options { get; } =
    [
        new("lift", "boolean", "true", "Large constants inside If, Loop and Scan move to the main graph, where they can be compressed; a runtime may then pick other kernels that differ in the last bits"),
        new("lift_min_bytes", "integer", "1024", "Smaller constants are not lifted"),
    ];

    public IPass Create(PassOptions options, TensorRules rules) => new CanonicalizePass(options.Flag("lift") ? options.Integer("lift_min_bytes") : long.MaxValue);
}
