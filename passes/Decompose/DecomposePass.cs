using System.Globalization;
using System.Text.RegularExpressions;
using ModelPack.Compiler;
using ModelPack.Compiler.Calibration;
using ModelPack.Structures;

namespace ModelPack.Passes;

/// <summary>
/// Gives linear layers a form with fewer parameters:
/// <code>
/// MatMul b [K, N]  bf16  ->  permuted(perm=1x0) > pivotrank(rank=96) > { u8; bf16; bf16 }
///                            permuted(perm=1x0) > lowrank(rank=96) > { bf16; bf16 }
///                            permuted(perm=1x0) > mpo(columns=16x16,ranks=64,rows=16x48) > { bf16; bf16 }
///                            permuted(perm=1x0) > sum > { lowrank(rank=16) > bf16; int4(block=32) }
/// Conv w [O, I, kH, kW]  ->  reshaped > tucker2(inputs=16,outputs=24) > { bf16; bf16; bf16 }
/// </code>
/// With calibration data layers are decomposed in the order of the graph, each on the inputs that the layers before it now give, towards the outputs of the model as it was. For two factors the best weight of a rank is known in closed
/// form (reduced-rank regression: the truncated SVD of the whitened least-squares solution); cores of tensor trains are improved by alternating least squares.
/// </summary>
internal sealed partial class DecomposePass(PassOptions options, TensorRules rules) : IPass, ICalibratedPass
{
    private readonly TensorSelection _selection = new(options, rules);

    public string Name => "decompose";

    public Phase Requires => Phase.Canonical;

    public Phase Ensures => Phase.Canonical;

    public IReadOnlyList<CalibrationTap> Taps(Model model)
    {
        if (model.Kind != ModelKind.Onnx)
        {
            return [];
        }

        IReadOnlyList<CalibrationTap> linear = LinearInputs.Of(model, secondMoments: true);
        if (options.Text("convolutions") == "keep")
        {
            return linear;
        }

        var usage = new GraphUsage(new GraphIndex(model.Graph));
        IEnumerable<WeightUsage> convolutions = model.Graph.Initializers.Where(t => t.Shape.Rank > 2 && t.DType.IsFloat()).Select(usage.Of).Where(u => u is { Refusal: null, Activation: not null, Patches: not null, Groups: 1 });
        return [.. linear, .. convolutions.SelectMany(u => ConvolutionInputs.Taps(u, 0, Positions, drift: false)).DistinctBy(t => t.Key)];
    }

    private int Positions => (int)options.Integer("positions");

    public Model Run(Model model, PassContext context)
    {
        GraphUsage? usage = model.Kind == ModelKind.Onnx ? new GraphUsage(new GraphIndex(model.Graph)) : null;
        bool calibrated = context.Calibrator is not null && model.Kind == ModelKind.Onnx;
        bool measured = calibrated && options.Text("allocation") == "sensitivity";
        Layer[] layers = [.. model.Graph.Initializers.Select(t => Plan(t, usage, context)).OfType<Layer>()];
        layers = Exclude(Share(layers), options.Text("exclusions") switch { "none" => false, "paper" => true, _ => !measured }, context);
        if (!layers.Any(l => l.IsFree))
        {
            context.Report(DiagnosticSeverity.Warning, "no linear layer is left to decompose");
            return model;
        }

        if (context.PlanOnly)
        {
            return model;
        }

        bool corrects = options.Flag("bias_correction") && calibrated && !options.Flag("heal");
        if (options.Flag("bias_correction") && !corrects)
        {
            context.Report(DiagnosticSeverity.Warning, "'bias_correction' needs calibration data and 'heal' off: healed layers make up for the means of those before them already");
        }

        Dictionary<string, Tensor> made = calibrated ? DecomposeCalibrated(model, layers, context) : DecomposeAlone(layers, context);
        context.Measure("tensors_decomposed", made.Values.Count(IsDecomposed));
        if (made.Count == 0)
        {
            return model;
        }

        Model changed = model with { Graph = model.Graph with { Initializers = [.. model.Graph.Initializers.Select(t => made.GetValueOrDefault(t.Name, t))] } };
        SparseWeight.WarnOfLost(model, changed, "makes factors of them, which have no zeros", context);
        return corrects ? BiasCorrection.Apply(changed, Corrections(model, layers, made, context), context) : changed;
    }

    /// <summary>What is to be done with a tensor; null: nothing, and the reason is reported where it is one of the options.</summary>
    /// <exception cref="ModelPackException">MP2243: its rank is more than it can have.</exception>
    private Layer? Plan(Tensor tensor, GraphUsage? graphUsage, PassContext context)
    {
        context.Cancellation.ThrowIfCancellationRequested();
        bool filters = tensor.Shape.Rank > 2 && options.Text("convolutions") != "keep";
        if (!(tensor.Shape.Rank == 2 || filters) || tensor.DType is not (DType.F32 or DType.F16 or DType.BF16) || !Structured.IsRaw(tensor.Encoding, out DType stored) || !stored.IsFloat() || tensor.Shape.ElementCount == 0)
        {
            return null;
        }

        TensorDecision decision = rules.For(tensor.Name, options);
        PassOptions chosen = decision.Options;
        WeightUsage usage = graphUsage?.Of(tensor) ?? CheckpointUsage.Of(tensor);
        string? refusal = _selection.Refusal(tensor.Name, decision) is string named ? named
            : usage.Refusal is not null ? usage.Refusal
            : filters ? WhyNotFilters(tensor, usage)
            : usage.Layout is not (WeightLayout.Rows or WeightLayout.Columns) ? "it is no linear layer"
            : usage.Op == "Gather" ? (options.Text("embeddings") == "keep" ? "it is an embedding (option 'embeddings')" : null)
            : usage.Role == WeightRole.End && options.Text("ends") == "keep" ? "it is at an end of the network (option 'ends')"
            : null;
        refusal ??= tensor.Shape.ElementCount < Math.Max(1, chosen.Integer("min_elements")) ? "it is small (option 'min_elements')" : null;
        if (refusal is not null)
        {
            context.Report(DiagnosticSeverity.Info, $"not decomposed: {refusal}", tensor.Name);
            return null;
        }

        Shape matrix = WeightMatrix.Of(tensor, usage.Layout).Shape;
        string residual = chosen.Text("residual");
        string structure = filters ? options.Text("convolutions") : residual.Length > 0 ? LowRank.Id : chosen.Text("structure");

        // A sum of Kronecker products is a tensor train of two sites: its cores hold the left and the right factors.
        (structure, int sites) = structure == "kronecker" ? (MpoShape.Id, 2) : (structure, (int)chosen.Integer("sites"));
        var shape = new RankShape(structure, checked((int)matrix.Rows), checked((int)matrix.Columns), sites, filters ? checked((int)(matrix.Columns / tensor.Shape[1])) : 1);
        int rank = (int)chosen.Integer("rank");
        rank = rank == 0 && residual.Length > 0 && !filters ? Math.Max(1, shape.Full / 32) : rank;
        if (rank > shape.Full)
        {
            throw new ModelPackException(ErrorCodes.RankImpossible, $"option 'rank' is {rank}, but '{tensor.Name}' as {shape.Structure} of {matrix.Rows} x {matrix.Columns} has at most {shape.Full}", tensor: tensor.Name);
        }

        bool decided = rank > 0 || chosen.Integer("max_error_permille") > 0;
        return new Layer(tensor, usage, stored, shape, rank > 0 && shape.Parameters(rank) < shape.Dense ? [rank] : shape.Choices((int)chosen.Integer("rank_multiple")), decided, chosen);
    }

    /// <summary>Why a tensor of more than two axes stays as it is; null when it is a kernel that can be decomposed.</summary>
    private static string? WhyNotFilters(Tensor tensor, WeightUsage usage) =>
        usage.Layout != WeightLayout.Filters || usage.Patches is null ? "it is no convolution kernel"
        : usage.Groups > 1 ? "its channels are in groups"
        : tensor.Shape.ElementCount == tensor.Shape[0] * tensor.Shape[1] ? "its kernel has one element"
        : null;

    /// <summary>Layers of one input as one layer that stacks their rows, where factors are to be shared.</summary>
    private Layer[] Share(Layer[] layers)
    {
        if (options.Text("share") == "none")
        {
            return layers;
        }

        var shared = new List<Layer>();
        foreach (IGrouping<object, Layer> group in layers.GroupBy(l => l.Usage.Activation is string value && l.Shape.Structure == LowRank.Id && !l.IsDecided
            ? (object)(value, l.Shape.Columns, l.Stored) : l.Tensor.Name))
        {
            Layer first = group.First();
            Layer[] others = [.. group.Skip(1)];
            RankShape shape = first.Shape with { Rows = group.Sum(l => l.Shape.Rows) };
            shared.Add(others.Length == 0 ? first : first with { Below = others, Shape = shape, Ranks = shape.Choices((int)first.Chosen.Integer("rank_multiple")) });
        }

        return [.. shared];
    }

    /// <summary>Takes out what stays as it is, and counts it all the same.</summary>
    private static Layer[] Exclude(Layer[] layers, bool asInPaper, PassContext context)
    {
        int blocks = layers.Length == 0 ? 0 : layers.Max(l => Block(l.Tensor.Name)) + 1;
        for (int i = 0; i < layers.Length; i++)
        {
            Layer layer = layers[i];
            string? reason = layer.Ranks.Length == 0 ? string.Create(CultureInfo.InvariantCulture, $"as {layer.Shape.Structure} of {layer.Shape.Rows} x {layer.Shape.Columns} it would have no fewer parameters")
                : !asInPaper || layer.IsDecided ? null
                : layer.Tensor.Name.Contains("down_proj", StringComparison.Ordinal) ? "down projections are sensitive (option 'exclusions')"
                : Block(layer.Tensor.Name) >= 0 && Block(layer.Tensor.Name) < blocks / 4 ? "early layers are sensitive (option 'exclusions')"
                : null;
            if (reason is not null)
            {
                context.Report(DiagnosticSeverity.Info, $"not decomposed: {reason}", layer.Tensor.Name);
                layers[i] = layer with { Ranks = [] };
            }
        }

        return layers;
    }

    /// <summary>Number of the block that a name belongs to; -1 for none.</summary>
    private static int Block(string name) => BlockNumber().Match(name) is { Success: true } match ? int.Parse(match.Groups[1].ValueSpan, CultureInfo.InvariantCulture) : -1;

    [GeneratedRegex(@"(?:layers|blocks|block|h|layer)[._](\d{1,6})(?:[._]|$)")]
    private static partial Regex BlockNumber();

    private static bool IsDecomposed(Tensor tensor) => DecomposedMatrix.Of(tensor.Encoding) is not null || DecomposedMatrix.IsSum(tensor.Encoding);

    /// <summary>Without data: by the weights alone.</summary>
    private Dictionary<string, Tensor> DecomposeAlone(Layer[] layers, PassContext context)
    {
        int[] ranks = Uniform(layers, Budget(layers, 1), (l, choices) => Errors(l, null, choices, context));
        var made = new Dictionary<string, Tensor>(StringComparer.Ordinal);
        for (int i = 0; i < layers.Length; i++)
        {
            if (ranks[i] > 0 && layers[i].Read(context) is float[] weights)
            {
                using var moments = InputMoments.Of(null, layers[i].Shape.Columns, 0);
                using var whitening = new Whitening(moments, isIdentity: true, context.Threads, context.Cancellation);
                layers[i].Store(layers[i].Run(weights, moments, whitening, ranks[i], healed: false, context), ranks[i], made, context);
            }
        }

        ReportTotal(layers, ranks, context);
        return made;
    }

    /// <summary>Losses of a layer at its ranks; null when its weights are not finite.</summary>
    private static double[]? Errors(Layer layer, InputMoments? given, IReadOnlyList<int> ranks, PassContext context)
    {
        if (layer.Read(context) is not float[] weights)
        {
            return null;
        }

        using InputMoments? own = given is null ? InputMoments.Of(null, layer.Shape.Columns, 0) : null;
        using var whitening = new Whitening(given ?? own!, given is null || !layer.Chosen.Flag("whiten"), context.Threads, context.Cancellation);
        return layer.Decomposer(context, healed: false).Losses(weights, whitening, ranks);
    }

    /// <summary>Parameters that all layers may have together, some of the way to what is asked for.</summary>
    private long Budget(Layer[] layers, double part)
    {
        double whole = layers.Sum(l => (double)l.Shape.Dense);
        double bytes = layers.Sum(l => (double)l.Stored.StorageBytes(l.Shape.Dense));
        double share = options.Integer("max_bytes") > 0 ? Math.Min(1, options.Integer("max_bytes") / bytes) : options.Integer("parameters_percent") / 100.0;
        return (long)(whole * (1 - (part * (1 - share))));
    }

    /// <summary>Ranks by an equal share of the budget for all layers that are free to have one.</summary>
    /// <exception cref="ModelPackException">MP2244: the budget cannot be met.</exception>
    private static int[] Uniform(Layer[] layers, long budget, Func<Layer, IReadOnlyList<int>, double[]?> errors)
    {
        int[] ranks = [.. layers.Select(l => l.IsDecided && l.IsFree ? Decided(l, errors) : 0)];
        Layer[] free = [.. layers.Where(l => l.IsFree && !l.IsDecided)];
        if (free.Length == 0)
        {
            return ranks;
        }

        long whole = free.Sum(l => l.Shape.Dense);
        long others = layers.Select((l, i) => !l.IsFree || l.IsDecided ? l.Parameters(ranks[i]) : 0).Sum();
        double share = (double)(budget - others) / whole;
        for (int i = 0; i < layers.Length; i++)
        {
            if (layers[i].IsFree && !layers[i].IsDecided)
            {
                ranks[i] = layers[i].Ranks.LastOrDefault(r => layers[i].Shape.Parameters(r) <= share * layers[i].Shape.Dense, layers[i].Ranks[0]);
            }
        }

        CheckBudget(layers, ranks, budget);
        return ranks;
    }

    /// <summary>The rank that the options of a layer give it.</summary>
    private static int Decided(Layer layer, Func<Layer, IReadOnlyList<int>, double[]?> errors)
    {
        if (layer.Ranks.Length == 1 && layer.Ranks[0] == layer.Chosen.Integer("rank"))
        {
            return layer.Ranks[0];
        }

        double most = layer.Chosen.Integer("max_error_permille") / 1000.0;
        if (layer.Chosen.Integer("rank") > 0 || errors(layer, layer.Ranks) is not double[] losses)
        {
            return 0; // No fewer parameters, or weights that are no numbers.
        }

        int index = Array.FindIndex(losses, l => Math.Sqrt(l) <= most);
        return index < 0 ? 0 : layer.Ranks[index];
    }

    /// <exception cref="ModelPackException">MP2244.</exception>
    private static void CheckBudget(Layer[] layers, int[] ranks, long budget)
    {
        long total = layers.Select((l, i) => l.Parameters(ranks[i])).Sum();
        if (total > budget)
        {
            throw OverBudget(layers, budget, total);
        }
    }

    private static ModelPackException OverBudget(Layer[] layers, long budget, long total)
    {
        double whole = layers.Sum(l => (double)l.Shape.Dense);
        long closest = (long)Math.Ceiling(total / whole * layers.Sum(l => (double)l.Stored.StorageBytes(l.Shape.Dense)));
        return new ModelPackException(ErrorCodes.RankBudget, string.Create(
            CultureInfo.InvariantCulture, $"no choice of ranks leaves {100 * budget / whole:0.#} % of the parameters of the linear layers; the closest is {Math.Ceiling(1000 * total / whole) / 10:0.#} % ({closest} bytes): set option 'parameters_percent' or 'max_bytes', or exclude fewer layers"));
    }

    private static void ReportTotal(Layer[] layers, int[] ranks, PassContext context)
    {
        double whole = layers.Sum(l => (double)l.Shape.Dense);
        if (layers.Any(l => l.HasResidual))
        {
            return; // Every layer keeps all of its elements, in another number format.
        }

        long left = layers.Select((l, i) => l.Parameters(ranks[i])).Sum();
        long products = layers.Select((l, i) => ranks[i] > 0 ? l.Shape.Multiplications(ranks[i]) : l.Shape.Dense).Sum();
        context.Measure("parameters", left);
        context.Measure("parameters_share", left / whole);
        context.Report(DiagnosticSeverity.Info, string.Create(
            CultureInfo.InvariantCulture, $"{left / whole:0.0 %} of the {whole:0} parameters of {layers.Length} linear layers are left; factor by factor, {products / whole:0.0 %} of the multiplications"));
    }
}
