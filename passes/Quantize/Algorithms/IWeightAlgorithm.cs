using ModelPack.Compiler.Calibration;

namespace ModelPack.Passes;

/// <summary>
/// A way to choose the codes of a weight in a number format. Registered in <see cref="WeightAlgorithms"/>; stateless. What all of them share (reading rows, scales, packing, error sums) is in
/// <see cref="WeightEncoder"/>.
/// </summary>
internal interface IWeightAlgorithm
{
    /// <summary>The value of option <c>algorithm</c>.</summary>
    string Name { get; }

    /// <summary>True when it cannot work without <see cref="ActivationStatistics.SecondMoments"/>.</summary>
    bool NeedsSecondMoments { get; }

    /// <summary>Does what depends on the activations only, once for all weights that read them.</summary>
    /// <exception cref="ModelPackException">MP2216: the second moments are not usable.</exception>
    IPreparedAlgorithm Prepare(ActivationStatistics? statistics, AlgorithmOptions options, int threads, CancellationToken cancellation);
}

/// <summary>An algorithm ready for weights of one input. Safe to use from several threads.</summary>
internal interface IPreparedAlgorithm : IDisposable
{
    /// <summary>How much a squared error in each column counts, [K]: for the search of scales. Empty: all alike.</summary>
    ReadOnlySpan<float> Importance { get; }

    /// <summary>True when <see cref="Adjust"/> does something.</summary>
    bool Adjusts { get; }

    /// <summary>Changes the weights before scales are chosen.</summary>
    void Adjust(WeightTile tile);

    /// <summary>Chooses the codes of some rows.</summary>
    /// <param name="tile">The rows with their scales.</param>
    /// <param name="codes">[rows, K] destination.</param>
    /// <param name="losses">[rows] destination: what the errors of each row do to the squared output, as far as the algorithm knows; else left alone.</param>
    void ChooseCodes(WeightTile tile, Span<byte> codes, Span<double> losses);
}

/// <summary>Options of the algorithms, from the options of <c>quantize</c>.</summary>
/// <param name="ActivationOrder">GPTQ: columns with the largest activations first.</param>
/// <param name="Damping">GPTQ: part of the mean of the diagonal that is added to it.</param>
internal sealed record AlgorithmOptions(bool ActivationOrder, double Damping)
{
    /// <summary>For algorithms that take none.</summary>
    public static AlgorithmOptions None { get; } = new(false, 0);
}
