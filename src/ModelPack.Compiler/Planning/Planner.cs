using System.Collections.Immutable;

namespace ModelPack.Compiler.Planning;

/// <summary>
/// Chooses how every compressed weight is executed and builds the graph that ONNX Runtime is given: operators that read the stored streams
/// where they are exact (or fast enough, see <see cref="PlanAccuracy"/>), dense weights expanded at load everywhere else.
/// </summary>
public static class Planner
{
    /// <summary>Domains of operators that plans bring in: those that only ONNX Runtime has, and our own.</summary>
    private static readonly string[] OwnDomains = ["com.microsoft", PackedMatMul.Domain];

    private const long MinExternalBytes = 1024;

    /// <summary>The default of <see cref="PlanOptions.IsExternal"/>: everything compressed, and plain tensors of a fixed-width type from 1 KiB on.</summary>
    public static bool IsExternalByDefault(Tensor tensor) =>
        !tensor.TryGetRawData(out TensorData data) || (tensor.DType.HasFixedWidth() && data.LengthBytes >= MinExternalBytes);

    /// <summary>Plans a model. Weights may still be pending (to be encoded by the packer) or already encoded (read back from an artifact).</summary>
    /// <exception cref="ModelPackException">MP3001: the model has no graph; MP3003: no runtime executes a weight on the accelerator of the profile.</exception>
    public static PlannedModel Plan(Model model, PlanOptions options)
    {
        if (model.Kind != ModelKind.Onnx)
        {
            throw new ModelPackException(ErrorCodes.NothingToPlan, "a checkpoint has tensors and no graph: there is nothing to execute");
        }

        Graph graph = model.Graph;
        HashSet<string> names = GraphNames.All(graph);
        var weights = graph.Initializers
            .Where(t => options.IsExternal(t) && !t.TryGetRawData(out _))
            .DistinctBy(t => t.Name, StringComparer.Ordinal)
            .ToDictionary(t => t.Name, StringComparer.Ordinal);
        var context = new PlanContext(model, new GraphIndex(graph), options, new StreamTensors(names), names) { WeightBytes = options.Profile is null ? 0 : weights.Values.Sum(MeasuredProduct.Bytes) };
        ImmutableArray<PlannedNode>.Builder planned = ImmutableArray.CreateBuilder<PlannedNode>();
        var dense = new HashSet<string>(graph.Outputs.Concat(graph.Inputs).Select(v => v.Name), StringComparer.Ordinal);
        var declined = new Dictionary<string, RejectedKernel>(StringComparer.Ordinal);
        Dictionary<int, Node?> taken = ContextualMlp.Take(weights, context, planned, declined);
        Experts.Take(weights, context, planned, declined, taken);
        ImmutableArray<Node> nodes = PlanNodes(graph, weights, context, planned, dense, declined, taken);
        ImmutableArray<Node> fused = Epilogues.Join(GatedMlp.Fuse(nodes, planned, context), graph);
        // A bias that became integers is read as floats by others at most.
        HashSet<string> read = context.Lowered.Count == 0 ? [] : [.. fused.SelectMany(n => n.Inputs.Concat(n.Subgraphs().SelectMany(GraphNames.Free))), .. graph.Outputs.Select(o => o.Name)];
        bool Keep(Tensor t) => (!weights.ContainsKey(t.Name) || dense.Contains(t.Name)) && (!context.Lowered.Contains(t.Name) || read.Contains(t.Name));
        ImmutableArray<Tensor> kept = [.. graph.Initializers.Where(Keep)];
        var execution = model with
        {
            Graph = graph with { Nodes = fused, Initializers = [.. kept, .. context.Constants, .. context.Streams.Tensors] },
            Opsets = OwnDomains.Where(d => fused.Any(n => n.Domain == d)).Aggregate(model.Opsets, (opsets, d) => opsets.ContainsKey(d) ? opsets : opsets.Add(d, 1)),
            Training = [],
        };
        IEnumerable<InitializerBinding> expanded = kept.Where(options.IsExternal).Select(t => new InitializerBinding(t.Name, t.Name, null, t.DType, t.Shape));
        return new PlannedModel(execution, new ExecutionPlan(options.Target, [.. expanded, .. context.Streams.Bindings], planned.ToImmutable()));
    }

    /// <summary>Chooses for all nodes; those that look rows up after the others, because the form of a table that a product reads serves them too.</summary>
    private static ImmutableArray<Node> PlanNodes(
        Graph graph,
        Dictionary<string, Tensor> weights,
        PlanContext context,
        ImmutableArray<PlannedNode>.Builder planned,
        HashSet<string> dense,
        Dictionary<string, RejectedKernel> declined,
        Dictionary<int, Node?> taken)
    {
        var results = new Node[graph.Nodes.Length][];
        var choices = new ImmutableArray<PlannedNode>.Builder[graph.Nodes.Length];
        foreach (int i in Enumerable.Range(0, graph.Nodes.Length).OrderBy(i => graph.Nodes[i].Is("Gather")))
        {
            choices[i] = ImmutableArray.CreateBuilder<PlannedNode>();
            results[i] = taken.TryGetValue(i, out Node? instead) ? instead is null ? [] : [instead] : PlanNode(graph.Nodes[i], weights, context, choices[i], dense, declined);
        }

        planned.AddRange(choices.SelectMany(c => c));
        return [.. results.SelectMany(r => r)];
    }

    /// <summary>Chooses for every compressed weight that a node reads; returns the node or what replaces it.</summary>
    private static Node[] PlanNode(
        Node node, Dictionary<string, Tensor> weights, PlanContext context, ImmutableArray<PlannedNode>.Builder planned, HashSet<string> dense, Dictionary<string, RejectedKernel> declined)
    {
        Node[] result = [node];
        for (int i = 0; i < node.Inputs.Length; i++)
        {
            if (!weights.TryGetValue(node.Inputs[i], out Tensor? tensor))
            {
                continue;
            }

            NodeChoice choice = Choose(node, i, tensor, context);
            if (choice.Replacement.IsEmpty || result.Length != 1 || !ReferenceEquals(result[0], node))
            {
                dense.Add(tensor.Name);
            }
            else
            {
                result = [.. choice.Replacement];
            }

            ImmutableArray<RejectedKernel> alternatives = declined.TryGetValue(tensor.Name, out RejectedKernel? whole) ? choice.Alternatives.Add(whole) : choice.Alternatives;
            RejectedKernel? elsewhere = i == 1 ? AcceleratorKernels.Named(node, tensor, context) : null;
            planned.Add(new PlannedNode(node.Handle, node.OpType, choice.Kernel, tensor.Name, elsewhere is null ? alternatives : alternatives.Insert(0, elsewhere)));
        }

        foreach (string captured in node.Subgraphs().SelectMany(GraphNames.Free))
        {
            if (weights.ContainsKey(captured) && dense.Add(captured))
            {
                planned.Add(new PlannedNode(node.Handle, node.OpType, NodeChoice.Expand, captured, []));
            }
        }

        return result;
    }

    private static NodeChoice Choose(Node node, int input, Tensor tensor, PlanContext context)
    {
        if (context.Index.IsInput(tensor.Name))
        {
            return NodeChoice.Expanded(new RejectedKernel("ort:*", "the weight is also a graph input: a caller may replace it"));
        }

        BlockWeight? weight = BlockWeight.Of(tensor.Encoding);
        NodeChoice? choice = input switch
        {
            0 => PackedGather.Choose(node, tensor, context) ?? QuantizedGather.Choose(node, tensor, weight, context),
            1 when PackedMatMul.IsKept(tensor, context) =>
                NodeChoice.Expanded(new RejectedKernel("modelpack:PackedMatMul", "adds in another order than dense weights are multiplied in: plan with accuracy 'exact' to use it")),
            1 => IntegerKernels.Choose(node, tensor, context) ?? SparseMatMul.Choose(node, tensor, context) ?? MaskedMatMul.Choose(node, tensor, context) ?? LowRankMatMul.Choose(node, tensor, context) ?? FactoredConvolution.Choose(node, tensor, context) ?? PackedConv.Choose(node, tensor, context) ?? MeasuredProduct.Choose(node, tensor, weight, context) ?? PackedMatMul.Choose(node, tensor, context) ?? MatMulNBits.Choose(node, tensor, weight, context),
            _ => null,
        };
        return choice ?? NodeChoice.Expanded(weight is null ? [] : [new RejectedKernel("ort:*", $"no operator reads block integers as input {input} of {node.OpType}")]);
    }
}
