using ModelPack.Compiler;
using ModelPack.Compiler.Calibration;

namespace ModelPack.Passes;

/// <summary>How large the channels of a value and the weights that meet them are, one number per factor.</summary>
internal static class ChannelStatistics
{
    private const int TileElements = 1 << 20;

    /// <summary>The root of the mean square of the activations of each factor; channels that share one are taken together.</summary>
    public static double[] RootMeanSquares(SmoothValue value, ActivationStatistics statistics)
    {
        double[] sums = new double[value.Factors];
        int[] counts = new int[value.Factors];
        for (int c = 0; c < value.Channels; c++)
        {
            int factor = value.Consumers[0].ChannelOf(c);
            sums[factor] += statistics.Squares[c];
            counts[factor]++;
        }

        double vectors = Math.Max(1, statistics.Rows);
        return [.. sums.Select((s, i) => Math.Sqrt(s / (vectors * Math.Max(1, counts[i]))))];
    }

    /// <summary>The largest magnitude of the activations of each factor.</summary>
    public static double[] LargestActivations(SmoothValue value, ActivationStatistics statistics)
    {
        double[] largest = new double[value.Factors];
        for (int c = 0; c < value.Channels; c++)
        {
            ref double to = ref largest[value.Consumers[0].ChannelOf(c)];
            to = Math.Max(to, Math.Max(-statistics.Minimum[c], statistics.Maximum[c]));
        }

        return largest;
    }

    /// <summary>The largest magnitude of the weights along some axes, each as it is with the factors collected so far. NaN and infinities come through.</summary>
    public static double[] LargestWeights(IEnumerable<ScaledAxis> axes, int factors, ScaledConstants scaled, PassContext context)
    {
        double[] largest = new double[factors];
        foreach (ScaledAxis axis in axes)
        {
            IValueReader reader = context.OpenValues(scaled.Scaled(axis.Tensor).Encoding);
            long perAxis = 1;
            for (int a = axis.Axis + 1; a < axis.Tensor.Shape.Rank; a++)
            {
                perAxis *= axis.Tensor.Shape[a];
            }

            int columns = checked((int)Math.Max(1, reader.Shape.Columns));
            int tile = Math.Max(1, TileElements / columns);
            float[] values = new float[(int)Math.Min(tile, reader.Shape.Rows) * columns];
            for (long row = 0; row < reader.Shape.Rows; row += tile)
            {
                context.Cancellation.ThrowIfCancellationRequested();
                int rows = (int)Math.Min(tile, reader.Shape.Rows - row);
                reader.ReadRows(row, rows, values.AsSpan(0, rows * columns));
                for (int i = 0; i < rows * columns; i++)
                {
                    int position = (int)(((row * columns) + i) / perAxis % axis.Tensor.Shape[axis.Axis]);
                    ref double to = ref largest[axis.ChannelOf(position)];
                    double magnitude = Math.Abs(values[i]);
                    to = magnitude > to || double.IsNaN(magnitude) ? magnitude : to;
                }
            }
        }

        return largest;
    }
}
