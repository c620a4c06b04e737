namespace ModelPack.Passes;

/// <summary>All algorithms that choose codes, plainest first.</summary>
internal static class WeightAlgorithms
{
    public static IReadOnlyList<IWeightAlgorithm> All { get; } =
    [
        new RoundToNearest(),
        new Gptq(),
    ];

    public static IWeightAlgorithm Get(string name) => All.First(a => a.Name == name);
}
