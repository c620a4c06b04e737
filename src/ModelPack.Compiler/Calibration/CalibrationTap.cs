namespace ModelPack.Compiler.Calibration;

/// <summary>A value of the graph whose statistics are wanted: the activations that a weight is multiplied with.</summary>
/// <param name="Value">Name of the value in the main graph.</param>
/// <param name="Columns">Length of its last axis, over which the product sums: K.</param>
/// <param name="SecondMoments">True when X^T X is wanted, [K, K] numbers, besides minima, maxima and the histogram.</param>
/// <param name="Drift">True when, in a run that sees compressed layers, (F - X)^T X is wanted as well, F being the values of the model without compressed layers.</param>
/// <param name="Patches">For the input of a convolution: the vectors are patches of it, of K values; null: they lie along its last axis.</param>
public sealed record CalibrationTap(string Value, int Columns, bool SecondMoments, bool Drift = false, ConvolutionPatches? Patches = null)
{
    /// <summary>By what the statistics of the tap are found among those of others: the value, and which patches of it.</summary>
    public string Key => Patches is null ? Value : $"{Value}@{Patches}";

    /// <summary>Bytes that collecting takes.</summary>
    public long Bytes => (((((SecondMoments ? 1L : 0) + (Drift ? 1 : 0)) * Columns) + 6) * Columns * sizeof(float)) + (Histogram.Bins * sizeof(long));
}
