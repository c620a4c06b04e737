using System.Collections.Immutable;
using System.Globalization;
using System.Runtime.InteropServices;
using ModelPack.Compiler;
using ModelPack.Compiler.Calibration;
using ModelPack.Numbers;

namespace ModelPack.Passes;

/// <summary>
/// Sets weights of linear layers to zero and leaves them stored as they were; <c>detect-sparsity</c>, later, stores what is left:
/// <code>
/// MatMul b [K, N]  f32  ->  permuted(perm=1x0) > f32 over [N, K] with zeros  ->  permuted(perm=1x0) > blocksparse(block=32x32) > { u8; f32 }
/// </code>
/// With calibration data layers are pruned in the order of the graph, each on the inputs that the layers before it now give, towards the outputs of the model as it was; see <see cref="Pruner"/>.
/// </summary>
internal sealed partial class SparsifyPass(PassOptions options, TensorRules rules) : IPass, ICalibratedPass
{
    /// <summary>Share of blocks beyond which dropping them without data leaves nothing of most models.</summary>
    private const double MostBlocksWithoutData = 0.30;

    private readonly TensorSelection _selection = new(options, rules);
    private readonly ImmutableArray<string> _protected = options.Texts("protect");

    public string Name => "sparsify";

    public Phase Requires => Phase.Canonical;

    public Phase Ensures => Phase.Canonical;

    public IReadOnlyList<CalibrationTap> Taps(Model model) => model.Kind == ModelKind.Onnx ? LinearInputs.Of(model, secondMoments: true) : [];

    public Model Run(Model model, PassContext context)
    {
        GraphUsage? usage = model.Kind == ModelKind.Onnx ? new GraphUsage(new GraphIndex(model.Graph)) : null;
        Layer[] layers = [.. model.Graph.Initializers.Select(t => Plan(t, usage, context)).OfType<Layer>()];
        if (layers.Length == 0)
        {
            context.Report(DiagnosticSeverity.Warning, "no linear layer is left to prune");
            return model;
        }

        bool calibrated = context.Calibrator is not null && model.Kind == ModelKind.Onnx;
        if (!calibrated)
        {
            RefuseBlindBlocks(layers);
        }

        CheckMemory(layers, calibrated, context.MaxMemoryBytes);
        if (context.PlanOnly)
        {
            return model;
        }

        (model, layers) = Ordered(model, layers, context);
        Dictionary<string, Tensor> pruned = calibrated ? PruneCalibrated(model, layers, context) : layers.ToDictionary(l => l.Tensor.Name, l => PruneAlone(l, context), StringComparer.Ordinal);
        context.Measure("tensors_pruned", pruned.Count);
        return model with { Graph = model.Graph with { Initializers = [.. model.Graph.Initializers.Select(t => pruned.GetValueOrDefault(t.Name, t))] } };
    }

    /// <summary>What is to be done with a tensor; null: nothing, and the reason is reported where it is one of the options.</summary>
    private Layer? Plan(Tensor tensor, GraphUsage? graphUsage, PassContext context)
    {
        context.Cancellation.ThrowIfCancellationRequested();
        if (tensor.Shape.Rank != 2 || tensor.DType is not (DType.F32 or DType.F16 or DType.BF16) || !Structured.IsRaw(tensor.Encoding, out DType stored) || !stored.IsFloat())
        {
            return null;
        }

        TensorDecision decision = rules.For(tensor.Name, options);
        WeightUsage usage = graphUsage?.Of(tensor) ?? CheckpointUsage.Of(tensor);
        string? refusal = _selection.Refusal(tensor.Name, decision) is string named ? named
            : usage.Refusal is not null ? usage.Refusal
            : usage.Op == "Gather" ? "it is an embedding"
            : usage.Layout is not (WeightLayout.Rows or WeightLayout.Columns) ? "it is no linear layer"
            : tensor.Shape.ElementCount < Math.Max(1, decision.Options.Integer("min_elements")) ? "it is small (option 'min_elements')"
            : usage.Role == WeightRole.End && options.Text("ends") == "keep" ? "it is at an end of the network (option 'ends')"
            : _protected.Any(p => Glob.IsMatch(p, tensor.Name)) ? "option 'protect' names it"
            : null;
        if (refusal is not null)
        {
            context.Report(DiagnosticSeverity.Info, $"not pruned: {refusal}", tensor.Name);
            return null;
        }

        PassOptions chosen = decision.Options;
        SparsePattern pattern = SparsePattern.Parse(chosen.Text("structure"));
        double sparsity = pattern.Of > 0 ? pattern.OwnSparsity : chosen.Integer("sparsity_percent") / 100.0;
        return new Layer(tensor, usage, stored, pattern, sparsity, chosen);
    }

    /// <exception cref="ModelPackException">MP2241: many blocks would be dropped blindly.</exception>
    private void RefuseBlindBlocks(Layer[] layers)
    {
        if (!options.Flag("force") && layers.FirstOrDefault(l => l.Pattern.IsBlocks && l.Sparsity > MostBlocksWithoutData) is Layer bad)
        {
            throw new ModelPackException(
                ErrorCodes.BlocksWithoutData,
                string.Create(CultureInfo.InvariantCulture, $"dropping {bad.Sparsity:0 %} of the {bad.Pattern.Rows}x{bad.Pattern.Columns} blocks without calibration data ruins most models (30 % took the sample model from perplexity 39 to 95, 50 % to 520): give --calibration, smaller blocks or option 'force'"),
                tensor: bad.Tensor.Name);
        }
    }

    /// <summary>Layers are pruned one at a time, each whole, because the least of all its weights go first.</summary>
    /// <exception cref="ModelPackException">MP2242: one of them does not fit.</exception>
    private static void CheckMemory(Layer[] layers, bool calibrated, long limitBytes)
    {
        foreach (Layer layer in layers)
        {
            Shape shape = WeightMatrix.Of(layer.Tensor, layer.Usage.Layout).Shape;
            long needed = Pruner.Bytes(layer.Pattern, shape.Rows, shape.Columns, calibrated);
            if (needed > limitBytes)
            {
                throw new ModelPackException(
                    ErrorCodes.PruningMemory,
                    $"pruning {shape} takes {needed} bytes of memory, more than --max-memory {limitBytes}: give more, or leave the layer out (option 'exclude')",
                    tensor: layer.Tensor.Name);
            }
        }
    }

    /// <summary>By magnitude, without data.</summary>
    private static Tensor PruneAlone(Layer layer, PassContext context)
    {
        (float[] weights, int rows, int columns) = layer.Read(context);
        using var moments = InputMoments.Of(null, columns, 0);
        var pruner = new Pruner(layer.Options(calibrated: false), context.Threads, context.Cancellation);
        return layer.Store(pruner.Run(weights, rows, moments, layer.Sparsity), context);
    }

    /// <summary>A weight that is to be pruned.</summary>
    private sealed record Layer(Tensor Tensor, WeightUsage Usage, DType Stored, SparsePattern Pattern, double Sparsity, PassOptions Chosen)
    {
        /// <summary>The axis of the tensor along which its inputs lie.</summary>
        public int InputAxis => Usage.Layout == WeightLayout.Columns ? 0 : 1;

        public double Damping => Chosen.Integer("damping_permille") / 1000.0;

        /// <summary>How to prune.</summary>
        /// <param name="calibrated">False without second moments.</param>
        public PruneOptions Options(bool calibrated) => calibrated
            ? new PruneOptions(Pattern, Chosen.Text("score") switch { "magnitude" => PruneScore.Magnitude, "wanda" => PruneScore.Wanda, _ => PruneScore.SecondOrder }, (int)Chosen.Integer("steps"), (int)Chosen.Integer("regrow"), Chosen.Flag("reconstruct"))
            : new PruneOptions(Pattern, PruneScore.Magnitude, 1, 0, false);

        /// <summary>The matrix [N, K].</summary>
        public (float[] Weights, int Rows, int Columns) Read(PassContext context)
        {
            IValueReader reader = context.OpenValues(WeightMatrix.Of(Tensor, Usage.Layout));
            int rows = checked((int)reader.Shape.Rows);
            float[] weights = new float[checked(rows * (int)reader.Shape.Columns)];
            reader.ReadRows(0, rows, weights);
            return (weights, rows, (int)reader.Shape.Columns);
        }

        /// <summary>The tensor with pruned values, in the type it was stored in.</summary>
        public Tensor Store(PrunedWeight pruned, PassContext context)
        {
            byte[] bytes = new byte[Stored.StorageBytes(pruned.Values.Length)];
            if (Stored is DType.F16 or DType.BF16)
            {
                NarrowFloats.Round(pruned.Values, Stored, bytes);
            }
            else
            {
                MemoryMarshal.AsBytes(pruned.Values.AsSpan()).CopyTo(bytes);
            }

            context.Measure("sparsity", pruned.Sparsity, Tensor.Name);
            context.Measure("output_loss", pruned.Loss, Tensor.Name);
            Shape shape = WeightMatrix.Of(Tensor, Usage.Layout).Shape;
            return Tensor with { Encoding = WeightMatrix.Wrap(Tensor, Usage.Layout, DenseEncoding.Raw(Stored, shape, context.Keep(bytes))) };
        }
    }
}
