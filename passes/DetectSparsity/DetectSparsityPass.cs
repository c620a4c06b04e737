using ModelPack.Compiler;

namespace ModelPack.Passes;

/// <summary>
/// Gives weights that are zero in a pattern the encoding that stores only the rest: <c>bf16</c> becomes <c>blocksparse(block=32x32) &gt; { u8; bf16 }</c>, and, for weights that are to
/// be quantised, <c>mxfp4</c> becomes <c>blocksparse(block=32x32) &gt; { u8; mxfp4 }</c>.
/// </summary>
/// <remarks>
/// Weights in int4 stay dense unless that is asked for, since nothing runs them sparse; that they have blocks of zeros is a warning. Runs last, because other passes know weights by their plain or quantised form. Of weights that a calibrated algorithm has encoded, codes and scales of blocks are moved as they are. Dense weights cost a look at a few samples.
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
        var passedOver = new List<Tensor>();
        foreach (Tensor tensor in model.Graph.Initializers)
        {
            context.Cancellation.ThrowIfCancellationRequested();
            if (index.IsInput(tensor.Name) || index.IsOutput(tensor.Name) || Wanted(tensor.Encoding) is not bool wanted)
            {
                continue;
            }

            if (!seen.TryGetValue(tensor.Encoding, out WeightEncoding? sparse))
            {
                seen.Add(tensor.Encoding, sparse = find(tensor.Encoding));
            }

            if (!wanted)
            {
                if (sparse is not null && HasBlocks(sparse))
                {
                    passedOver.Add(tensor); // Single zeros are what int4 makes of small values.
                }
            }
            else if (sparse is not null)
            {
                found.Add(tensor, tensor with { Encoding = sparse });
                context.Report(DiagnosticSeverity.Info, $"is a sparse matrix: {UnitSpec.Shorten(sparse.Describe())}", tensor.Name);
            }
        }

        context.Measure("sparse_tensors", found.Count);
        if (passedOver.Count > 0)
        {
            context.Report(
                DiagnosticSeverity.Warning,
                $"{(passedOver.Count == 1 ? "1 weight is" : $"{passedOver.Count} weights are")} zero in blocks ('{passedOver[0].Name}': {UnitSpec.Shorten(seen[passedOver[0].Encoding]!.Describe())}), and int4 stores and runs them dense; recipes mxfp4 and int8 keep them sparse");
        }

        return found.Count == 0
            ? model
            : model with { Graph = model.Graph with { Initializers = [.. model.Graph.Initializers.Select(t => found.GetValueOrDefault(t, t))] } };
    }

    private static bool HasBlocks(WeightEncoding encoding) => encoding is StructuredEncoding structured && (structured.Structure.Id == "blocksparse" || structured.Components.Any(HasBlocks));

    /// <summary>True: to be stored sparse where it is; false: to be told of only; null: not to be looked at.</summary>
    private bool? Wanted(WeightEncoding encoding)
    {
        while (encoding is StructuredEncoding { Components: [WeightEncoding only] })
        {
            encoding = only;
        }

        return encoding is not DenseEncoding dense ? null
            : !dense.IsPending || quantized == "yes" ? true
            : quantized != "auto" ? null
            : dense.Format.Id != "int4";
    }
}
