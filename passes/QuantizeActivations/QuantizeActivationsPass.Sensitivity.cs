using System.Globalization;
using ModelPack.Compiler;
using ModelPack.Compiler.Calibration;

namespace ModelPack.Passes;

/// <summary>Which nodes lose too much, and what is said about it.</summary>
internal sealed partial class QuantizeActivationsPass
{
    /// <summary>Ten times the decimal logarithm of e.</summary>
    private const double DecibelsPerNeper = 4.3429448190325182;

    /// <summary>Choices of nodes that are measured as a whole.</summary>
    private const int MostAttempts = 8;

    /// <summary>By how much the sum of noises shrinks at least from one choice to the next.</summary>
    private const double LeastShrinking = 0.8;

    /// <summary>Nodes that a warning names.</summary>
    private const int Listed = 5;

    /// <summary>
    /// Measures every unit on what the float model gives it: units below the threshold are taken out, and the mean error of each channel becomes part of the bias of the others (bias correction; Nagel et al.,
    /// "Data-Free Quantization Through Weight Equalization and Bias Correction", 2019, section 4.2, on measured means).
    /// </summary>
    private QuantizationPlan Measured(
        Model model, QuantizableNetwork network, GraphIndex index, QuantizationPlan plan, ActivationStatisticsSet statistics, ICalibrator calibrator, Dictionary<QuantizableUnit, string> floats, PassContext context)
    {
        (Model shadow, IReadOnlyList<ShadowGraph.Measure> measures) = ShadowGraph.Build(model, plan, network.Floors());
        using ICalibrationStatistics measured = calibrator.Collect(shadow, [.. measures.SelectMany(m => new[] { m.Signal, m.Noise }).DistinctBy(t => t.Value, StringComparer.Ordinal)]);
        int before = floats.Count;
        var corrections = new Dictionary<string, float[]>(StringComparer.Ordinal);
        foreach (ShadowGraph.Measure m in measures)
        {
            ActivationStatistics noise = measured[m.Noise.Value];
            bool corrects = _correct && m.Unit.Weight is not null && !m.Unit.Node.Is("MatMul") && m.Unit.Activation is null;
            float[] means = [.. noise.Sums.ToArray().Select(sum => (float)(sum / Math.Max(1, noise.Rows)))];
            double decibels = Decibels(measured[m.Signal.Value], noise, corrects);
            context.Measure("output_sqnr_db", decibels, m.Unit.Weight?.Name);
            if (decibels < _leastDecibels)
            {
                floats.Add(m.Unit, string.Create(CultureInfo.InvariantCulture, $"quantised, its channels have {decibels:0.0} dB of signal over noise in the mean, less than {_leastDecibels}"));
            }
            else if (corrects)
            {
                corrections.Add(m.Unit.Output, means);
            }
        }

        return Corrected(floats.Count > before ? MakePlan(network, index, statistics, floats, context) : plan, corrections);
    }

    /// <summary>Gives a plan the corrections that concern it.</summary>
    private static QuantizationPlan Corrected(QuantizationPlan plan, Dictionary<string, float[]> corrections)
    {
        foreach (QuantizableUnit unit in plan.Selection.Selected)
        {
            if (corrections.TryGetValue(unit.Output, out float[]? correction))
            {
                plan.Corrections.TryAdd(unit.Output, correction);
            }
        }

        return plan;
    }

    /// <summary>
    /// Takes out units until the outputs of the model keep their ratio of signal to noise. What each unit alone does to the outputs is measured in one run; noises of several are taken to add up; those that save most
    /// multiplications for their noise stay. The whole is measured in the end, since what lies between quantised units is quantised too, and the sum has to shrink until that fits.
    /// </summary>
    private QuantizationPlan WithinOutputNoise(
        Model model, QuantizableNetwork network, GraphIndex index, QuantizationPlan plan, ActivationStatisticsSet statistics, ICalibrator calibrator, Dictionary<QuantizableUnit, string> floats, PassContext context)
    {
        if (ShadowGraph.BuildOutputs(model, plan) is not { } shadow)
        {
            context.Report(DiagnosticSeverity.Info, "what nodes do to the outputs was not measured (option 'min_output_sqnr_db'): the outputs are not f32, or lie behind subgraphs");
            return plan;
        }

        var noises = new Dictionary<QuantizableUnit, double>(ReferenceEqualityComparer.Instance);
        using (ICalibrationStatistics measured = calibrator.Collect(shadow.Model, [.. shadow.Signals, .. shadow.Differences.Values.SelectMany(d => d.Values)]))
        {
            foreach ((QuantizableUnit unit, IReadOnlyDictionary<string, CalibrationTap> differences) in shadow.Differences)
            {
                noises.Add(unit, OutputDifferences.Noise(differences, measured));
                context.Measure("model_output_sqnr_db", Decibels(noises[unit]), unit.Weight?.Name);
            }
        }

        double allowed = DeterministicPower.Of(10, -_leastOutputDecibels / 10.0);
        QuantizableUnit[] cheapest = [.. noises.Keys.OrderBy(u => noises[u] / Multiplications(u, statistics)).ThenBy(u => u.Position)];
        Dictionary<string, float[]> corrections = plan.Corrections;
        double budget = allowed;
        for (int attempt = 0; attempt < MostAttempts; attempt++)
        {
            var refused = new Dictionary<QuantizableUnit, string>(floats, ReferenceEqualityComparer.Instance);
            double sum = 0;
            foreach (QuantizableUnit unit in cheapest)
            {
                if (sum + noises[unit] <= budget)
                {
                    sum += noises[unit];
                }
                else
                {
                    refused.TryAdd(unit, string.Create(CultureInfo.InvariantCulture, $"quantised alone it leaves {Decibels(noises[unit]):0.0} dB of signal over noise at the outputs, too few beside others for {_leastOutputDecibels} altogether"));
                }
            }

            QuantizationPlan candidate = Corrected(MakePlan(network, index, statistics, refused, context), corrections);
            double noise = candidate.Selection.Selected.Any() ? Noise(model, index, candidate, calibrator, context) : 0;
            if (noise <= allowed)
            {
                context.Measure("outputs_sqnr_db", Decibels(noise));
                foreach ((QuantizableUnit unit, string reason) in refused)
                {
                    floats[unit] = reason;
                }

                return candidate;
            }

            budget *= Math.Min(LeastShrinking, allowed / noise);
        }

        foreach (QuantizableUnit unit in cheapest)
        {
            floats.TryAdd(unit, string.Create(CultureInfo.InvariantCulture, $"no choice of nodes was found that leaves {_leastOutputDecibels} dB of signal over noise at the outputs"));
        }

        return MakePlan(network, index, statistics, floats, context);
    }

    /// <summary>Noise of the outputs, per signal, of a quantised graph.</summary>
    private static double Noise(Model model, GraphIndex index, QuantizationPlan plan, ICalibrator calibrator, PassContext context)
    {
        var editor = new GraphEditor(model.Graph);
        var added = new List<Node>();
        var outputs = new OutputDifferences(model, editor, added);
        IReadOnlyDictionary<string, CalibrationTap> differences = outputs.Of(QuantizedGraph.Build(index, plan, context.OpenValues));
        editor.InsertBefore(model.Graph.Nodes.Length, [.. added]);
        using ICalibrationStatistics measured = calibrator.Collect(model with { Graph = editor.Build() }, [.. outputs.Signals, .. differences.Values]);
        return OutputDifferences.Noise(differences, measured);
    }

    private static double Decibels(double noise) => noise <= 0 ? 99 : Math.Clamp(-DecibelsPerNeper * DeterministicLog.Of(noise), -99, 99);

    /// <summary>
    /// Signal over noise of an output, at most 99: the mean over its channels of noise per variance, as decibels. (The next layer scales channels against each other and takes their means away, so neither large
    /// channels nor large means say that a signal is safe.)
    /// </summary>
    private static double Decibels(ActivationStatistics signal, ActivationStatistics noise, bool corrected)
    {
        double sum = 0;
        int channels = 0;
        for (int c = 0; c < noise.Sums.Length; c++)
        {
            double variance = signal.Squares[c] - (signal.Sums[c] * signal.Sums[c] / Math.Max(1, signal.Rows));
            double error = noise.Squares[c] - (corrected ? noise.Sums[c] * noise.Sums[c] / Math.Max(1, noise.Rows) : 0);
            if (signal.Squares[c] > 0)
            {
                sum += variance > 0 ? Math.Min(1, Math.Max(0, error) / variance) : error > 0 ? 1 : 0;
                channels++;
            }
        }

        return sum <= 0 ? 99 : Math.Min(99, -DecibelsPerNeper * DeterministicLog.Of(sum / channels));
    }

    private static void Report(QuantizableNetwork network, QuantizationPlan plan, Dictionary<QuantizableUnit, string> floats, PassContext context)
    {
        foreach ((QuantizableUnit unit, string reason) in floats.Where(f => f.Key.Kind is UnitKind.Weighted or UnitKind.Arithmetic).OrderBy(f => f.Key.Position))
        {
            context.Report(DiagnosticSeverity.Info, $"{unit.Node.OpType} '{unit.Node.Handle}' stays float: {reason}", unit.Weight?.Name);
        }

        foreach (QuantizableUnit unit in plan.Selection.Selected.Where(u => u.Kind != UnitKind.Passing && plan.Values[plan.Selection.Source(u.Output)] == new QuantizedValue(1, 0)))
        {
            context.Report(DiagnosticSeverity.Warning, $"'{unit.Output}' is zero wherever the calibration data were run: its range is a guess", unit.Weight?.Name);
        }

        QuantizableUnit[] weighted = [.. network.Units.Where(u => u.Weight is not null)];
        string[] kept = [.. weighted.Where(floats.ContainsKey).Select(u => $"{u.Node.Handle} ({floats[u]})")];
        if (kept.Length > 0)
        {
            string more = kept.Length > Listed ? string.Create(CultureInfo.InvariantCulture, $", and {kept.Length - Listed} more") : "";
            context.Report(DiagnosticSeverity.Warning, string.Create(CultureInfo.InvariantCulture, $"{kept.Length} of {weighted.Length} weighted nodes stay float: {string.Join(", ", kept.Take(Listed))}{more}"));
        }

        context.Measure("nodes_quantized", plan.Selection.Selected.Count());
        context.Measure("weighted_nodes", weighted.Length);
        context.Measure("weighted_nodes_quantized", plan.Weights.Count);
        foreach ((string weight, double? error) in plan.Errors)
        {
            if (error is double known)
            {
                context.Measure("relative_error", known, weight);
            }
        }
    }
}
