using System.Globalization;
using ModelPack.Compiler;
using ModelPack.Compiler.Calibration;

namespace ModelPack.Passes;

/// <summary>Decomposition with calibration data.</summary>
internal sealed partial class DecomposePass
{
    /// <summary>Parts of the way to the budget after which the loss is measured.</summary>
    private const int GateLevels = 4;

    /// <summary>Times that what lies between the last part within the budget of losses and the first beyond is halved.</summary>
    private const int Halvings = 3;

    private Dictionary<string, Tensor> DecomposeCalibrated(Model model, Layer[] layers, PassContext context)
    {
        ICalibrator calibrator = context.Calibrator!;
        for (int i = 0; i < layers.Length; i++)
        {
            if (layers[i].IsFree && layers[i].Usage.Activation is null && layers[i].Usage.Op != "Gather")
            {
                context.Report(DiagnosticSeverity.Warning, "not decomposed: its input is not one value of the main graph", layers[i].Tensor.Name);
                layers[i] = layers[i] with { Ranks = [] };
            }
        }

        using ILossProbe? probe = calibrator.Probe(model);
        double limit = options.Integer("max_loss_permille") / 1000.0;
        if (limit > 0 && probe is null)
        {
            context.Report(DiagnosticSeverity.Warning, "there are statistics only and no data to measure the loss on: 'max_loss_permille' is not heeded");
        }

        Func<long, int[]> share = Sharing(model, layers, probe, context);
        if (limit > 0 && probe is not null)
        {
            return WithinLoss(model, layers, limit, share, probe, context);
        }

        int[] ranks = share(Budget(layers, 1));
        Dictionary<string, Tensor> made = DecomposeInOrder(model, layers, ranks, context);
        if (probe is not null)
        {
            context.Report(DiagnosticSeverity.Info, Found(made, probe, context, out _));
        }

        ReportTotal(layers, ranks, context);
        return made;
    }

    /// <summary>The fewest parameters, no fewer than the budget, with which the model loses no more than it may: in quarters of the way until one loses too much, then by halves.</summary>
    private Dictionary<string, Tensor> WithinLoss(Model model, Layer[] layers, double limit, Func<long, int[]> share, ILossProbe probe, PassContext context)
    {
        Dictionary<string, Tensor> result = [];
        int[]? kept = null;
        string closest = "";
        bool Fits(double part)
        {
            int[] ranks;
            try
            {
                ranks = share(Budget(layers, part));
            }
            catch (ModelPackException e) when (e.Code == ErrorCodes.RankBudget)
            {
                closest = e.Message;
                return false;
            }

            Dictionary<string, Tensor> made = DecomposeInOrder(model, layers, ranks, context);
            string found = Found(made, probe, context, out double loss);
            if (loss > limit)
            {
                closest = $"{found}, more than 'max_loss_permille' allows";
                return false;
            }

            context.Report(DiagnosticSeverity.Info, found);
            (result, kept) = (made, ranks);
            return true;
        }

        (double low, double high) = (0, 0);
        for (int level = 1; level <= GateLevels && high == 0; level++)
        {
            double part = (double)level / GateLevels;
            (low, high) = Fits(part) ? (part, 0) : (low, part);
        }

        for (int i = 0; i < Halvings && high > 0; i++)
        {
            double part = (low + high) / 2;
            (low, high) = Fits(part) ? (part, high) : (low, part);
        }

        if (high > 0)
        {
            context.Report(DiagnosticSeverity.Warning, $"{closest}: {(kept is null ? "nothing is decomposed" : "the fewest parameters that were found within it are kept")}");
        }

        if (kept is not null)
        {
            ReportTotal(layers, kept, context);
        }

        return result;
    }

    private static string Found(Dictionary<string, Tensor> made, ILossProbe probe, PassContext context, out double loss)
    {
        loss = probe.Measure(made);
        context.Measure("loss", loss);
        return string.Create(CultureInfo.InvariantCulture, $"loss {loss:0.0000}{(probe.IsLanguageModel ? " nats per token on the calibration data" : " of the outputs' power on the calibration data")}");
    }

    /// <summary>Decomposes the layers of one input after the other, in the order of the graph.</summary>
    private Dictionary<string, Tensor> DecomposeInOrder(Model model, Layer[] layers, int[] ranks, PassContext context)
    {
        ICalibrator calibrator = context.Calibrator!;
        bool follow = calibrator.CanRun && options.Flag("heal");
        var made = new Dictionary<string, Tensor>(StringComparer.Ordinal);
        foreach (int i in Enumerable.Range(0, layers.Length).Where(i => ranks[i] > 0 && layers[i].Usage.Activation is null))
        {
            DecomposeOne(layers[i], ranks[i], null, made, context);
        }

        // Layers that stay whole are solved for as well where the inputs are no longer what they were.
        int[][] inputs = [.. ByInput(model, layers).Where(g => follow || g.Any(i => ranks[i] > 0))];
        CalibrationTap[] taps = [.. inputs.Select(g => Tap(layers[g[0]], follow))];
        using ICalibrationRun? run = follow ? calibrator.Begin(model, withReference: true) : null;
        using ICalibrationStatistics? all = follow ? null : calibrator.Collect(model, taps);
        var replaced = new Dictionary<string, Tensor>(made, StringComparer.Ordinal);
        for (int g = 0; g < inputs.Length; g++)
        {
            context.Cancellation.ThrowIfCancellationRequested();
            bool changed = made.Count > 0;
            using ICalibrationStatistics? step = run?.Advance([taps[g]], replaced);
            replaced = [];
            ActivationStatistics statistics = (step ?? all!)[taps[g].Key];
            context.Measure("calibration_vectors", statistics.Rows);
            if (statistics.Rows < options.Integer("min_vectors"))
            {
                context.Report(DiagnosticSeverity.Warning, string.Create(CultureInfo.InvariantCulture, $"not decomposed: the calibration data gave it {statistics.Rows} vectors"), layers[inputs[g][0]].Tensor.Name);
                continue;
            }

            using var moments = InputMoments.Of(statistics, taps[g].Columns, layers[inputs[g][0]].Damping);
            foreach (int i in inputs[g].Where(i => ranks[i] > 0 || (follow && changed)))
            {
                if (DecomposeOne(layers[i], ranks[i], moments, made, context))
                {
                    foreach (Layer layer in layers[i].All)
                    {
                        replaced[layer.Tensor.Name] = made[layer.Tensor.Name];
                    }
                }
            }

            context.Progress?.Invoke("decompose", g + 1, inputs.Length, layers[inputs[g][0]].Tensor.Name);
        }

        return made;
    }

    /// <summary>What the outputs of layers lack in the mean, by the names of their weights.</summary>
    private Dictionary<string, float[]> Corrections(Model model, Layer[] layers, Dictionary<string, Tensor> made, PassContext context)
    {
        int[][] inputs = ByInput(model, layers);
        CalibrationTap[] taps = [.. inputs.Select(g => Tap(layers[g[0]], drift: false))];
        using ICalibrationStatistics statistics = context.Calibrator!.Collect(model, taps);
        var corrections = new Dictionary<string, float[]>(StringComparer.Ordinal);
        for (int g = 0; g < inputs.Length; g++)
        {
            foreach (Layer layer in inputs[g].SelectMany(i => layers[i].All).Where(l => made.ContainsKey(l.Tensor.Name)))
            {
                corrections[layer.Tensor.Name] = BiasCorrection.Of(WeightMatrix.Of(layer.Tensor, layer.Usage.Layout), WeightMatrix.Of(made[layer.Tensor.Name], layer.Usage.Layout), statistics[taps[g].Key], context);
            }
        }

        return corrections;
    }

    /// <summary>Decomposes a layer, or with rank 0 solves for it; false when its values are no numbers.</summary>
    private static bool DecomposeOne(Layer layer, int rank, InputMoments? given, Dictionary<string, Tensor> made, PassContext context)
    {
        if (layer.Read(context) is not float[] weights)
        {
            return false;
        }

        using InputMoments? own = given is null ? InputMoments.Of(null, layer.Shape.Columns, 0) : null;
        InputMoments moments = given ?? own!;
        using var whitening = new Whitening(moments, given is null || !layer.Chosen.Flag("whiten"), context.Threads, context.Cancellation);
        if (rank > 0)
        {
            layer.Store(layer.Run(weights, moments, whitening, rank, healed: given is not null, context), rank, made, context);
        }
        else
        {
            layer.Store(layer.Decomposer(context, healed: false).Refit(weights, whitening), made, context);
        }

        return true;
    }

    /// <summary>How a budget is shared: equally, or by what each layer costs the model.</summary>
    private Func<long, int[]> Sharing(Model model, Layer[] layers, ILossProbe? probe, PassContext context)
    {
        int[][] inputs = ByInput(model, layers);
        CalibrationTap[] taps = [.. inputs.Select(g => Tap(layers[g[0]], drift: false))];
        bool measure = options.Text("allocation") == "sensitivity" && layers.Count(l => l.IsFree && !l.IsDecided) > 1;
        if (!measure && !layers.Any(l => l.IsDecided))
        {
            return budget => Uniform(layers, budget, (_, _) => null);
        }

        double[]?[] losses = new double[]?[layers.Length];
        using ICalibrationStatistics statistics = context.Calibrator!.Collect(model, taps);
        for (int g = 0; g < inputs.Length; g++)
        {
            using var moments = InputMoments.Of(statistics[taps[g].Key], taps[g].Columns, layers[inputs[g][0]].Damping);
            foreach (int i in inputs[g].Where(i => layers[i].IsFree))
            {
                losses[i] = Losses(layers[i], moments, layers[i].IsDecided ? null : probe, context);
            }

            context.Progress?.Invoke("sensitivity", g + 1, inputs.Length, layers[inputs[g][0]].Tensor.Name);
        }

        foreach (int i in Enumerable.Range(0, layers.Length).Where(i => layers[i].IsFree && layers[i].Usage.Activation is null))
        {
            losses[i] = Errors(layers[i], null, layers[i].Ranks, context);
        }

        for (int i = 0; i < layers.Length; i++)
        {
            layers[i] = losses[i] is null ? layers[i] with { Ranks = [] } : layers[i];
        }

        double[]? Known(Layer layer, IReadOnlyList<int> ranks) => losses[Array.IndexOf(layers, layer)];
        return budget => measure ? Shared(layers, losses, budget, Known) : Uniform(layers, budget, Known);
    }

    /// <summary>Loss of the model at each rank of a layer: what its outputs lose, times what the model loses by that.</summary>
    private double[]? Losses(Layer layer, InputMoments moments, ILossProbe? probe, PassContext context)
    {
        double[]? losses = Errors(layer, moments, layer.Ranks, context);
        if (losses is null || probe is null)
        {
            return losses;
        }

        double share = options.Integer("parameters_percent") / 100.0;
        int rank = layer.Ranks.LastOrDefault(r => layer.Shape.Parameters(r) <= share * layer.Shape.Dense, layer.Ranks[0]);
        var made = new Dictionary<string, Tensor>(StringComparer.Ordinal);
        DecomposeOne(layer, rank, moments, made, context);
        double factor = Math.Max(0, probe.Measure(made)) / Math.Max(1e-12, losses[Array.IndexOf(layer.Ranks, rank)]);
        context.Measure("sensitivity", factor, layer.Tensor.Name);
        return [.. losses.Select(l => l * factor)];
    }

    /// <summary>Ranks for the least sum of losses.</summary>
    /// <exception cref="ModelPackException">MP2244: the budget cannot be met.</exception>
    private static int[] Shared(Layer[] layers, double[]?[] losses, long budget, Func<Layer, IReadOnlyList<int>, double[]?> errors)
    {
        int[] ranks = [.. layers.Select(l => l.IsDecided && l.IsFree ? Decided(l, errors) : 0)];
        int[] free = [.. Enumerable.Range(0, layers.Length).Where(i => layers[i].IsFree && !layers[i].IsDecided)];
        long others = layers.Select((l, i) => !l.IsFree || l.IsDecided ? l.Parameters(ranks[i]) : 0).Sum();
        RankChoices[] choices = [.. free.Select(i => new RankChoices([.. layers[i].Ranks.Select(layers[i].Shape.Parameters), layers[i].Shape.Dense], [.. losses[i]!, 0]))];
        int[] chosen = RankAllocation.Solve(choices, budget - others) ?? throw OverBudget(layers, budget, others + choices.Sum(c => c.Parameters.Min()));
        for (int f = 0; f < free.Length; f++)
        {
            ranks[free[f]] = chosen[f] < layers[free[f]].Ranks.Length ? layers[free[f]].Ranks[chosen[f]] : 0;
        }

        return ranks;
    }

    /// <summary>Layers that read the same value, in the order in which the graph makes these.</summary>
    private static int[][] ByInput(Model model, Layer[] layers)
    {
        var index = new GraphIndex(model.Graph);
        return
        [
            .. Enumerable.Range(0, layers.Length).Where(i => layers[i].Usage.Activation is not null).GroupBy(i => (Value: layers[i].Usage.Activation!, layers[i].Usage.Patches))
                .OrderBy(g => index.ProducerIndex(g.Key.Value)).ThenBy(g => g.Key.Value, StringComparer.Ordinal).ThenBy(g => g.Key.Patches?.ToString(), StringComparer.Ordinal).Select(g => g.ToArray()),
        ];
    }

    private CalibrationTap Tap(Layer layer, bool drift) => ConvolutionInputs.Taps(layer.Usage, layer.Shape.Columns, Positions, drift)[0];
}
