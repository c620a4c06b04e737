using ModelPack.Compiler;
using ModelPack.Compiler.Calibration;

namespace ModelPack.Passes;

/// <summary>The inputs of linear layers: what calibration collects statistics of.</summary>
public static class LinearInputs
{
    /// <summary>A tap for every value of the main graph that is multiplied with a constant matrix, in graph order.</summary>
    /// <param name="model">A canonical model with a graph.</param>
    /// <param name="secondMoments">Whether X^T X is wanted.</param>
    public static IReadOnlyList<CalibrationTap> Of(Model model, bool secondMoments)
    {
        ArgumentNullException.ThrowIfNull(model);
        var index = new GraphIndex(model.Graph);
        var usage = new GraphUsage(index);
        var taps = new Dictionary<string, CalibrationTap>(StringComparer.Ordinal);
        foreach (Tensor tensor in model.Graph.Initializers.Where(t => t.Shape.Rank == 2 && t.DType.IsFloat()))
        {
            WeightUsage use = usage.Of(tensor);
            if (use is { Refusal: null, Activation: string value, Layout: WeightLayout.Rows or WeightLayout.Columns })
            {
                long columns = tensor.Shape[use.Layout == WeightLayout.Rows ? 1 : 0];
                taps.TryAdd(value, new CalibrationTap(value, checked((int)columns), secondMoments));
            }
        }

        return [.. taps.Values.OrderBy(t => index.ProducerIndex(t.Value)).ThenBy(t => t.Value, StringComparer.Ordinal)];
    }
}
