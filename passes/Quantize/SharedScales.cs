using System.Collections.Immutable;
using System.Globalization;
using ModelPack.Compiler;

namespace ModelPack.Passes;

/// <summary>Layers that runtimes compute as one product (queries, keys and values; gate and up) get one scale of the whole tensor: the largest of theirs, so that nothing saturates.</summary>
internal static class SharedScales
{
    private const string Format = "nvfp4";
    private const string Argument = "global";

    private const string Suffix = ".weight";

    /// <summary>Gives every fused group its scale.</summary>
    /// <param name="tensors">All tensors.</param>
    /// <param name="formats">What each is to be stored in; null for none.</param>
    /// <param name="complete">The format of a tensor with the scale that its values ask for.</param>
    /// <param name="set">Replaces a format.</param>
    /// <param name="context">Threads and cancellation.</param>
    public static void Apply(ImmutableArray<Tensor> tensors, IReadOnlyList<UnitSpec?> formats, Func<int, UnitSpec, UnitSpec> complete, Action<int, UnitSpec> set, PassContext context)
    {
        int[][] groups =
        [
            .. Enumerable.Range(0, tensors.Length)
                .Where(i => formats[i] is { Id: Format } format && format.Text(Argument, "").Length == 0)
                .GroupBy(i => Key(tensors[i].Name), StringComparer.Ordinal)
                .Where(g => g.Key is not null && g.Count() > 1)
                .Select(g => g.ToArray()),
        ];
        int[] members = [.. groups.SelectMany(g => g)];
        var completed = new UnitSpec[tensors.Length];
        Parallel.ForEach(members, new ParallelOptions { MaxDegreeOfParallelism = Math.Max(1, context.Threads), CancellationToken = context.Cancellation }, i => completed[i] = complete(i, formats[i]!));
        foreach (int[] group in groups)
        {
            UnitSpec largest = group.Select(i => completed[i]).MaxBy(f => float.Parse(f.Text(Argument, "1"), CultureInfo.InvariantCulture))!;
            foreach (int i in group)
            {
                set(i, largest);
            }
        }
    }

    /// <summary>Equal for the weights of one product; null for a weight of its own.</summary>
    private static string? Key(string tensor) => tensor.EndsWith(Suffix, StringComparison.Ordinal) ? FusedLayers.Key(tensor[..^Suffix.Length]) : null;
}
