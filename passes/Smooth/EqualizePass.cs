using ModelPack.Compiler;

namespace ModelPack.Passes;

/// <summary>
/// Cross-layer equalisation (Nagel et al. 2019), the method <c>equalize</c> of pass <c>smooth</c>: for every channel between two layers the largest weight that makes it and the largest that reads it become equal,
/// by s = sqrt(max|making| / max|reading|). Needs no data. Chains, through depthwise convolutions too, are gone over until nothing moves.
/// </summary>
internal sealed class EqualizePass(PassOptions options, TensorRules rules) : IPass
{
    private const int MostSweeps = 20;

    /// <summary>Factors nearer to 1 than this are no change.</summary>
    private const double Settled = 1e-3;

    private readonly TensorSelection _selection = new(options, rules);

    public string Name => "smooth";

    public Phase Requires => Phase.Canonical;

    public Phase Ensures => Phase.Canonical;

    public Model Run(Model model, PassContext context)
    {
        if (model.Kind != ModelKind.Onnx)
        {
            return model;
        }

        var index = new GraphIndex(model.Graph);
        SmoothValue[] values =
        [
            .. SmoothValues.Find(index, Meant, (w, reason) => context.Report(DiagnosticSeverity.Info, $"its input is not scaled: {reason}", w.Name)).Where(v => v.Producers.Any(IsMatrix)),
        ];
        if (values.Length == 0)
        {
            return model;
        }

        var scaled = new ScaledConstants();
        bool moved = true;
        bool any = false;
        for (int sweep = 0; sweep < MostSweeps && moved; sweep++)
        {
            moved = false;
            foreach (SmoothValue value in values)
            {
                context.Cancellation.ThrowIfCancellationRequested();
                double[] scales = Scales(value, scaled, context);
                if (scales.Any(s => Math.Abs(s - 1) > Settled))
                {
                    (moved, any) = (true, true);
                    scaled.Apply(value, scales);
                }
            }
        }

        context.Measure("values_scaled", any ? values.Length : 0);
        return any ? model with { Graph = scaled.ApplyTo(model.Graph) } : model;
    }

    private static double[] Scales(SmoothValue value, ScaledConstants scaled, PassContext context)
    {
        double[] made = ChannelStatistics.LargestWeights(value.Producers.Where(IsMatrix), value.Factors, scaled, context);
        double[] reading = ChannelStatistics.LargestWeights(value.Consumers, value.Factors, scaled, context);
        return [.. made.Select((m, i) => SmoothScales.Usable(m) && SmoothScales.Usable(reading[i]) ? Math.Clamp(Math.Sqrt(m / reading[i]), SmoothScales.Least, SmoothScales.Most) : 1)];
    }

    private static bool IsMatrix(ScaledAxis axis) => axis.Tensor.Shape.Rank >= 2 && axis.Tensor.Shape.ElementCount > axis.Tensor.Shape[axis.Axis];

    private bool Meant(Tensor weight) => weight.Shape.Rank >= 2 && _selection.Takes(weight.Name);
}
