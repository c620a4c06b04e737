namespace ModelPack.Runtime.Evaluation;

/// <summary>What a model's predictions are compared with.</summary>
internal interface IReferencePredictions
{
    /// <summary>True when several windows may be asked for at once.</summary>
    bool FreeBatch { get; }

    /// <summary>The predictions in some windows.</summary>
    /// <param name="ids">Their tokens, [windows, window].</param>
    /// <param name="firstWindow">Windows before them.</param>
    /// <param name="windows">How many they are.</param>
    IReferenceBatch Predict(ushort[] ids, long firstWindow, int windows);
}

/// <summary>Predictions of a reference in some windows. Safe to use from several threads at once.</summary>
internal interface IReferenceBatch : IDisposable
{
    /// <summary>Words that each prediction has a score for.</summary>
    int Vocabulary { get; }

    /// <summary>Compares one prediction of a model.</summary>
    /// <param name="prediction">Its number in these windows, each of which has one less than tokens.</param>
    /// <param name="position">The token after which it is made, in these windows.</param>
    /// <param name="logits">[vocabulary] logits of the model.</param>
    /// <param name="mass">log sum exp of these.</param>
    /// <param name="next">The token that comes.</param>
    Score Compare(int prediction, int position, ReadOnlySpan<float> logits, double mass, int next);
}

/// <summary>Takes the predictions of a model as they are made.</summary>
internal interface IPredictionWriter
{
    /// <param name="logProbabilities">[predictions, vocabulary].</param>
    /// <param name="vocabulary">Words.</param>
    /// <param name="likeliest">[predictions] the likeliest word, from logits as they were.</param>
    /// <param name="losses">[predictions] negative log likelihood of the token that comes, nats.</param>
    void Write(ReadOnlySpan<Half> logProbabilities, int vocabulary, ReadOnlySpan<int> likeliest, ReadOnlySpan<double> losses);
}

/// <summary>Sums over predictions.</summary>
/// <param name="Loss">Negative log likelihoods, nats.</param>
/// <param name="Divergence">Kullback-Leibler divergences from the reference, nats.</param>
/// <param name="Agreeing">Predictions whose likeliest word is the reference's.</param>
/// <param name="ReferenceLoss">Negative log likelihoods by the reference, nats.</param>
internal readonly record struct Score(double Loss, double Divergence, long Agreeing, double ReferenceLoss)
{
    public static Score operator +(Score a, Score b) => new(a.Loss + b.Loss, a.Divergence + b.Divergence, a.Agreeing + b.Agreeing, a.ReferenceLoss + b.ReferenceLoss);
}
