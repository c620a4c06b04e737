using ModelPack.Compiler;
using ModelPack.Compiler.Calibration;

namespace ModelPack.Passes;

/// <summary>
/// Moves factors between the channels of a value and the weights that read it, so that what is quantised afterwards loses less; without quantisation outputs stay the same up to the rounding of f32:
/// <code>
/// x = norm(h) * g;  y = x W        =>   x = norm(h) * (g / s);  y = x (s W)
/// </code>
/// Method awq chooses s by what rounded weights do to the outputs (<see cref="AwqSearch"/>), smoothquant by max|x|^a / max|w|^(1-a), which takes outliers out of the activations. Both look at statistics of the
/// activations on calibration data. Statistics that quantize takes afterwards are those of the model with the factors in place.
/// </summary>
/// <remarks>Which factors there will be is not known without data: a plan (<see cref="PassContext.PlanOnly"/>) shows the model as it is.</remarks>
internal sealed class SmoothPass(PassOptions options, TensorRules rules) : IPass, ICalibratedPass
{
    private readonly TensorSelection _selection = new(options, rules);
    private readonly bool _awq = options.Text("method") == "awq";
    private readonly double _alpha = options.Integer("alpha_percent") / 100.0;
    private readonly UnitSpec _format = QuantizeFormat.Of(options.Text("format"), options);

    public string Name => "smooth";

    public Phase Requires => Phase.Canonical;

    public Phase Ensures => Phase.Canonical;

    public IReadOnlyList<CalibrationTap> Taps(Model model) => model.Kind == ModelKind.Onnx ? LinearInputs.Of(model, secondMoments: true) : [];

    public Model Run(Model model, PassContext context)
    {
        if (model.Kind != ModelKind.Onnx)
        {
            return model.Graph.Initializers.IsEmpty ? model
                : throw new ModelPackException(ErrorCodes.CalibrationNeedsGraph, "a checkpoint has no graph through which factors could be moved: compile the model as .onnx, or take the pass 'smooth' out of the recipe");
        }

        var index = new GraphIndex(model.Graph);
        var usage = new GraphUsage(index);
        List<SmoothValue> values = SmoothValues.Find(
            index, w => Meant(w, usage), (w, reason) => context.Report(DiagnosticSeverity.Info, $"its input is not scaled: {reason}", w.Name));
        if (values.Count == 0 || context.PlanOnly)
        {
            return model;
        }

        ICalibrator calibrator = context.Calibrator ?? throw new ModelPackException(
            ErrorCodes.CalibrationMissing, "pass 'smooth' needs calibration data: give a token file, a folder of .npy inputs, or statistics of 'modelpack calibrate' with --calibration");
        using ICalibrationStatistics statistics = calibrator.Collect(model, [.. Taps(model)]);
        var scaled = new ScaledConstants();
        var divisors = new Dictionary<string, double[]>(StringComparer.Ordinal);
        foreach (SmoothValue value in values)
        {
            context.Cancellation.ThrowIfCancellationRequested();
            double[] scales = Choose(value, statistics[value.Value], scaled, context);
            if (scales.All(s => s == 1))
            {
                continue;
            }

            scaled.Apply(value, scales);
            divisors.Add(value.Value, [.. Enumerable.Range(0, value.Channels).Select(c => scales[value.Consumers[0].ChannelOf(c)])]);
            context.Progress?.Invoke("smooth", divisors.Count, values.Count, value.Consumers[0].Tensor.Name);
        }

        context.Measure("calibration_vectors", calibrator.Info.Samples);
        context.Measure("values_scaled", divisors.Count);
        if (divisors.Count == 0)
        {
            return model;
        }

        Model smoothed = model with { Graph = scaled.ApplyTo(model.Graph) };
        calibrator.Rescale(model, smoothed, divisors);
        return smoothed;
    }

    private double[] Choose(SmoothValue value, ActivationStatistics statistics, ScaledConstants scaled, PassContext context)
    {
        string weight = value.Consumers[0].Tensor.Name;
        if (statistics.Rows == 0 || MomentMatrix.Mean(MomentMatrix.Diagonal(statistics)) is not > 0)
        {
            context.Report(DiagnosticSeverity.Info, $"its input is not scaled: '{value.Value}' is 0 for all calibration data", weight);
            return [.. Enumerable.Repeat(1.0, value.Factors)];
        }

        if (!_awq)
        {
            return SmoothScales.Of(
                ChannelStatistics.LargestActivations(value, statistics), _alpha, ChannelStatistics.LargestWeights(value.Consumers, value.Factors, scaled, context), 1 - _alpha);
        }

        (double[] scales, double loss, double before) = new AwqSearch(_format, context).Run(value, statistics, scaled);
        context.Measure("output_loss_ratio", before > 0 ? loss / before : 1, weight);
        return scales;
    }

    private bool Meant(Tensor weight, GraphUsage usage) =>
        _selection.Takes(weight.Name) && weight.Shape.Rank == 2 && usage.Of(weight) is { Refusal: null, Role: WeightRole.Hidden };
}
