namespace ModelPack.Passes;

/// <summary>All algorithms that choose codes, plainest first.</summary>
internal static class WeightAlgorithms
{
    /// <summary>The one that looks at nothing but the weight itself.</summary>
    public static IWeightAlgorithm Nearest { get; } = new RoundToNearest();

    public static IReadOnlyList<IWeightAlgorithm> All { get; } =
    [
        Nearest,
        new ErrorDiffusion(),
        new Gptq(),
    ];

    public static IWeightAlgorithm Get(string name) => All.First(a => a.Name == name);
}
