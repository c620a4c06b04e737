using ModelPack.Toolchain;

namespace ModelPack.Cli;

/// <summary>The tensors of one kind together.</summary>
/// <param name="Kind">What the tensors are for.</param>
/// <param name="Tensors">How many.</param>
/// <param name="InputBytes">Bytes before.</param>
/// <param name="OutputBytes">Bytes after.</param>
/// <param name="RelativeError">Root mean square of the tensors' relative errors, weighted by elements; null when none was measured.</param>
/// <param name="WorstError">The largest of them.</param>
internal sealed record KindSummary(string Kind, int Tensors, long InputBytes, long OutputBytes, double? RelativeError, double? WorstError)
{
    /// <summary>One row per kind, the kind with the most bytes first.</summary>
    public static IReadOnlyList<KindSummary> Of(IReadOnlyList<CompiledTensor> tensors) =>
    [
        .. tensors.GroupBy(t => t.Kind, StringComparer.Ordinal)
            .Select(g => Of(g.Key, [.. g]))
            .OrderByDescending(k => k.InputBytes)
            .ThenBy(k => k.Kind, StringComparer.Ordinal),
    ];

    private static KindSummary Of(string kind, CompiledTensor[] tensors)
    {
        double weights = 0, squares = 0, worst = 0;
        foreach (CompiledTensor tensor in tensors)
        {
            if (tensor.RelativeError is double error)
            {
                double elements = tensor.Shape.Aggregate(1.0, (product, d) => product * d);
                weights += elements;
                squares += elements * error * error;
                worst = Math.Max(worst, error);
            }
        }

        return new KindSummary(
            kind,
            tensors.Length,
            tensors.Sum(t => t.InputBytes),
            tensors.Sum(t => t.OutputBytes),
            weights > 0 ? Math.Sqrt(squares / weights) : null,
            weights > 0 ? worst : null);
    }
}
