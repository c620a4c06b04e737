using System.Globalization;
using ModelPack.Compiler;
using ModelPack.Compiler.Calibration;

namespace ModelPack.Passes;

/// <summary>Pruning with calibration data.</summary>
internal sealed partial class SparsifyPass
{
    /// <summary>Parts of the way to the wanted sparsity after which the gate measures.</summary>
    private const int GateLevels = 4;

    /// <summary>Points of the curve of each layer that the budget is shared by.</summary>
    private const int CurvePoints = 12;

    private const double MostSparsity = 0.96;

    private Dictionary<string, Tensor> PruneCalibrated(Model model, Layer[] layers, PassContext context)
    {
        ICalibrator calibrator = context.Calibrator!;
        foreach (Layer layer in layers.Where(l => l.Usage.Activation is null))
        {
            context.Report(DiagnosticSeverity.Warning, "not pruned: its input is not one value of the main graph", layer.Tensor.Name);
        }

        layers = [.. layers.Where(l => l.Usage.Activation is not null)];
        using ILossProbe? probe = calibrator.Probe(model);
        double[] sparsities = Share(model, layers, probe, context);
        double limit = options.Integer("max_loss_permille") / 1000.0;
        if (limit > 0 && probe is null)
        {
            context.Report(DiagnosticSeverity.Warning, "there are statistics only and no data to measure the loss on: 'max_loss_permille' is not heeded");
        }

        int levels = limit > 0 && probe is not null ? GateLevels : 1;
        Dictionary<string, Tensor> result = [];
        for (int level = 1; level <= levels; level++)
        {
            double part = (double)level / levels;
            Dictionary<string, Tensor> pruned = PruneInOrder(model, layers, [.. sparsities.Select(s => s * part)], context);
            double? loss = probe?.Measure(pruned);
            string reached = string.Create(CultureInfo.InvariantCulture, $"{Total(layers, sparsities) * part:0.0 %} of the weights of {layers.Length} layers dropped");
            if (loss is double measured)
            {
                context.Measure("loss", measured);
                string found = string.Create(CultureInfo.InvariantCulture, $"{reached}: loss {measured:0.0000}{(probe!.IsLanguageModel ? " nats per token on the calibration data" : " of the outputs' power on the calibration data")}");
                if (limit > 0 && measured > limit)
                {
                    context.Report(DiagnosticSeverity.Warning, $"{found}, more than 'max_loss_permille' allows: {(level == 1 ? "nothing is pruned" : "the step before it is kept")}");
                    break;
                }

                context.Report(DiagnosticSeverity.Info, found);
            }

            result = pruned;
        }

        return result;
    }

    private static double Total(Layer[] layers, double[] sparsities) =>
        layers.Select((l, i) => l.Tensor.Shape.ElementCount * sparsities[i]).Sum() / Math.Max(1, layers.Sum(l => (double)l.Tensor.Shape.ElementCount));

    /// <summary>Prunes the layers of one input after the other, in the order of the graph.</summary>
    private Dictionary<string, Tensor> PruneInOrder(Model model, Layer[] layers, double[] sparsities, PassContext context)
    {
        ICalibrator calibrator = context.Calibrator!;
        int[][] inputs = ByInput(model, layers);
        bool follow = calibrator.CanRun && options.Flag("heal");
        CalibrationTap[] taps = [.. inputs.Select(g => Tap(layers[g[0]], follow))];
        using ICalibrationRun? run = follow ? calibrator.Begin(model, withReference: true) : null;
        using ICalibrationStatistics? all = follow ? null : calibrator.Collect(model, taps);
        var pruned = new Dictionary<string, Tensor>(StringComparer.Ordinal);
        Dictionary<string, Tensor> replaced = [];
        for (int g = 0; g < inputs.Length; g++)
        {
            context.Cancellation.ThrowIfCancellationRequested();
            using ICalibrationStatistics? step = run?.Advance([taps[g]], replaced);
            replaced = [];
            ActivationStatistics statistics = (step ?? all!)[taps[g].Key];
            context.Measure("calibration_vectors", statistics.Rows);
            if (statistics.Rows < options.Integer("min_vectors"))
            {
                context.Report(DiagnosticSeverity.Warning, string.Create(CultureInfo.InvariantCulture, $"not pruned: the calibration data gave it {statistics.Rows} vectors"), layers[inputs[g][0]].Tensor.Name);
                continue;
            }

            using var moments = InputMoments.Of(statistics, taps[g].Columns, layers[inputs[g][0]].Damping);
            foreach (int i in inputs[g])
            {
                (float[] weights, int rows, _) = layers[i].Read(context);
                var pruner = new Pruner(layers[i].Options(calibrated: true), context.Threads, context.Cancellation);
                Tensor tensor = layers[i].Store(pruner.Run(weights, rows, moments, sparsities[i]), context);
                pruned[tensor.Name] = replaced[tensor.Name] = tensor;
            }

            context.Progress?.Invoke("sparsify", g + 1, inputs.Length, layers[inputs[g][0]].Tensor.Name);
        }

        return pruned;
    }

    /// <summary>The sparsity of each layer: what it says itself, or its share of the budget of all.</summary>
    private double[] Share(Model model, Layer[] layers, ILossProbe? probe, PassContext context)
    {
        double[] sparsities = [.. layers.Select(l => l.Sparsity)];
        int[] free = [.. Enumerable.Range(0, layers.Length).Where(i => layers[i].Pattern.Of == 0)];
        if (options.Text("allocation") != "sensitivity" || free.Length < 2)
        {
            return sparsities;
        }

        var losses = new LayerLoss[layers.Length];
        int[][] inputs = ByInput(model, layers);
        CalibrationTap[] taps = [.. inputs.Select(g => Tap(layers[g[0]], drift: false))];
        using ICalibrationStatistics statistics = context.Calibrator!.Collect(model, taps);
        for (int g = 0; g < inputs.Length; g++)
        {
            using var moments = InputMoments.Of(statistics[taps[g].Key], taps[g].Columns, layers[inputs[g][0]].Damping);
            foreach (int i in inputs[g].Intersect(free))
            {
                losses[i] = Curve(layers[i], moments, probe, context);
            }

            context.Progress?.Invoke("sensitivity", g + 1, inputs.Length, layers[inputs[g][0]].Tensor.Name);
        }

        double[] shared = SparsityAllocation.Solve([.. free.Select(i => losses[i])], Total([.. free.Select(i => layers[i])], [.. free.Select(i => sparsities[i])]));
        for (int f = 0; f < free.Length; f++)
        {
            sparsities[free[f]] = shared[f];
            context.Report(DiagnosticSeverity.Info, string.Create(CultureInfo.InvariantCulture, $"{shared[f]:0.0 %} are dropped by its share of the budget (sensitivity {losses[free[f]].Factor:0.###})"), layers[free[f]].Tensor.Name);
        }

        return sparsities;
    }

    /// <summary>What a layer alone loses by sparsity, and what the model then does.</summary>
    private static LayerLoss Curve(Layer layer, InputMoments moments, ILossProbe? probe, PassContext context)
    {
        (float[] weights, int rows, _) = layer.Read(context);
        PruneOptions how = layer.Options(calibrated: true) with { Regrow = 0 };
        var points = new List<(double, double)>();
        new Pruner(how with { Steps = CurvePoints, Linear = true }, context.Threads, context.Cancellation).Run(weights, rows, moments, MostSparsity, (s, loss) => points.Add((s, Math.Max(0, loss))));
        if (probe is null)
        {
            return new LayerLoss(layer.Tensor.Shape.ElementCount, points, 1);
        }

        PrunedWeight pruned = new Pruner(how with { Steps = 2 }, context.Threads, context.Cancellation).Run(weights, rows, moments, layer.Sparsity);
        double model = probe.Measure(new Dictionary<string, Tensor>(StringComparer.Ordinal) { [layer.Tensor.Name] = layer.Store(pruned, context) });
        return new LayerLoss(layer.Tensor.Shape.ElementCount, points, Math.Max(0, model) / Math.Max(1e-12, pruned.Loss));
    }

    /// <summary>Layers that read the same value, in the order in which the graph makes these.</summary>
    private static int[][] ByInput(Model model, Layer[] layers)
    {
        var index = new GraphIndex(model.Graph);
        return
        [
            .. Enumerable.Range(0, layers.Length).GroupBy(i => layers[i].Usage.Activation!, StringComparer.Ordinal)
                .OrderBy(g => index.ProducerIndex(g.Key)).ThenBy(g => g.Key, StringComparer.Ordinal).Select(g => g.ToArray()),
        ];
    }

    private static CalibrationTap Tap(Layer layer, bool drift) =>
        new(layer.Usage.Activation!, checked((int)WeightMatrix.Of(layer.Tensor, layer.Usage.Layout).Shape.Columns), SecondMoments: true, drift);
}
