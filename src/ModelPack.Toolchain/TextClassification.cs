using System.Collections.Immutable;
using System.Diagnostics;
using ModelPack.Architectures;
using ModelPack.Runtime;
using ModelPack.Runtime.Embedding;
using ModelPack.Runtime.Generation;

namespace ModelPack.Toolchain;

/// <summary>Gives labels to texts.</summary>
public static class TextClassification
{
    /// <summary>Gives labels to texts.</summary>
    /// <param name="model">An artifact of a checkpoint folder of an encoder with the head ForSequenceClassification, or such a folder.</param>
    /// <param name="texts">The texts.</param>
    /// <param name="threads">Threads of a run; 0 means all cores.</param>
    /// <param name="weights">Where weights of artifacts are kept; null: in memory.</param>
    /// <param name="cancellation">Stops between two runs.</param>
    /// <exception cref="ModelPackException">The model cannot be opened, scores no texts, or has no usable tokenizer.</exception>
    public static ClassifyResult Classify(string model, IReadOnlyList<string> texts, int threads = 0, WeightStorage? weights = null, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(texts);
        long start = Stopwatch.GetTimestamp();
        using TextClassifier classifier = Open(model, WeightStorage.Options(threads, weights));
        double load = Stopwatch.GetElapsedTime(start).TotalSeconds;
        start = Stopwatch.GetTimestamp();
        IReadOnlyList<ImmutableArray<TextScore>> scores = classifier.Classify(texts, cancellation: cancellation);
        return new ClassifyResult
        {
            Model = model,
            Texts = [.. texts.Select((text, i) => new ClassifiedText(text, classifier.Tokenize(text).Length, scores[i].FirstOrDefault()?.Label, scores[i].FirstOrDefault()?.Score, scores[i]))],
            Seconds = Stopwatch.GetElapsedTime(start).TotalSeconds,
            LoadSeconds = load,
        };
    }

    private static TextClassifier Open(string path, ModelSessionOptions options) => Directory.Exists(path)
        ? TextClassifier.Create(ModelInput.Open(path, options, GraphForm.Full), ModelInput.Files(path, TextGenerator.MaxFileBytes))
        : TextClassifier.Open(path, options);
}
