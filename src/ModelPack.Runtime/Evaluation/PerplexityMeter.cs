using Microsoft.ML.OnnxRuntime;

namespace ModelPack.Runtime.Evaluation;

/// <summary>
/// Perplexity on a token file: windows that do not overlap, the tail dropped, no token put in front; tokens 1 to W-1 of each window are
/// predicted from those before. The sum of their negative log likelihoods is kept in double precision, in file order.
/// </summary>
public static class PerplexityMeter
{
    /// <summary>Logits of one run are kept below this, so that large vocabularies do not take gigabytes.</summary>
    private const long MaxLogitBytes = 64L << 20;

    /// <param name="session">A model from token ids [batch, sequence] to logits [batch, sequence, vocabulary].</param>
    /// <param name="tokens">The text.</param>
    /// <param name="window">Tokens per window; at least 2.</param>
    /// <param name="reference">A model whose predictions are compared with; takes the same inputs.</param>
    /// <param name="progress">Told the windows done and their total.</param>
    /// <param name="cancellation">Checked once per run.</param>
    /// <exception cref="ModelPackException">MP5020: not such a model; MP5021: too few tokens, or ids outside the vocabulary; MP5023: the reference has another vocabulary.</exception>
    public static PerplexityResult Measure(
        ModelSession session, TokenFile tokens, int window = 256, ModelSession? reference = null, IProgress<(long Done, long Total)>? progress = null, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(session);
        ArgumentNullException.ThrowIfNull(tokens);
        ArgumentOutOfRangeException.ThrowIfLessThan(window, 2);
        LanguageModelSignature signature = LanguageModelSignature.Of(session, window);
        if (signature.Logits == "last_hidden_state")
        {
            throw new ModelPackException(ErrorCodes.NotALanguageModel, "output 'last_hidden_state' holds vectors, not scores of words", session.Path);
        }

        LanguageModelSignature? other = reference is null ? null : LanguageModelSignature.Of(reference, window);
        long windows = tokens.Count / window;
        if (windows == 0)
        {
            throw new ModelPackException(ErrorCodes.TooFewTokens, $"{tokens.Count} tokens do not fill one window of {window}");
        }

        Score sum = default;
        int batch = 1; // The first run shows the size of the vocabulary.
        for (long done = 0; done < windows;)
        {
            cancellation.ThrowIfCancellationRequested();
            int count = (int)Math.Min(batch, windows - done);
            ushort[] ids = new ushort[count * window];
            tokens.Read(done * window, ids);
            using ModelOutputs? expected = other is null ? null : Logits(reference!, other, ids, count, window);
            using ModelOutputs logits = Logits(session, signature, ids, count, window);
            int vocabulary = (int)logits[0].GetTensorTypeAndShape().Shape[2];
            sum += Sum(logits[0], expected?[0], ids, count, window, vocabulary, session.Path);
            done += count;
            batch = signature.FreeBatch && other is not { FreeBatch: false } ? (int)Math.Clamp(MaxLogitBytes / ((long)window * vocabulary * sizeof(float)), 1, 64) : 1;
            progress?.Report((done, windows));
        }

        long predicted = windows * (window - 1);
        return reference is null
            ? new PerplexityResult(sum.Loss / predicted, predicted)
            : new PerplexityResult(sum.Loss / predicted, predicted, sum.Divergence / predicted, (double)sum.Agreeing / predicted);
    }

    /// <summary>The logits of one batch, [batch, window, vocabulary], as the only output.</summary>
    private static ModelOutputs Logits(ModelSession session, LanguageModelSignature signature, ushort[] ids, int batch, int window)
    {
        using var inputs = signature.MakeInputs(ids, batch, window);
        ModelOutputs outputs = session.Run(inputs.Values, [signature.Logits]);
        OrtTensorTypeAndShapeInfo info = outputs[0].GetTensorTypeAndShape();
        if (info.Shape.Length == 3 && info.Shape[0] == batch && info.Shape[1] == window)
        {
            return outputs;
        }

        outputs.Dispose();
        throw new ModelPackException(ErrorCodes.NotALanguageModel, $"output '{signature.Logits}' has shape [{string.Join(',', info.Shape)}], not [{batch},{window},vocabulary]", session.Path);
    }

    /// <summary>What the predictions of one batch add.</summary>
    private static Score Sum(OrtValue logits, OrtValue? reference, ushort[] ids, int batch, int window, int vocabulary, string path)
    {
        foreach (ushort id in ids)
        {
            if (id >= vocabulary)
            {
                throw new ModelPackException(ErrorCodes.TooFewTokens, $"token id {id} is outside the model's vocabulary of {vocabulary}", path);
            }
        }

        if (reference is not null && reference.GetTensorTypeAndShape().Shape[2] != vocabulary)
        {
            throw new ModelPackException(ErrorCodes.OutputsDiffer, $"the reference predicts {reference.GetTensorTypeAndShape().Shape[2]} tokens, the model {vocabulary}", path);
        }

        var scores = new Score[batch * window];
        Parallel.For(0, batch * window, position =>
        {
            if (position % window != window - 1)
            {
                ReadOnlySpan<float> row = logits.GetTensorDataAsSpan<float>().Slice(position * vocabulary, vocabulary);
                double loss = LogSumExp.Of(row) - row[ids[position + 1]];
                ReadOnlySpan<float> expected = reference is null ? row : reference.GetTensorDataAsSpan<float>().Slice(position * vocabulary, vocabulary);
                scores[position] = reference is null
                    ? new Score(loss, 0, 0)
                    : new Score(loss, Divergence.Of(expected, row), AgreementMeter.IndexOfMax(row) == AgreementMeter.IndexOfMax(expected) ? 1 : 0);
            }
        });
        Score sum = default;
        foreach (Score score in scores)
        {
            sum += score;
        }

        return sum;
    }

    /// <summary>Sums over predictions.</summary>
    private readonly record struct Score(double Loss, double Divergence, long Agreeing)
    {
        public static Score operator +(Score a, Score b) => new(a.Loss + b.Loss, a.Divergence + b.Divergence, a.Agreeing + b.Agreeing);
    }
}
