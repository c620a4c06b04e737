using ModelPack.Compiler.Calibration;

namespace ModelPack.Passes;

/// <summary>
/// Error diffusion: columns are rounded one after the other so that the error of the output so far is pushed into the next column, by projection (GPFQ: Zhang, Zhou, Saab, "Post-training quantization for neural networks
/// with provable guarantees", 2023; used for MX formats by Rouhani et al., arXiv 2310.10537, section 5). Looks back only, where GPTQ also minds what later columns can still make up for: no factorisation, and less
/// accurate where inputs are correlated.
/// </summary>
internal sealed class ErrorDiffusion : IWeightAlgorithm
{
    public string Name => "diffusion";

    public bool NeedsSecondMoments => true;

    public IPreparedAlgorithm Prepare(ActivationStatistics? statistics, AlgorithmOptions options, int threads, CancellationToken cancellation)
    {
        ArgumentNullException.ThrowIfNull(statistics);
        return new ErrorFeedback(FeedbackFactor.Diffusion(statistics, options.ActivationOrder, options.Damping), MomentMatrix.Importance(statistics), drift: null);
    }
}
