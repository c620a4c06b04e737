using System.Globalization;
using ModelPack.Compiler;

namespace ModelPack.Passes;

/// <summary>
/// Finds tensors of the same dtype, shape, encoding and bytes and keeps the first: in a graph all readers read it and the others go; in a checkpoint,
/// where every name must stay, they get the first one's encoding, the same object, which the packer stores once.
/// </summary>
/// <remarks>
/// Data is read only where dtype, shape and length agree with another tensor, streamed through a hash, and compared byte by byte before anything is
/// shared. Graph inputs' defaults and graph outputs keep their own tensor.
/// </remarks>
internal sealed class ShareTensorsPass(long minBytes) : IPass
{
    private const long WorthMentioningBytes = 1024;

    public string Name => "share-tensors";

    public Phase Requires => Phase.Canonical;

    public Phase Ensures => Phase.Canonical;

    public Model Run(Model model, PassContext context)
    {
        var index = new GraphIndex(model.Graph);
        Dictionary<string, Tensor> originals = FindDuplicates(model, index, context);
        long saved = 0;
        foreach ((string name, Tensor original) in originals)
        {
            long bytes = Content.Of(original.Encoding).Sum(d => d.LengthBytes);
            saved += bytes;
            if (bytes >= WorthMentioningBytes)
            {
                context.Report(DiagnosticSeverity.Info, $"has the same content as '{original.Name}'", name);
            }
        }

        context.Measure("tensors_shared", originals.Count);
        context.Measure("shared_bytes", saved);
        return originals.Count == 0 ? model : model with { Graph = model.Kind == ModelKind.Onnx ? Redirect(model.Graph, originals) : ShareData(model.Graph, originals) };
    }

    private Dictionary<string, Tensor> FindDuplicates(Model model, GraphIndex index, PassContext context)
    {
        var groups = new Dictionary<string, List<Tensor>>(StringComparer.Ordinal);
        foreach (Tensor tensor in model.Graph.Initializers)
        {
            if (index.IsInput(tensor.Name) || index.IsOutput(tensor.Name) || Content.HasPending(tensor.Encoding))
            {
                continue;
            }

            IReadOnlyList<TensorData> data = Content.Of(tensor.Encoding);
            if (data.Sum(d => d.LengthBytes) < minBytes)
            {
                continue;
            }

            string key = string.Create(CultureInfo.InvariantCulture, $"{tensor.DType}{tensor.Shape}{tensor.Encoding.Describe()}:{string.Join(',', data.Select(d => d.LengthBytes))}");
            if (!groups.TryGetValue(key, out List<Tensor>? group))
            {
                groups[key] = group = [];
            }

            group.Add(tensor);
        }

        var originals = new Dictionary<string, Tensor>(StringComparer.Ordinal);
        foreach (List<Tensor> group in groups.Values.Where(g => g.Count > 1))
        {
            FindInGroup(group, originals, context);
        }

        return originals;
    }

    private static void FindInGroup(List<Tensor> group, Dictionary<string, Tensor> originals, PassContext context)
    {
        var seen = new Dictionary<UInt128, List<Tensor>>();
        foreach (Tensor tensor in group)
        {
            context.Cancellation.ThrowIfCancellationRequested();
            UInt128 hash = Content.Hash(tensor.Encoding);
            if (!seen.TryGetValue(hash, out List<Tensor>? candidates))
            {
                seen[hash] = candidates = [];
            }

            Tensor? original = candidates.Find(c => Content.Equal(c.Encoding, tensor.Encoding));
            if (original is not null)
            {
                originals[tensor.Name] = original;
            }
            else
            {
                candidates.Add(tensor);
            }
        }
    }

    private static Graph Redirect(Graph graph, Dictionary<string, Tensor> originals)
    {
        var editor = new GraphEditor(graph);
        foreach ((string name, Tensor original) in originals)
        {
            editor.RemoveInitializer(name);
            editor.RedirectUses(name, original.Name);
        }

        return editor.Build();
    }

    private static Graph ShareData(Graph graph, Dictionary<string, Tensor> originals) => graph with
    {
        Initializers = [.. graph.Initializers.Select(t => originals.TryGetValue(t.Name, out Tensor? original) ? t with { Encoding = original.Encoding } : t)],
    };
}
