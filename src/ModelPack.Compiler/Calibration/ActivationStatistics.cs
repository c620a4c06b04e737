namespace ModelPack.Compiler.Calibration;

/// <summary>What is known about the values of one tap.</summary>
/// <param name="tap">The tap.</param>
/// <param name="rows">Number of vectors of K values that were seen.</param>
/// <param name="minimum">[K] least value of each channel.</param>
/// <param name="maximum">[K] greatest value of each channel.</param>
/// <param name="sums">[K] sum of the values of each channel.</param>
/// <param name="squares">[K] sum of the squares of the values of each channel.</param>
/// <param name="histogram">All values.</param>
/// <param name="secondMoments">[K, K] f32, row-major: sum of x^T x over the vectors; null when it was not asked for. Owned by this object when it is disposable.</param>
/// <param name="drift">[K, K] f32, row-major: sum of (f - x)^T x; null when it was not asked for. Owned likewise.</param>
public sealed class ActivationStatistics(
    CalibrationTap tap, long rows, float[] minimum, float[] maximum, double[] sums, double[] squares, Histogram histogram, TensorData? secondMoments, TensorData? drift = null) : IDisposable
{
    public CalibrationTap Tap { get; } = tap;

    /// <summary>Number of vectors seen.</summary>
    public long Rows { get; } = rows;

    /// <summary>[K] least value of each channel.</summary>
    public ReadOnlySpan<float> Minimum => minimum;

    /// <summary>[K] greatest value of each channel.</summary>
    public ReadOnlySpan<float> Maximum => maximum;

    /// <summary>[K] sum of the values of each channel: divided by <see cref="Rows"/>, their mean.</summary>
    public ReadOnlySpan<double> Sums => sums;

    /// <summary>[K] sum of the squares of the values of each channel.</summary>
    public ReadOnlySpan<double> Squares => squares;

    public Histogram Histogram { get; } = histogram;

    /// <summary>[K, K] f32: the sum of x^T x; null when it was not collected.</summary>
    public TensorData? SecondMoments { get; } = secondMoments;

    /// <summary>[K, K] f32: the sum of (f - x)^T x, f being what x is in the model without compressed layers; null when it was not collected.</summary>
    public TensorData? Drift { get; } = drift;

    /// <summary>The same statistics with other matrices of the same content; these are not disposed.</summary>
    public ActivationStatistics WithMatrices(TensorData? secondMoments, TensorData? drift) => new(Tap, Rows, minimum, maximum, sums, squares, Histogram, secondMoments, drift);

    public void Dispose()
    {
        (SecondMoments as IDisposable)?.Dispose();
        (Drift as IDisposable)?.Dispose();
    }
}
