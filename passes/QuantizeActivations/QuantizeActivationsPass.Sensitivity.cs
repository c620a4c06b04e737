using System.Globalization;
using ModelPack.Compiler;
using ModelPack.Compiler.Calibration;

namespace ModelPack.Passes;

/// <summary>Which nodes lose too much, and what is said about it.</summary>
internal sealed partial class QuantizeActivationsPass
{
    /// <summary>Ten times the decimal logarithm of e.</summary>
    private const double DecibelsPerNeper = 4.3429448190325182;

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

        QuantizationPlan result = floats.Count > before ? MakePlan(network, index, statistics, floats, context) : plan;
        foreach (QuantizableUnit unit in result.Selection.Selected)
        {
            if (corrections.TryGetValue(unit.Output, out float[]? correction))
            {
                result.Corrections.Add(unit.Output, correction);
            }
        }

        return result;
    }

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
