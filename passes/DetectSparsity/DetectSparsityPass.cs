using ModelPack.Compiler;

namespace ModelPack.Passes;

/// <summary>
/// Gives weights that are zero in a pattern the encoding that stores only the rest: <c>bf16</c> becomes <c>blocksparse(block=32x32) &gt; { u8; bf16 }</c>, and, for weights that are to
/// be quantised, <c>mxfp4</c> becomes <c>blocksparse(block=32x32) &gt; { u8; mxfp4 }</c>.
/// </summary>
/// <remarks>
/// Runs last, because other passes know weights by their plain or quantised form. Of weights that a calibrated algorithm has encoded, codes and scales of blocks are moved as they are. Dense weights cost a look at a few samples.
/// </remarks>
internal sealed class DetectSparsityPass(string quantized) : IPass
{
    public string Name => "detect-sparsity";

    public Phase Requires => Phase.Canonical;

    public Phase Ensures => Phase.Canonical;

    public Model Run(Model model, PassContext context)
    {
        if (context.FindSparsity is not Func<WeightEncoding, WeightEncoding?> find)
        {
            return model;
        }

        var index = new GraphIndex(model.Graph);
        var found = new Dictionary<Tensor, Tensor>(ReferenceEqualityComparer.Instance);
        var seen = new Dictionary<WeightEncoding, WeightEncoding?>(ReferenceEqualityComparer.Instance);
        foreach (Tensor tensor in model.Graph.Initializers)
        {
            context.Cancellation.ThrowIfCancellationRequested();
            if (index.IsInput(tensor.Name) || index.IsOutput(tensor.Name) || !Wanted(tensor.Encoding))
            {
                continue;
            }

            if (!seen.TryGetValue(tensor.Encoding, out WeightEncoding? sparse))
            {
                seen.Add(tensor.Encoding, sparse = find(tensor.Encoding));
            }

            if (sparse is not null)
            {
                found.Add(tensor, tensor with { Encoding = sparse });
                context.Report(DiagnosticSeverity.Info, $"is a sparse matrix: {UnitSpec.Shorten(sparse.Describe())}", tensor.Name);
            }
        }

        context.Measure("sparse_tensors", found.Count);
        return found.Count == 0
            ? model
            : model with { Graph = model.Graph with { Initializers = [.. model.Graph.Initializers.Select(t => found.GetValueOrDefault(t, t))] } };
    }

    private bool Wanted(WeightEncoding encoding)
    {
        while (encoding is StructuredEncoding { Components: [WeightEncoding only] })
        {
            encoding = only;
        }

        return encoding is DenseEncoding dense && (!dense.IsPending || quantized == "yes" || (quantized == "auto" && dense.Format.Id != "int4"));
    }
}
