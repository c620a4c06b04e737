using ModelPack.Compiler;

namespace ModelPack.Passes;

/// <summary>
/// Guesses how a tensor of a checkpoint is used, which has no graph, from its name and shape:
/// <list type="bullet">
/// <item>a matrix is a linear layer [outputs, inputs]; a 4-D tensor a convolution [O, I/groups, kH, kW];</item>
/// <item>a matrix with <c>embed</c>, <c>wte</c>, <c>wpe</c> or <c>shared</c> in its name is an embedding; <c>lm_head</c>, <c>embed_out</c>,
/// <c>classifier</c>, <c>score</c>, or <c>output</c> as the whole name before <c>weight</c>, is the last projection;</item>
/// <item>names with <c>norm</c>, <c>ln_</c> or <c>bias</c> and all other ranks are left alone.</item>
/// </list>
/// </summary>
internal static class CheckpointUsage
{
    private static readonly string[] Embeddings = ["embed", "wte", "wpe", "shared"];

    private static readonly string[] Heads = ["lm_head", "embed_out", "classifier", "score"];

    private static readonly string[] Untouched = ["norm", "ln_", "bias"];

    public static WeightUsage Of(Tensor tensor)
    {
        string[] parts = tensor.Name.ToLowerInvariant().Split('.', '/');
        bool Has(string[] words) => parts.Any(p => words.Any(w => p.Contains(w, StringComparison.Ordinal)));
        if (Has(Untouched))
        {
            return WeightUsage.Refuse("by its name it is a norm or a bias");
        }

        bool head = Has(Heads) || parts is ["output", "weight"];
        return tensor.Shape.Rank switch
        {
            2 when head => new WeightUsage(WeightLayout.Rows, WeightRole.End, "MatMul"),
            2 when Has(Embeddings) => new WeightUsage(WeightLayout.Rows, WeightRole.End, "Gather"),
            2 => new WeightUsage(WeightLayout.Rows, WeightRole.Hidden, "MatMul"),
            4 => new WeightUsage(WeightLayout.Filters, WeightRole.Convolution, "Conv"),
            int rank => WeightUsage.Refuse($"a {rank}-D tensor of a checkpoint may be a convolution or a batch of matrices"),
        };
    }
}
