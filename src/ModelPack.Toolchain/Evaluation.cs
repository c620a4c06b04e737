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
    /// <exception cref="ModelPackException">The model cannot be run or is no language model; the token file is too short.</exception>
    public static EvalResult Perplexity(
        string model, string tokens, int window = 256, int threads = 0, string? reference = null, long? residentBytes = null, IProgress<ToolProgress>? progress = null, CancellationToken cancellation = default)
    {
        long start = Stopwatch.GetTimestamp();
        using TokenFile file = TokenFile.Open(tokens);
        using ModelSession session = ModelInput.Open(model, new ModelSessionOptions { Threads = threads, ResidentBytes = residentBytes });
        RefuseMaskedWords(session);
        using ModelSession? other = reference is null ? null : ModelInput.Open(reference, new ModelSessionOptions { Threads = threads });
        var adapter = progress is null ? null : new WindowProgress(progress, model);
        PerplexityResult result;
        try
        {
            result = PerplexityMeter.Measure(session, file, window, other, adapter, cancellation);
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
            Data = tokens,
            Seconds = Stopwatch.GetElapsedTime(start).TotalSeconds,
        };
    }

    /// <summary>Agreement of a model's outputs with those of a reference, on .npy data or on seeded random inputs (and then says so).</summary>
    /// <exception cref="ModelPackException">A model cannot be run, their outputs differ in shape, or the data does not fit.</exception>
    public static EvalResult Agreement(
        string model, string reference, string? data, int threads = 0, long? residentBytes = null, IProgress<ToolProgress>? progress = null, CancellationToken cancellation = default)
    {
        long start = Stopwatch.GetTimestamp();
        var options = new ModelSessionOptions { Threads = threads };
        using ModelSession session = ModelInput.Open(model, options with { ResidentBytes = residentBytes });
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
