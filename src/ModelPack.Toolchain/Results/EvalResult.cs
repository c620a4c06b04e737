namespace ModelPack.Toolchain;

/// <summary>Quality of a model: perplexity on tokens, or agreement with a reference.</summary>
public sealed record EvalResult
{
    public required string Model { get; init; }

    public required double Seconds { get; init; }

    public double? Perplexity { get; init; }

    /// <summary>Mean negative log likelihood per predicted token, nats.</summary>
    public double? Nll { get; init; }

    /// <summary>Predicted tokens.</summary>
    public long? Tokens { get; init; }

    /// <summary>Mean Kullback-Leibler divergence of the predicted tokens from those of the reference, nats: tells compressions apart that perplexity does not.</summary>
    public double? Divergence { get; init; }

    /// <summary>Perplexity of the reference on the same tokens.</summary>
    public double? ReferencePerplexity { get; init; }

    /// <summary>Mean negative log likelihood per predicted token by the reference, nats.</summary>
    public double? ReferenceNll { get; init; }

    /// <summary>The file that the model's predictions were written to.</summary>
    public string? SavedLogits { get; init; }

    /// <summary>Of an artifact with contextual perceptrons (pass <c>activation-sparsity</c>): which share of their activations was zero on these tokens.</summary>
    public ContextualSparsity? ContextualSparsity { get; init; }

    /// <summary>Agreement per output with the reference; the fields below are the worst of these.</summary>
    public IReadOnlyList<OutputAgreement> Outputs { get; init; } = [];

    public double? MaxAbsError { get; init; }

    public double? SqnrDb { get; init; }

    public double? Cosine { get; init; }

    public double? Top1Agreement { get; init; }

    /// <summary>What the data was, for instance the folder, or "random inputs, seed 0".</summary>
    public string? Data { get; init; }
}

/// <summary>Agreement of one output.</summary>
public sealed record OutputAgreement(string Name, double MaxAbsError, double? SqnrDb, double Cosine, double Top1Agreement);

/// <summary>Shares of the activations of gated perceptrons that are at most a threshold and set to zero, whose neurons kernels may leave out.</summary>
/// <param name="Mean">Of all perceptrons.</param>
/// <param name="Least">Of the one with the least.</param>
/// <param name="Most">Of the one with the most.</param>
/// <param name="Perceptrons">Their number.</param>
public sealed record ContextualSparsity(double Mean, double Least, double Most, int Perceptrons);
