using System.Globalization;
using ModelPack.Compiler;
using ModelPack.Compiler.Calibration;

namespace ModelPack.Passes;

/// <summary>The order of channels before pruning: those come together that are worth least in the same places.</summary>
internal sealed partial class SparsifyPass
{
    /// <summary>
    /// The model with channels in an order in which blocks, or N of every M neighbours, can be dropped with less loss; what it computes is the same but for the order of sums.
    /// </summary>
    private (Model Model, Layer[] Layers) Ordered(Model model, Layer[] layers, PassContext context)
    {
        string which = options.Text("permute");
        if (which == "none" || model.Kind != ModelKind.Onnx || layers.All(l => l.Pattern is { IsBlocks: false, Of: 0 }))
        {
            return (model, layers);
        }

        if (context.Calibrator is { CanRun: false })
        {
            context.Report(DiagnosticSeverity.Info, "there are statistics only, which belong to the channels as they are: these keep their order");
            return (model, layers);
        }

        var tensors = layers.ToDictionary(l => l.Tensor.Name, StringComparer.Ordinal);
        Dictionary<string, float[]> costs = InputCosts(model, layers, context);
        Dictionary<string, Tensor> changed = new(StringComparer.Ordinal);
        foreach (ChannelSet set in ChannelSet.Find(new GraphIndex(model.Graph)).Where(s => which == "all" || !s.IsStream))
        {
            context.Cancellation.ThrowIfCancellationRequested();
            ChannelView[] views = [.. set.Places.Select(p => View(p, set, tensors, costs, context)).OfType<ChannelView>()];
            if (views.Length == 0)
            {
                continue;
            }

            var grouping = new ChannelGrouping(views, set.Channels, set.ClassSize, context.Cancellation);
            int[] order = grouping.Run();
            int[] before = [.. Enumerable.Range(0, set.Channels)];
            if (order.AsSpan().SequenceEqual(before))
            {
                continue;
            }

            context.Report(
                DiagnosticSeverity.Info,
                string.Create(CultureInfo.InvariantCulture, $"its {set.Channels} channels were put in another order: what is kept holds {grouping.Kept(order) / views.Length:0.0 %} of what counts instead of {grouping.Kept(before) / views.Length:0.0 %}"),
                set.Value);
            set.Apply(order, changed);
            foreach (ScaledAxis place in set.Places.Where(p => tensors.ContainsKey(p.Tensor.Name)))
            {
                Layer layer = tensors[place.Tensor.Name];
                string name = layer.Tensor.Name;
                tensors[name] = layer with { Tensor = changed[name] };
                costs[name] = place.Axis == layer.InputAxis ? [.. set.OrderAlong(place, order).Select(i => costs[name][i])] : costs[name];
            }
        }

        context.Measure("tensors_permuted", changed.Count);
        Model ordered = model with { Graph = model.Graph with { Initializers = [.. model.Graph.Initializers.Select(t => changed.GetValueOrDefault(t.Name, t))] } };
        return (changed.Count == 0 ? model : ordered, [.. layers.Select(l => tensors[l.Tensor.Name])]);
    }

    /// <summary>By weight, what the square of a weight counts for each of its inputs.</summary>
    private static Dictionary<string, float[]> InputCosts(Model model, Layer[] layers, PassContext context)
    {
        var costs = new Dictionary<string, float[]>(StringComparer.Ordinal);
        Layer[] measured = context.Calibrator is null ? [] : [.. layers.Where(l => l.Usage.Activation is not null)];
        foreach (Layer layer in layers.Except(measured))
        {
            float[] ones = new float[checked((int)layer.Tensor.Shape[layer.InputAxis])];
            ones.AsSpan().Fill(1);
            costs[layer.Tensor.Name] = ones;
        }

        if (measured.Length == 0)
        {
            return costs;
        }

        int[][] inputs = ByInput(model, measured);
        CalibrationTap[] taps = [.. inputs.Select(g => Tap(measured[g[0]], drift: false))];
        using ICalibrationStatistics statistics = context.Calibrator!.Collect(model, taps);
        for (int g = 0; g < inputs.Length; g++)
        {
            using var moments = InputMoments.Of(statistics[taps[g].Key], taps[g].Columns, measured[inputs[g][0]].Damping);
            foreach (int i in inputs[g])
            {
                costs[measured[i].Tensor.Name] = moments.Diagonal();
            }
        }

        return costs;
    }

    /// <summary>What a weight says about the order of channels along one of its axes; null: nothing.</summary>
    private static ChannelView? View(ScaledAxis place, ChannelSet set, Dictionary<string, Layer> layers, Dictionary<string, float[]> costs, PassContext context)
    {
        if (!layers.TryGetValue(place.Tensor.Name, out Layer? layer))
        {
            return null;
        }

        SparsePattern pattern = layer.Pattern;
        bool input = place.Axis == layer.InputAxis;
        int width = pattern.Of > 0 ? (input ? pattern.Of : 1) : input ? pattern.Columns : pattern.Rows;
        if (width == 1)
        {
            return null;
        }

        (float[] weights, int rows, int columns) = layer.Read(context);
        int edge = pattern.Of > 0 ? 1 : input ? pattern.Rows : pattern.Columns;
        int blocks = (((input ? rows : columns) - 1) / edge) + 1;
        // Channels that heads share lie several times along the axis, and count in all of these places.
        int copies = place.Channels.IsDefault ? 1 : place.Channels.Length / set.Channels;
        int units = blocks * copies;
        float[] energies = new float[set.Channels * units];
        float[] cost = costs[place.Tensor.Name];
        double total = 0;
        for (int r = 0; r < rows; r++)
        {
            for (int c = 0; c < columns; c++)
            {
                double energy = (double)weights[(r * columns) + c] * weights[(r * columns) + c] * cost[c];
                int along = input ? c : r;
                int copy = copies == 1 ? 0 : along / set.ClassSize % copies;
                energies[(place.ChannelOf(along) * units) + (copy * blocks) + ((input ? r : c) / edge)] += (float)energy;
                total += energy;
            }
        }

        for (int i = 0; i < energies.Length && total > 0; i++)
        {
            energies[i] = (float)(energies[i] / total);
        }

        return new ChannelView(energies, units, width, pattern.Of > 0 ? pattern.Kept : 0, layer.Sparsity);
    }
}
