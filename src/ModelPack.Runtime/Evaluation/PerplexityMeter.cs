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
    /// <param name="progress">Told the windows done and their total.</param>
    /// <param name="cancellation">Checked once per run.</param>
    /// <exception cref="ModelPackException">MP5020: not such a model; MP5021: too few tokens, or ids outside the vocabulary.</exception>
    public static PerplexityResult Measure(
        ModelSession session, TokenFile tokens, int window = 256, IProgress<(long Done, long Total)>? progress = null, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(session);
        ArgumentNullException.ThrowIfNull(tokens);
        ArgumentOutOfRangeException.ThrowIfLessThan(window, 2);
        LanguageModelSignature signature = LanguageModelSignature.Of(session, window);
        long windows = tokens.Count / window;
        if (windows == 0)
        {
            throw new ModelPackException(ErrorCodes.TooFewTokens, $"{tokens.Count} tokens do not fill one window of {window}");
        }

        double sum = 0;
        int batch = 1; // The first run shows the size of the vocabulary.
        for (long done = 0; done < windows;)
        {
            cancellation.ThrowIfCancellationRequested();
            int count = (int)Math.Min(batch, windows - done);
            ushort[] ids = new ushort[count * window];
            tokens.Read(done * window, ids);
            sum += Score(session, signature, ids, count, window, out int vocabulary);
            done += count;
            batch = signature.FreeBatch ? (int)Math.Clamp(MaxLogitBytes / ((long)window * vocabulary * sizeof(float)), 1, 64) : 1;
            progress?.Report((done, windows));
        }

        long predicted = windows * (window - 1);
        return new PerplexityResult(sum / predicted, predicted);
    }

    /// <summary>Sum of the negative log likelihoods of one batch.</summary>
    private static double Score(ModelSession session, LanguageModelSignature signature, ushort[] ids, int batch, int window, out int vocabulary)
    {
        using var inputs = signature.MakeInputs(ids, batch, window);
        using ModelOutputs outputs = session.Run(inputs.Values, [signature.Logits]);
        OrtTensorTypeAndShapeInfo info = outputs[0].GetTensorTypeAndShape();
        if (info.Shape.Length != 3 || info.Shape[0] != batch || info.Shape[1] != window)
        {
            throw new ModelPackException(ErrorCodes.NotALanguageModel, $"output '{signature.Logits}' has shape [{string.Join(',', info.Shape)}], not [{batch},{window},vocabulary]", session.Path);
        }

        vocabulary = (int)info.Shape[2];
        foreach (ushort id in ids)
        {
            if (id >= vocabulary)
            {
                throw new ModelPackException(ErrorCodes.TooFewTokens, $"token id {id} is outside the model's vocabulary of {vocabulary}", session.Path);
            }
        }

        OrtValue logits = outputs[0];
        int words = vocabulary;
        double[] losses = new double[batch * window];
        Parallel.For(0, batch * window, position =>
        {
            if (position % window != window - 1)
            {
                ReadOnlySpan<float> row = logits.GetTensorDataAsSpan<float>().Slice(position * words, words);
                losses[position] = LogSumExp.Of(row) - row[ids[position + 1]];
            }
        });
        double sum = 0;
        foreach (double loss in losses)
        {
            sum += loss;
        }

        return sum;
    }
}
