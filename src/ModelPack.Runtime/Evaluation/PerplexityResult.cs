namespace ModelPack.Runtime.Evaluation;

/// <summary>How well a language model predicts a text.</summary>
/// <param name="Nll">Mean negative log likelihood per predicted token, in nats.</param>
/// <param name="Tokens">Predicted tokens.</param>
public readonly record struct PerplexityResult(double Nll, long Tokens)
{
    /// <summary>exp(<see cref="Nll"/>).</summary>
    public double Perplexity => Math.Exp(Nll);
}
