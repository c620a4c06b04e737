using System.Globalization;
using ModelPack.Compiler;
using ModelPack.Compiler.Calibration;

namespace ModelPack.Passes;

/// <summary>Weights whose codes or scales depend on calibration data.</summary>
internal sealed partial class QuantizePass
{
    private readonly bool _sequential = options.Flag("sequential");
    private readonly bool _followFloat = options.Flag("follow_float");
    private readonly int _positions = (int)options.Integer("positions");

    /// <summary>The inputs of all linear layers, and of the convolutions whose weights are chosen on calibration data.</summary>
    public IReadOnlyList<CalibrationTap> Taps(Model model)
    {
        if (model.Kind != ModelKind.Onnx)
        {
            return [];
        }

        model = SparseWeight.Expand(model);
        var usage = new GraphUsage(new GraphIndex(model.Graph));
        IEnumerable<CalibrationTap> convolutions = model.Graph.Initializers.Select(t => MakePlan(t, usage))
            .Where(p => p is { Format: not null, Calibrated: not null, Usage.Patches: not null, Usage.Activation: not null }).SelectMany(p => ConvolutionInputs.Taps(p.Usage, 0, _positions, drift: false));
        return [.. LinearInputs.Of(model, secondMoments: true).Concat(convolutions).DistinctBy(t => t.Key, StringComparer.Ordinal)];
    }

    /// <summary>How a weight is encoded with calibration data, or null when it is not. Rows of an embedding are looked up one at a time: the nearest values are the best ones.</summary>
    private static CalibratedChoice? Calibration(WeightUsage usage, PassOptions chosen)
    {
        IWeightAlgorithm algorithm = WeightAlgorithms.Get(chosen.Text("algorithm"));
        ScaleChoice scales = Scales(chosen);
        int rounds = (int)chosen.Integer("refine");
        return usage.Op == "Gather" || !(scales == ScaleChoice.Output || rounds > 0 || algorithm.NeedsSecondMoments)
            ? null
            : new CalibratedChoice(algorithm, scales, rounds, new AlgorithmOptions(chosen.Flag("activation_order"), chosen.Integer("damping_permille") / 1000.0), chosen.Integer("min_vectors"));
    }

    private static ScaleChoice Scales(PassOptions chosen) => chosen.Text("scales") switch
    {
        "output" => ScaleChoice.Output,
        "mse" => ScaleChoice.Squares,
        "hqq" => ScaleChoice.Robust,
        _ => ScaleChoice.Encoder,
    };

    /// <summary>
    /// Encodes the calibrated weights, those of one input after the other in the order of the graph, so that only one factorisation is in memory at a time and, with <c>sequential</c>, every layer sees what the
    /// layers before it became.
    /// </summary>
    /// <exception cref="ModelPackException">MP2210: there are no calibration data. MP2216, MP2217, and what running the model reports.</exception>
    private void EncodeCalibrated(Model model, Plan[] plans, int[] leaders, Tensor[] results, PassContext context)
    {
        int[] chosen = [.. Enumerable.Range(0, plans.Length).Where(i => leaders[i] == i && plans[i].Format is not null && plans[i].Calibrated is not null)];
        if (chosen.Length == 0)
        {
            return;
        }

        ICalibrator calibrator = context.Calibrator ?? throw new ModelPackException(
            ErrorCodes.CalibrationMissing, $"algorithm '{plans[chosen[0]].Calibrated!.Algorithm.Name}' needs calibration data: give a token file or a folder of .npy inputs with --calibration");
        if (model.Kind != ModelKind.Onnx)
        {
            throw new ModelPackException(ErrorCodes.CalibrationNeedsGraph, "a checkpoint has no graph that could be run on calibration data: compile the model as .onnx, or choose a recipe without calibration");
        }

        var index = new GraphIndex(model.Graph);
        foreach (int i in chosen.Where(i => plans[i].Usage.Activation is null))
        {
            RoundToNearest(i, plans, results, "its input is not one value of the main graph, or its blocks run across that input (option 'axis')", context);
        }

        IGrouping<(string Value, ConvolutionPatches? Patches, int Groups), int>[] inputs =
        [
            .. chosen.Where(i => plans[i].Usage.Activation is not null).GroupBy(i => (Value: plans[i].Usage.Activation!, plans[i].Usage.Patches, plans[i].Usage.Groups))
                .OrderBy(g => index.ProducerIndex(g.Key.Value)).ThenBy(g => g.Key.Value, StringComparer.Ordinal).ThenBy(g => g.Key.Patches?.ToString(), StringComparer.Ordinal),
        ];
        bool sequential = _sequential && calibrator.CanRun;
        bool follow = sequential && _followFloat;
        CalibrationTap[][] taps = [.. inputs.Select(g => ConvolutionInputs.Taps(plans[g.First()].Usage, WeightMatrix.Of(results[g.First()], plans[g.First()].Usage.Layout).Shape.Columns, _positions, follow))];
        if (_sequential && !sequential)
        {
            context.Report(DiagnosticSeverity.Info, "statistics were given instead of data: all are of the float model, as with option 'sequential' off");
        }

        using ICalibrationRun? run = sequential && inputs.Length > 0 ? calibrator.Begin(model, follow) : null;
        using ICalibrationStatistics? all = sequential || inputs.Length == 0 ? null : calibrator.Collect(model, [.. taps.SelectMany(t => t)]);

        // What is rounded to nearest is seen by the layers after it as well.
        Dictionary<string, Tensor> replaced = results.Where((tensor, i) => !ReferenceEquals(tensor, model.Graph.Initializers[i])).ToDictionary(t => t.Name, StringComparer.Ordinal);
        for (int g = 0; g < inputs.Length; g++)
        {
            context.Cancellation.ThrowIfCancellationRequested();
            using ICalibrationStatistics? step = run?.Advance(taps[g], replaced);
            replaced.Clear();
            EncodeWeightsOf([.. inputs[g]], [.. taps[g].Select(t => (step ?? all!)[t.Key])], plans, results, context);
            foreach (int i in inputs[g])
            {
                replaced[results[i].Name] = results[i];
            }

            context.Progress?.Invoke("quantize", g + 1, inputs.Length, results[inputs[g].First()].Name);
        }
    }

    /// <summary>Encodes all weights that read one input.</summary>
    /// <param name="tensors">The weights.</param>
    /// <param name="statistics">Of the input; of each group of a convolution.</param>
    /// <param name="plans">By weight.</param>
    /// <param name="results">By weight; replaced.</param>
    /// <param name="context">Threads, memory and reports.</param>
    private static void EncodeWeightsOf(int[] tensors, ActivationStatistics[] statistics, Plan[] plans, Tensor[] results, PassContext context)
    {
        long rows = statistics[0].Rows;
        context.Measure("calibration_vectors", rows);
        foreach (IGrouping<CalibratedChoice, int> alike in tensors.GroupBy(i => plans[i].Calibrated!))
        {
            CalibratedChoice choice = alike.Key;
            if (rows < choice.MinVectors)
            {
                foreach (int i in alike)
                {
                    RoundToNearest(i, plans, results, string.Create(CultureInfo.InvariantCulture, $"the calibration data gave it {rows} vectors, fewer than {choice.MinVectors}"), context);
                }

                continue;
            }

            using var groups = new RowGroups(statistics, choice.Algorithm, choice.Options, choice.Rounds, context);
            if (groups.Unused > 0)
            {
                context.Report(DiagnosticSeverity.Info, $"{groups.Unused} of {statistics.Length} groups are rounded to nearest: their inputs are 0 for all calibration data", results[alike.First()].Name);
            }

            foreach (int i in alike)
            {
                try
                {
                    Tensor tensor = results[i];
                    WeightEncoding source = WeightMatrix.Of(tensor, plans[i].Usage.Layout);
                    UnitSpec spec = Complete(plans[i], choice.Scales == ScaleChoice.Encoder ? plans[i].Format! : WithoutSearch(plans[i].Format!), source, context);
                    EncodedWeight encoded = WeightEncoder.Encode(source, spec, groups.All, choice.Scales, context);
                    results[i] = tensor with { Encoding = WeightMatrix.Wrap(tensor, plans[i].Usage.Layout, encoded.Encoding) };
                    context.Measure("relative_error", encoded.RelativeError, tensor.Name);
                    context.Measure("output_loss", encoded.Loss, tensor.Name);
                }
                catch (ModelPackException e) when (e.Code == ErrorCodes.UnrepresentableValue)
                {
                    plans[i] = plans[i] with { Format = null, Failure = e };
                }
            }
        }
    }

    /// <summary>What is done with a weight that calibration cannot help.</summary>
    private static void RoundToNearest(int i, Plan[] plans, Tensor[] results, string reason, PassContext context)
    {
        context.Report(DiagnosticSeverity.Warning, $"rounded to nearest: {reason}", results[i].Name);
        results[i] = Apply(results[i], plans[i], plans[i].Format!, context);
    }

    /// <summary>The search of the pass replaces that of the encoder.</summary>
    private static UnitSpec WithoutSearch(UnitSpec format) => format.Text("search", "") == "mse" ? format.With("search", "none") : format;

    /// <summary>How a weight is encoded with calibration data.</summary>
    /// <param name="Algorithm">How codes are chosen.</param>
    /// <param name="Scales">How scales are chosen.</param>
    /// <param name="Rounds">Rounds of refinement; 0 for none.</param>
    /// <param name="Options">Of the algorithm.</param>
    /// <param name="MinVectors">Fewer vectors are too few.</param>
    private sealed record CalibratedChoice(IWeightAlgorithm Algorithm, ScaleChoice Scales, int Rounds, AlgorithmOptions Options, long MinVectors);
}
