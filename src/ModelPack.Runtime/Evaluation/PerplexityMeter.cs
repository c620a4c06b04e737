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

    /// <summary>Log probabilities are handed to whoever saves them in parts of about this size.</summary>
    private const int MaxSavedBytes = 16 << 20;

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
        return Measure(session, tokens, window, reference is null ? null : new ModelPredictions(reference, window), saving: null, progress, cancellation);
    }

    /// <summary>As the public overload, with any reference.</summary>
    /// <param name="session">A model from token ids [batch, sequence] to logits [batch, sequence, vocabulary].</param>
    /// <param name="tokens">The text.</param>
    /// <param name="window">Tokens per window; at least 2.</param>
    /// <param name="reference">Predictions to compare with.</param>
    /// <param name="saving">Takes the model's own predictions, in file order.</param>
    /// <param name="progress">Told the windows done and their total.</param>
    /// <param name="cancellation">Checked once per run.</param>
    /// <param name="more">Further outputs of the model.</param>
    /// <param name="seen">Given the outputs of every run, and its windows.</param>
    internal static PerplexityResult Measure(
        ModelSession session, TokenFile tokens, int window, IReferencePredictions? reference, IPredictionWriter? saving, IProgress<(long Done, long Total)>? progress, CancellationToken cancellation,
        IReadOnlyList<string>? more = null, Action<ModelOutputs, int>? seen = null)
    {
        LanguageModelSignature signature = LanguageModelSignature.Of(session, window);
        if (signature.Logits == "last_hidden_state")
        {
            throw new ModelPackException(ErrorCodes.NotALanguageModel, "output 'last_hidden_state' holds vectors, not scores of words", session.Path);
        }

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
            using IReferenceBatch? expected = reference?.Predict(ids, done, count);
            using ModelOutputs logits = Logits(session, signature, ids, count, window, more);
            int vocabulary = (int)logits[0].GetTensorTypeAndShape().Shape[2];
            CheckVocabulary(ids, vocabulary, expected, session.Path);
            seen?.Invoke(logits, count);
            sum += Sum(logits[0], expected, ids, window, vocabulary, saving, cancellation);
            done += count;
            batch = signature.FreeBatch && reference is not { FreeBatch: false } ? (int)Math.Clamp(MaxLogitBytes / ((long)window * vocabulary * sizeof(float)), 1, 64) : 1;
            progress?.Report((done, windows));
        }

        long predicted = windows * (window - 1);
        return reference is null
            ? new PerplexityResult(sum.Loss / predicted, predicted)
            : new PerplexityResult(sum.Loss / predicted, predicted, sum.Divergence / predicted, (double)sum.Agreeing / predicted, sum.ReferenceLoss / predicted);
    }

    /// <summary>The logits of one batch, [batch, window, vocabulary], as the first output, and more.</summary>
    internal static ModelOutputs Logits(ModelSession session, LanguageModelSignature signature, ushort[] ids, int batch, int window, IReadOnlyList<string>? more = null)
    {
        using var inputs = signature.MakeInputs(ids, batch, window);
        ModelOutputs outputs = session.Run(inputs.Values, [signature.Logits, .. more ?? []]);
        OrtTensorTypeAndShapeInfo info = outputs[0].GetTensorTypeAndShape();
        if (info.Shape.Length == 3 && info.Shape[0] == batch && info.Shape[1] == window)
        {
            return outputs;
        }

        outputs.Dispose();
        throw new ModelPackException(ErrorCodes.NotALanguageModel, $"output '{signature.Logits}' has shape [{string.Join(',', info.Shape)}], not [{batch},{window},vocabulary]", session.Path);
    }

    private static void CheckVocabulary(ushort[] ids, int vocabulary, IReferenceBatch? reference, string path)
    {
        foreach (ushort id in ids)
        {
            if (id >= vocabulary)
            {
                throw new ModelPackException(ErrorCodes.TooFewTokens, $"token id {id} is outside the model's vocabulary of {vocabulary}", path);
            }
        }

        if (reference is not null && reference.Vocabulary != vocabulary)
        {
            throw new ModelPackException(ErrorCodes.OutputsDiffer, $"the reference predicts {reference.Vocabulary} tokens, the model {vocabulary}", path);
        }
    }

    /// <summary>What the predictions of one batch add.</summary>
    private static Score Sum(OrtValue logits, IReferenceBatch? reference, ushort[] ids, int window, int vocabulary, IPredictionWriter? saving, CancellationToken cancellation)
    {
        int predictions = ids.Length / window * (window - 1);
        int part = saving is null ? predictions : Math.Clamp(MaxSavedBytes / (vocabulary * sizeof(ushort)), 1, predictions);
        var scores = new Score[part];
        int[] likeliest = saving is null ? [] : new int[part];
        double[] losses = saving is null ? [] : new double[part];
        Half[] saved = saving is null ? [] : new Half[part * vocabulary];
        Score sum = default;
        for (int first = 0; first < predictions; first += part)
        {
            cancellation.ThrowIfCancellationRequested();
            int count = Math.Min(part, predictions - first);
            Parallel.For(0, count, i =>
            {
                int prediction = first + i;
                int position = (prediction / (window - 1) * window) + (prediction % (window - 1));
                ReadOnlySpan<float> row = logits.GetTensorDataAsSpan<float>().Slice(position * vocabulary, vocabulary);
                double mass = LogSumExp.Of(row);
                int next = ids[position + 1];
                scores[i] = new Score(mass - row[next], 0, 0, 0);
                if (reference is not null)
                {
                    scores[i] += reference.Compare(prediction, position, row, mass, next);
                }

                if (saving is not null)
                {
                    losses[i] = scores[i].Loss;
                    likeliest[i] = AgreementMeter.IndexOfMax(row);
                    LogProbabilities(row, mass, saved.AsSpan(i * vocabulary, vocabulary));
                }
            });
            foreach (Score score in scores.AsSpan(0, count))
            {
                sum += score;
            }

            saving?.Write(saved.AsSpan(0, count * vocabulary), vocabulary, likeliest.AsSpan(0, count), losses.AsSpan(0, count));
        }

        return sum;
    }

    /// <summary>Log probabilities in 16 bits; what is smaller than these hold becomes the smallest of them, for minus infinity times no probability is not a number.</summary>
    private static void LogProbabilities(ReadOnlySpan<float> logits, double mass, Span<Half> to)
    {
        float shift = (float)mass;
        for (int i = 0; i < logits.Length; i++)
        {
            Half value = (Half)(logits[i] - shift);
            to[i] = Half.IsNegativeInfinity(value) && float.IsFinite(logits[i]) ? Half.MinValue : value;
        }
    }
}
