namespace ModelPack.Runtime.Evaluation;

/// <summary>How well a language model predicts a text, and how near it stays to a reference.</summary>
/// <param name="Nll">Mean negative log likelihood per predicted token, in nats.</param>
/// <param name="Tokens">Predicted tokens.</param>
/// <param name="Divergence">Mean Kullback-Leibler divergence of the predictions from those of the reference, in nats; null without one.</param>
/// <param name="Top1Agreement">Share of predictions whose likeliest token is the reference's; null without one.</param>
/// <param name="ReferenceNll">Mean negative log likelihood by the reference, in nats; null without one.</param>
public readonly record struct PerplexityResult(double Nll, long Tokens, double? Divergence = null, double? Top1Agreement = null, double? ReferenceNll = null)
{
    /// <summary>exp(<see cref="Nll"/>).</summary>
    public double Perplexity => Math.Exp(Nll);

    /// <summary>exp(<see cref="ReferenceNll"/>); null without a reference.</summary>
    public double? ReferencePerplexity => ReferenceNll is double nll ? Math.Exp(nll) : null;
}
