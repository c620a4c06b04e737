using System.Globalization;
using System.Runtime.InteropServices;
using ModelPack.Compiler;
using ModelPack.Compiler.Calibration;

namespace ModelPack.Passes;

/// <summary>
/// Contextual sparsity of gated perceptrons: activations whose absolute value is at most a threshold become 0, so that kernels may leave out their neurons.
/// <code>
/// a = f(x G)   h = Mul(a, x U)   y = h D    ->    a = f(x G)   s = Shrink(a, lambd=threshold)   h = Mul(s, x U)   y = h D
/// </code>
/// Thresholds come from calibration data, one per perceptron. Neurons are ordered by how often they count: columns of G and U, rows of D (exact), and D is stored neuron by neuron.
/// </summary>
/// <remarks>CATS (Lee et al., arXiv 2404.08763): the threshold is the quantile of |f(x G)| on samples. Thresholds here follow what those of the layers before do to their inputs.</remarks>
internal sealed class ActivationSparsityPass(PassOptions options, TensorRules rules) : IPass, ICalibratedPass
{
    /// <summary>Rounds end when all shares are this near to what is wanted.</summary>
    private const double Near = 0.002;

    private readonly TensorSelection _selection = new(options, rules);
    private readonly double _target = options.Integer("target_percent") / 100.0;

    public string Name => "activation-sparsity";

    public Phase Requires => Phase.Canonical;

    public Phase Ensures => Phase.Canonical;

    public IReadOnlyList<CalibrationTap> Taps(Model model) => model.Kind == ModelKind.Onnx ? [.. Find(model, null).Select(p => Tap(p.Activated, p.Neurons))] : [];

    public Model Run(Model model, PassContext context)
    {
        context.Cancellation.ThrowIfCancellationRequested();
        if (model.Kind != ModelKind.Onnx)
        {
            return model.Graph.Initializers.IsEmpty ? model
                : throw new ModelPackException(ErrorCodes.CalibrationNeedsGraph, "a checkpoint has no graph whose activations could be set to zero: compile the model as .onnx, or take the pass 'activation-sparsity' out of the recipe");
        }

        Perceptron[] found = Find(model, context);
        if (found.Length == 0)
        {
            context.Report(DiagnosticSeverity.Warning, "no gated perceptron of plain weights is left");
            return model;
        }

        if (context.PlanOnly && context.Calibrator is null)
        {
            return model;
        }

        ICalibrator calibrator = context.Calibrator ?? throw new ModelPackException(
            ErrorCodes.CalibrationMissing, "thresholds of activations need calibration data: give a token file, a folder of .npy inputs or statistics of 'modelpack calibrate' with --calibration");
        found = FirstThresholds(model, found, calibrator, context);
        if (found.Length == 0)
        {
            return model;
        }

        if (calibrator.CanRun)
        {
            if (!Follow(model, found, calibrator, context))
            {
                return model;
            }
        }
        else if (options.Flag("order"))
        {
            context.Report(DiagnosticSeverity.Info, "there are statistics only and no data to run: neurons keep their order, and thresholds are those of the model without any");
        }

        return Rewrite(model, found, context);
    }

    /// <summary>Perceptrons that may be changed.</summary>
    private Perceptron[] Find(Model model, PassContext? context)
    {
        var index = new GraphIndex(model.Graph);
        var result = new List<Perceptron>();
        foreach (GatedPerceptron p in GatedPerceptron.Find(index))
        {
            Tensor down = index.Constant(model.Graph.Nodes[p.DownProduct].Input(1))!;
            string? refusal = _selection.Refusal(down.Name) ?? (p.Threshold > 0 ? "its activations have a threshold already" : null);
            if (refusal is not null)
            {
                context?.Report(DiagnosticSeverity.Info, $"its activations stay as they are: {refusal}", down.Name);
                continue;
            }

            Tensor up = index.Constant(model.Graph.Nodes[p.UpProduct].Input(1))!;
            Tensor? gate = p.GateProduct < 0 ? null : index.Constant(model.Graph.Nodes[p.GateProduct].Input(1));
            bool alone = new[] { gate, up, down }.All(t => t is not null && ChannelOrder.CanApply(t, ReferenceEquals(t, down) ? 0 : 1) && index.Uses(t.Name).Count == 1 && !index.IsOutput(t.Name));
            bool gateAlone = index.Uses(p.Gate).Select(u => u.NodeIndex).All(p.Between.Contains);
            result.Add(new Perceptron(p, gate, up, down, checked((int)down.Shape[0]), alone && gateAlone));
        }

        return [.. result];
    }

    private Perceptron[] FirstThresholds(Model model, Perceptron[] found, ICalibrator calibrator, PassContext context)
    {
        using ICalibrationStatistics all = calibrator.Collect(model, [.. found.Select(p => Tap(p.Activated, p.Neurons))]);
        var kept = new List<Perceptron>();
        foreach (Perceptron p in found)
        {
            ActivationStatistics statistics = all[p.Activated];
            context.Measure("calibration_vectors", statistics.Rows, p.Down.Name);
            if (statistics.Rows < options.Integer("min_vectors"))
            {
                context.Report(DiagnosticSeverity.Warning, string.Create(CultureInfo.InvariantCulture, $"its activations stay as they are: the calibration data gave it {statistics.Rows} vectors"), p.Down.Name);
                continue;
            }

            kept.Add(p with { Threshold = new ActivationThreshold(statistics.Histogram, _target) });
        }

        return [.. kept];
    }

    /// <summary>Measures what the thresholds do, lets them follow, orders the neurons. False when the loss is too large.</summary>
    private bool Follow(Model model, Perceptron[] found, ICalibrator calibrator, PassContext context)
    {
        for (int round = 0; ; round++)
        {
            Model masked = Masked(model, found);
            using ICalibrationStatistics all = calibrator.Collect(masked, [.. found.Select(p => Tap(MaskName(p), p.Neurons))]);
            double worst = 0;
            foreach (Perceptron p in found)
            {
                ActivationStatistics mask = all[MaskName(p)];
                double sum = 0;
                foreach (double s in mask.Sums)
                {
                    sum += s;
                }

                if (p.Threshold!.Measured(1 - (sum / ((double)mask.Rows * p.Neurons))))
                {
                    p.Counts = mask.Sums.ToArray();
                }

                worst = Math.Max(worst, Math.Abs(p.Threshold.Share - _target));
            }

            context.Progress?.Invoke("activation-sparsity", round + 1, options.Integer("rounds") + 1, null);
            if (worst <= Near || round >= options.Integer("rounds"))
            {
                break;
            }
        }

        double limit = options.Integer("max_loss_permille") / 1000.0;
        if (Loss(model, found, calibrator) is not (double loss, bool words))
        {
            if (limit > 0)
            {
                context.Report(DiagnosticSeverity.Warning, "the perceptrons are too small for their loss to be measured: 'max_loss_permille' is not heeded");
            }

            return true;
        }

        context.Measure("loss", loss);
        string said = string.Create(CultureInfo.InvariantCulture, $"{_target:0 %} of the activations of {found.Length} perceptrons set to zero: loss {loss:0.0000}{(words ? " nats per token on the calibration data" : " of the outputs' power on the calibration data")}");
        if (limit > 0 && loss > limit)
        {
            context.Report(DiagnosticSeverity.Warning, $"{said}, more than 'max_loss_permille' allows: they stay as they are");
            return false;
        }

        context.Report(DiagnosticSeverity.Warning, said);
        return true;
    }

    /// <summary>What the outputs lose; null where thresholds cannot be replaced one by one.</summary>
    private static (double Loss, bool Words)? Loss(Model model, Perceptron[] found, ICalibrator calibrator)
    {
        // Weights of less than a kibibyte are part of the graph that a probe runs.
        const int leastNeurons = 256;
        if (found.Any(p => p.Neurons < leastNeurons))
        {
            return null;
        }

        using ILossProbe? probe = calibrator.Probe(Masked(model, found, zero: true));
        return probe is null ? null : (probe.Measure(found.ToDictionary(p => ThresholdName(p), p => Thresholds(p, p.Threshold!.Value), StringComparer.Ordinal)), probe.IsLanguageModel);
    }

    /// <summary>The model with activations multiplied by 0 or 1, so that both the masks and what they lead to can be measured.</summary>
    private static Model Masked(Model model, Perceptron[] found, bool zero = false)
    {
        var editor = new GraphEditor(model.Graph);
        foreach (Perceptron p in found)
        {
            editor.AddInitializer(Thresholds(p, zero ? 0 : p.Threshold!.Next));
            string size = p.Activated + "_abs";
            string above = p.Activated + "_above";
            string kept = p.Activated + "_kept";
            editor.ReplaceNode(
                p.Found.Product,
                new Node { OpType = "Abs", Inputs = [p.Activated], Outputs = [size] },
                new Node { OpType = "Greater", Inputs = [size, ThresholdName(p)], Outputs = [above] },
                // To f32.
                new Node { OpType = "Cast", Inputs = [above], Outputs = [MaskName(p)], Attributes = [new NodeAttribute("to", new AttributeValue.Int(1))] },
                new Node { OpType = "Mul", Inputs = [p.Activated, MaskName(p)], Outputs = [kept] },
                Reading(model.Graph.Nodes[p.Found.Product], p.Activated, kept));
        }

        return model with { Graph = editor.Build() };
    }

    private Model Rewrite(Model model, Perceptron[] found, PassContext context)
    {
        const long shrinkOpset = 9;
        if (OpsetUpgrade.Apply(model, Math.Max(shrinkOpset, model.Opsets.GetValueOrDefault("", 1)), out string obstacle) is not Model upgraded)
        {
            context.Report(DiagnosticSeverity.Warning, $"activations stay as they are: Shrink needs operator set {shrinkOpset}, to which {obstacle} cannot be brought");
            return model;
        }

        var editor = new GraphEditor(upgraded.Graph);
        foreach (Perceptron p in found)
        {
            string kept = editor.UniqueName(p.Activated + "_kept");
            editor.ReplaceNode(
                p.Found.Product,
                new Node { OpType = "Shrink", Inputs = [p.Activated], Outputs = [kept], Attributes = [new NodeAttribute("lambd", new AttributeValue.Float(p.Threshold!.Value)), new NodeAttribute("bias", new AttributeValue.Float(0))] },
                Reading(upgraded.Graph.Nodes[p.Found.Product], p.Activated, kept));
            context.Measure("threshold", p.Threshold.Value, p.Down.Name);
            if (p.Counts is not null)
            {
                context.Measure("activation_sparsity", p.Threshold.Share, p.Down.Name);
                context.Report(DiagnosticSeverity.Info, string.Create(CultureInfo.InvariantCulture, $"threshold {p.Threshold.Value:R} sets {p.Threshold.Share:0.0 %} of its activations to zero on the calibration data"), p.Down.Name);
            }

            if (options.Flag("order") && p.Counts is not null)
            {
                if (p.CanOrder)
                {
                    Order(editor, p, context);
                }
                else
                {
                    context.Report(DiagnosticSeverity.Info, "its neurons keep their order: a weight or the gate has other readers, or is no plain matrix", p.Down.Name);
                }
            }
        }

        context.Measure("perceptrons", found.Length);
        return upgraded with { Graph = editor.Build() };
    }

    /// <summary>Neurons that count most often come first; of those that count equally often, the one that came first.</summary>
    private static void Order(GraphEditor editor, Perceptron p, PassContext context)
    {
        int[] order = [.. Enumerable.Range(0, p.Neurons).OrderByDescending(i => p.Counts![i]).ThenBy(i => i)];
        foreach (Tensor columns in new[] { p.Gate!, p.Up })
        {
            editor.ReplaceInitializer(columns.Name, columns with { Encoding = Structured.Transpose(RowByRow(Structured.Transpose(ChannelOrder.Apply(columns, 1, order).Encoding), context)) });
        }

        editor.ReplaceInitializer(p.Down.Name, p.Down with { Encoding = RowByRow(ChannelOrder.Apply(p.Down, 0, order).Encoding, context) });
    }

    /// <summary>A plain matrix stored row by row.</summary>
    private static DenseEncoding RowByRow(WeightEncoding matrix, PassContext context)
    {
        _ = Structured.IsRaw(matrix, out DType stored);
        IValueReader reader = context.OpenValues(matrix);
        int rows = checked((int)matrix.Shape[0]);
        int columns = checked((int)matrix.Shape[1]);
        float[] row = new float[columns];
        long rowBytes = stored.StorageBytes(columns);
        byte[] bytes = new byte[checked(rows * rowBytes)];
        for (int i = 0; i < rows; i++)
        {
            context.Cancellation.ThrowIfCancellationRequested();
            reader.ReadRows(i, 1, row);
            Span<byte> to = bytes.AsSpan(checked((int)(i * rowBytes)), (int)rowBytes);
            if (stored is DType.F16 or DType.BF16)
            {
                Numbers.NarrowFloats.Round(row, stored, to);
            }
            else
            {
                MemoryMarshal.AsBytes(row.AsSpan()).CopyTo(to);
            }
        }

        return DenseEncoding.Raw(stored, matrix.Shape, context.Keep(bytes));
    }

    private static Node Reading(Node node, string value, string instead) => node with { Inputs = [.. node.Inputs.Select(i => i == value ? instead : i)] };

    private static CalibrationTap Tap(string value, int columns) => new(value, columns, SecondMoments: false);

    private static string MaskName(Perceptron p) => p.Activated + "_mask";

    private static string ThresholdName(Perceptron p) => p.Activated + "_threshold";

    private static Tensor Thresholds(Perceptron p, float value)
    {
        float[] values = new float[p.Neurons];
        values.AsSpan().Fill(value);
        return Tensor.Raw(ThresholdName(p), DType.F32, new Shape(p.Neurons), TensorData.FromBytes(MemoryMarshal.AsBytes(values.AsSpan()).ToArray()));
    }

    /// <summary>A perceptron and what becomes of it.</summary>
    /// <param name="Found">Where it is.</param>
    /// <param name="Gate">G [inputs, neurons]; null where g is no such product.</param>
    /// <param name="Up">U [inputs, neurons].</param>
    /// <param name="Down">D [neurons, outputs].</param>
    /// <param name="Neurons">Their number.</param>
    /// <param name="CanOrder">True when nothing else depends on the order of the neurons.</param>
    private sealed record Perceptron(GatedPerceptron Found, Tensor? Gate, Tensor Up, Tensor Down, int Neurons, bool CanOrder)
    {
        public string Activated => Found.Activated;

        public ActivationThreshold? Threshold { get; init; }

        /// <summary>[neurons] how often each counted with the threshold; null until it was measured.</summary>
        public double[]? Counts { get; set; }
    }
}
