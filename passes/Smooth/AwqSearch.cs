using ModelPack.Compiler;
using ModelPack.Compiler.Calibration;
using ModelPack.Compiler.Linear;
using ModelPack.Numbers;

namespace ModelPack.Passes;

/// <summary>
/// Activation-aware weight quantization (AWQ, Lin et al. 2023): factors for the channels of a value, larger for channels with large activations, so that their weights are rounded more finely. Candidates are x^a and
/// x^a / w^(1-a), x being the root mean square of the activations of a channel and w its largest weight, for a in sixteenths; the one whose rounded weights change the outputs least is taken, measured as
/// e H e^T with e the error of a row of weights and H the second moments of the activations.
/// </summary>
/// <remarks>Rows are rounded to nearest in the number format that is going to be used. Of weights with many rows as many as <see cref="MostRows"/>, evenly spread, are looked at.</remarks>
/// <param name="format">The number format.</param>
/// <param name="context">Threads, cancellation, values.</param>
internal sealed class AwqSearch(UnitSpec format, PassContext context)
{
    /// <summary>Rows of one weight that are looked at.</summary>
    public const int MostRows = 256;

    /// <summary>Steps of the exponent.</summary>
    private const int Steps = 16;

    /// <summary>The best factors.</summary>
    /// <param name="value">The value and its readers.</param>
    /// <param name="statistics">With second moments.</param>
    /// <param name="scaled">Factors that the weights have already.</param>
    /// <returns>The factors, what the outputs lose with and without them; all factors 1 when none are better.</returns>
    public (double[] Scales, double Loss, double Before) Run(SmoothValue value, ActivationStatistics statistics, ScaledConstants scaled)
    {
        double[] activations = ChannelStatistics.RootMeanSquares(value, statistics);
        double[] weights = ChannelStatistics.LargestWeights(value.Consumers, value.Factors, scaled, context);
        var candidates = new List<double[]> { SmoothScales.Of(activations, 0, weights, 0) };
        for (int step = 1; step <= Steps; step++)
        {
            double alpha = (double)step / Steps;
            candidates.Add(SmoothScales.Of(activations, alpha, weights, 0));
            candidates.Add(SmoothScales.Of(activations, 1 - alpha, weights, alpha));
        }

        int channels = statistics.Tap.Columns;
        using var moments = new NativeArray<float>((long)channels * channels);
        new DampedMoments(statistics, damping: 0).Read(0, channels, moments.Slice(0, checked(channels * channels)));
        Sample[] samples = [.. value.Consumers.Select(c => Read(c, scaled))];
        double[] losses = new double[candidates.Count];
        Parallel.For(0, candidates.Count, new ParallelOptions { MaxDegreeOfParallelism = Math.Max(1, context.Threads), CancellationToken = context.Cancellation }, i =>
        {
            foreach (Sample sample in samples)
            {
                losses[i] += Loss(sample, candidates[i], value.Consumers[0], moments) * sample.RowsEach;
            }
        });

        int best = 0;
        for (int i = 1; i < losses.Length; i++)
        {
            best = losses[i] < losses[best] ? i : best;
        }

        return (candidates[best], losses[best], losses[0]);
    }

    private Sample Read(ScaledAxis axis, ScaledConstants scaled)
    {
        WeightEncoding encoding = scaled.Scaled(axis.Tensor).Encoding;
        IValueReader reader = context.OpenValues(axis.Axis == 0 ? Structured.Transpose(encoding) : encoding);
        int columns = checked((int)reader.Shape.Columns);
        long all = reader.Shape.Rows;
        int rows = (int)Math.Min(all, MostRows);
        float[] values = new float[rows * columns];
        for (int r = 0; r < rows; r++)
        {
            reader.ReadRows(r * all / rows, 1, values.AsSpan(r * columns, columns));
        }

        return new Sample(values, rows, columns, (double)all / rows);
    }

    private double Loss(Sample sample, double[] scales, ScaledAxis channels, NativeArray<float> moments)
    {
        (int rows, int columns) = (sample.Rows, sample.Columns);
        float[] values = new float[sample.Values.Length];
        for (int i = 0; i < values.Length; i++)
        {
            values[i] = (float)(sample.Values[i] * scales[channels.ChannelOf(i % columns)]);
        }

        Round(values, rows, columns);
        for (int i = 0; i < values.Length; i++)
        {
            values[i] = (float)(sample.Values[i] - (values[i] / scales[channels.ChannelOf(i % columns)]));
        }

        float[] products = new float[values.Length];
        SumOfProducts.Run(values, 1, columns, moments.Slice(0, columns * columns), columns, products, columns, columns, rows, columns, subtract: false);
        double loss = 0;
        for (int i = 0; i < values.Length; i++)
        {
            loss += (double)values[i] * products[i];
        }

        return loss;
    }

    /// <summary>Values as the format keeps them.</summary>
    private void Round(float[] values, int rows, int columns)
    {
        var shape = new Shape(rows, columns);
        UnitSpec spec = format.Text("scale", "") == "auto" ? format.With("scale", "f32") : format;
        spec = NumberFormats.Complete(spec, new Rows(shape, values));
        IBoundNumberFormat bound = NumberFormats.Bind(spec, shape);
        byte[][] streams = [.. bound.Streams.Select(s => new byte[checked(s.BytesPerRow * rows)])];
        bound.EncodeRows(values, rows, [.. streams.Select(s => s.AsMemory())]);
        bound.DecodeRows([.. streams.Select(s => (ReadOnlyMemory<byte>)s)], rows, values);
    }

    /// <summary>Some rows of a weight, rows along the channels.</summary>
    /// <param name="Values">[rows, K].</param>
    /// <param name="Rows">How many rows.</param>
    /// <param name="Columns">K.</param>
    /// <param name="RowsEach">How many rows of the weight each stands for.</param>
    private sealed record Sample(float[] Values, int Rows, int Columns, double RowsEach);

    private sealed class Rows(Shape shape, float[] values) : IValueReader
    {
        public Shape Shape => shape;

        public void ReadRows(long firstRow, int rows, Span<float> destination) =>
            values.AsSpan((int)(firstRow * shape.Columns), (int)(rows * shape.Columns)).CopyTo(destination);
    }
}
