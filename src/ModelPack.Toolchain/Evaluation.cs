using System.Diagnostics;
using ModelPack.Architectures;
using ModelPack.Runtime;
using ModelPack.Runtime.Evaluation;
using ModelPack.Runtime.Generation;

namespace ModelPack.Toolchain;

/// <summary>Quality of a model that can be run.</summary>
public static class Evaluation
{
    private const int RandomSamples = 8;

    /// <summary>Perplexity on a token file; see <see cref="PerplexityMeter"/> for the protocol; with a reference also how far predictions are from those of it.</summary>
    /// <param name="model">What is measured.</param>
    /// <param name="tokens">A token file.</param>
    /// <param name="window">Tokens per window.</param>
    /// <param name="threads">Threads; 0: one per processor.</param>
    /// <param name="reference">A model, or a file of logits that this saved of one on the same tokens and windows.</param>
    /// <param name="weights">Where weights of the model are kept; null: in memory.</param>
    /// <param name="saveLogits">Where to write the model's predictions, to compare others with; null: nowhere. Two bytes per prediction and word of the vocabulary, written as they are made.</param>
    /// <param name="progress">Told the windows done.</param>
    /// <param name="cancellation">Stops; nothing is left of the file.</param>
    /// <exception cref="ModelPackException">The model cannot be run or is no language model; the token file is too short; MP5060, MP5061: the saved logits are none, or of other tokens.</exception>
    public static EvalResult Perplexity(
        string model, string tokens, int window = 256, int threads = 0, string? reference = null, WeightStorage? weights = null, string? saveLogits = null, IProgress<ToolProgress>? progress = null,
        CancellationToken cancellation = default)
    {
        long start = Stopwatch.GetTimestamp();
        if (saveLogits is not null)
        {
            OutputChecks.RefuseToOverwrite(saveLogits, [model, tokens, .. reference is null ? Array.Empty<string>() : [reference]]);
        }

        using TokenFile file = TokenFile.Open(tokens);
        using SavedLogits? saved = reference is null ? null : SavedLogits.TryOpen(reference, cancellation);
        saved?.Check(file, window);
        ModelSessionOptions options = WeightStorage.Options(threads, weights);
        using ModelSession session = WatchedActivations.TryOpen(model, options, out WatchedActivations? watched, cancellation) ?? ModelInput.Open(model, options);
        RefuseMaskedWords(session);
        using ModelSession? other = reference is null || saved is not null ? null : ModelInput.Open(reference, new ModelSessionOptions { Threads = threads });
        var adapter = progress is null ? null : new WindowProgress(progress, model);
        PerplexityResult Measure(IPredictionWriter? saving)
        {
            IReferencePredictions? expected = other is null ? saved : new ModelPredictions(other, window);
            return PerplexityMeter.Measure(session, file, window, expected, saving, adapter, cancellation, watched?.Outputs, watched is null ? null : watched.Add);
        }

        PerplexityResult result = default;
        try
        {
            if (saveLogits is null)
            {
                result = Measure(null);
            }
            else
            {
                using var files = new AtomicFiles();
                files.Add(saveLogits, stream =>
                {
                    var writer = new SavedLogitsWriter(stream, file, window);
                    result = Measure(writer);
                    writer.Complete();
                });
                files.Commit();
            }
        }
        catch (AggregateException e) when (e.Flatten().InnerExceptions.OfType<ModelPackException>().FirstOrDefault() is ModelPackException error)
        {
            throw error; // From one of several threads.
        }
        catch (ModelPackException e) when (e.Code != ErrorCodes.OutputsDiffer)
        {
            throw e.WithPath(tokens);
        }

        return new EvalResult
        {
            Model = model,
            Perplexity = result.Perplexity,
            Nll = result.Nll,
            Tokens = result.Tokens,
            Divergence = result.Divergence,
            Top1Agreement = result.Top1Agreement,
            ReferencePerplexity = result.ReferencePerplexity,
            ReferenceNll = result.ReferenceNll,
            SavedLogits = saveLogits,
            ContextualSparsity = watched?.Result(),
            Data = tokens,
            Seconds = Stopwatch.GetElapsedTime(start).TotalSeconds,
        };
    }

    /// <summary>Agreement of a model's outputs with those of a reference, on .npy data or on seeded random inputs (and then says so).</summary>
    /// <exception cref="ModelPackException">A model cannot be run, their outputs differ in shape, or the data does not fit.</exception>
    public static EvalResult Agreement(
        string model, string reference, string? data, int threads = 0, WeightStorage? weights = null, IProgress<ToolProgress>? progress = null, CancellationToken cancellation = default)
    {
        long start = Stopwatch.GetTimestamp();
        using (SavedLogits? saved = SavedLogits.TryOpen(reference, cancellation))
        {
            if (saved is not null)
            {
                throw new ModelPackException(ErrorCodes.LogitsOfOtherTokens, "saved logits are compared on the tokens that they were made of (--tokens), not on other inputs", reference);
            }
        }

        var options = new ModelSessionOptions { Threads = threads };
        using ModelSession session = ModelInput.Open(model, WeightStorage.Options(threads, weights));
        using ModelSession other = ModelInput.Open(reference, options);
        var meter = new AgreementMeter();
        foreach (IReadOnlyList<NamedTensor> sample in data is null ? RandomInputs(other) : SampleInputs.FromFolder(other, data))
        {
            cancellation.ThrowIfCancellationRequested();
            meter.Add(session, other, sample);
            progress?.Report(new ToolProgress("evaluate", meter.Samples, 0, model));
        }

        IReadOnlyList<AgreementResult> results = meter.Results();
        return new EvalResult
        {
            Model = model,
            Outputs = [.. results.Select(r => new OutputAgreement(r.Name, r.MaxAbsError, r.SqnrDb, r.Cosine, r.Top1Agreement))],
            MaxAbsError = results.Max(r => r.MaxAbsError),
            SqnrDb = results.Min(r => r.SqnrDb),
            Cosine = results.Min(r => r.Cosine),
            Top1Agreement = results.Min(r => r.Top1Agreement),
            Data = data ?? $"{RandomSamples} samples of random inputs (seeds 0 to {RandomSamples - 1}): real data says more",
            Seconds = Stopwatch.GetElapsedTime(start).TotalSeconds,
        };
    }

    /// <summary>A model of masked words sees the token that it would predict.</summary>
    private static void RefuseMaskedWords(ModelSession session)
    {
        ReadOnlyMemory<byte>? config = Directory.Exists(session.Path) ? ModelInput.Files(session.Path, TextGenerator.MaxFileBytes)(ModelConfig.FileName)
            : session is PackedModel ? TextGenerator.ReadFile(session.Path, ModelConfig.FileName) : null;
        if (config is ReadOnlyMemory<byte> text && RecipeChoice.IsOfMaskedWords(text))
        {
            throw new ModelPackException(ErrorCodes.NotALanguageModel, "it predicts masked words from both sides and sees the tokens that perplexity asks for; 'eval --reference' compares outputs", session.Path);
        }
    }

    private static IEnumerable<IReadOnlyList<NamedTensor>> RandomInputs(ModelSession session)
    {
        for (int sample = 0; sample < RandomSamples; sample++)
        {
            yield return [.. session.Inputs.Select((input, i) => SampleInputs.Random(input, ((ulong)sample << 32) + (ulong)i))];
        }
    }

    private sealed class WindowProgress(IProgress<ToolProgress> target, string model) : IProgress<(long Done, long Total)>
    {
        public void Report((long Done, long Total) value) => target.Report(new ToolProgress("evaluate", value.Done, value.Total, model));
    }
}
