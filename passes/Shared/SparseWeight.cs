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

    private static WeightEncoding? Dense(WeightEncoding encoding) => encoding switch
    {
        StructuredEncoding sparse when SparseMatrix.IsSparse(sparse) => Structured.IsRaw(sparse.Components[1], out DType stored) && stored.IsFloat() && SparseMatrix.TryDense(stored, sparse) is TensorData bytes
            ? DenseEncoding.Raw(stored, sparse.Shape, bytes)
            : null,
        StructuredEncoding { Structure.Id: "permuted" or "reshaped", Components: [WeightEncoding only] } outer => Dense(only) is WeightEncoding inner ? outer with { Components = [inner] } : null,
        _ => null,
    };
}
