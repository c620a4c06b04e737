using ModelPack.Compiler;
using ModelPack.Structures;

namespace ModelPack.Passes;

/// <summary>Weights that <c>detect-sparsity</c> has stored as sparse matrices, for passes that know plain ones.</summary>
internal static class SparseWeight
{
    /// <summary>
    /// The model with sparse weights of plain floats as dense ones of the same bytes, which are expanded when they are read. Other weights, and the order of the initializers, stay;
    /// weights that shared an encoding go on sharing one. The same model when it has none.
    /// </summary>
    public static Model Expand(Model model)
    {
        var seen = new Dictionary<WeightEncoding, WeightEncoding?>(ReferenceEqualityComparer.Instance);
        bool any = false;
        Tensor Plain(Tensor tensor)
        {
            if (!seen.TryGetValue(tensor.Encoding, out WeightEncoding? dense))
            {
                seen.Add(tensor.Encoding, dense = Dense(tensor.Encoding));
            }

            any |= dense is not null;
            return dense is null ? tensor : tensor with { Encoding = dense };
        }

        Tensor[] tensors = [.. model.Graph.Initializers.Select(Plain)];
        return any ? model with { Graph = model.Graph with { Initializers = [.. tensors] } } : model;
    }

    /// <summary>Warns of weights that are zero in a pattern before a pass and not behind it: they would be stored and multiplied dense without a word.</summary>
    /// <param name="before">The model as the pass got it.</param>
    /// <param name="after">What it made of it.</param>
    /// <param name="why">What the pass does to zeros.</param>
    /// <param name="context">Takes the warning; where it has no detector of patterns, encodings alone tell.</param>
    public static void WarnOfLost(Model before, Model after, string why, PassContext context)
    {
        if (context.PlanOnly)
        {
            return;
        }

        bool IsSparse(WeightEncoding encoding) => encoding switch
        {
            StructuredEncoding s when SparseMatrix.IsSparse(s) => true,
            StructuredEncoding { Structure.Id: "permuted" or "reshaped", Components: [StructuredEncoding only] } => IsSparse(only),
            _ => context.FindSparsity?.Invoke(encoding) is not null,
        };
        var behind = after.Graph.Initializers.ToLookup(t => t.Name, StringComparer.Ordinal);
        string[] lost = [.. before.Graph.Initializers
            .Where(t => t.DType.IsFloat() && !behind[t.Name].Any(now => ReferenceEquals(now.Encoding, t.Encoding)) && IsSparse(t.Encoding) && !behind[t.Name].Any(now => IsSparse(now.Encoding)))
            .Select(t => t.Name)];
        if (lost.Length > 0)
        {
            context.Report(DiagnosticSeverity.Warning, $"{lost.Length} sparse weight{(lost.Length > 1 ? "s are" : " is")} dense behind this pass, which {why}: leave it out, or exclude {(lost.Length > 1 ? "them" : "it")} where it can", lost[0]);
        }
    }

    private static WeightEncoding? Dense(WeightEncoding encoding) => encoding switch
    {
        StructuredEncoding sparse when SparseMatrix.IsSparse(sparse) => Structured.IsRaw(sparse.Components[1], out DType stored) && stored.IsFloat() && SparseMatrix.TryDense(stored, sparse) is TensorData bytes
            ? DenseEncoding.Raw(stored, sparse.Shape, bytes)
            : null,
        StructuredEncoding { Structure.Id: "permuted" or "reshaped", Components: [WeightEncoding only] } outer => Dense(only) is WeightEncoding inner ? outer with { Components = [inner] } : null,
        _ => null,
    };
}
