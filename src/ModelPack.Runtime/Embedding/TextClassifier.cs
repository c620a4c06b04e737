using System.Collections.Immutable;
using ModelPack.Runtime.Generation;
using ModelPack.Runtime.Text;

namespace ModelPack.Runtime.Embedding;

/// <summary>A label of a text and how much the model holds it for right.</summary>
/// <param name="Label">The label, of <c>id2label</c> in the checkpoint's configuration.</param>
/// <param name="Score">A probability, or with <c>"problem_type": "regression"</c> the value itself.</param>
public sealed record TextScore(string Label, double Score);

/// <summary>
/// A model that gives labels to texts: an artifact of a checkpoint folder of an encoder with the head ForSequenceClassification, with its tokenizer. Scores are the softmax of the model's; with
/// <c>"problem_type": "multi_label_classification"</c>, or one label only, each by itself through the logistic function (transformers' text-classification pipeline). Thread-safe.
/// </summary>
public sealed class TextClassifier : IDisposable
{
    private const string Logits = "logits";
    private const string ConfigFile = "config.json";

    private readonly TextBatches _texts;
    private readonly string? _problem;

    private TextClassifier(TextBatches texts, ImmutableArray<string> labels, string? problem)
    {
        _texts = texts;
        _problem = problem;
        Labels = labels;
    }

    /// <summary>The labels, in the order of the model's scores.</summary>
    public ImmutableArray<string> Labels { get; }

    /// <summary>Opens an artifact.</summary>
    /// <exception cref="ModelPackException">MP1xxx, MP5001 to MP5003: as <see cref="ModelSession.Open"/>; MP1515: no encoder; MP5071: it has no head that scores texts, or the configuration names other labels; MP5030 to MP5032, MP5051: its tokenizer is missing, damaged or not supported.</exception>
    public static TextClassifier Open(string path, ModelSessionOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(path);
        ModelSession session = ModelSession.Open(path, options);
        return Create(session, name => session is PackedModel ? TextGenerator.ReadFile(path, name) : null);
    }

    /// <summary>Makes a classifier of an open model, which it takes over, also when this fails.</summary>
    /// <param name="session">The model.</param>
    /// <param name="file">A file of the checkpoint folder by name, or null.</param>
    internal static TextClassifier Create(ModelSession session, Func<string, ReadOnlyMemory<byte>?> file) => ModelSession.TakenOver(session, () =>
    {
        TextBatches.CheckInputs(session);
        if (session.Outputs.FirstOrDefault(o => o.Name == Logits) is not { DType: DType.F32, Dims: [_, { Size: long count and > 0 and < int.MaxValue }] })
        {
            throw new ModelPackException(ErrorCodes.NotAClassifier, $"gives {string.Join(", ", session.Outputs.Select(o => o.ToString()))}; labels of texts are made of f32 {Logits} [batch, labels], which classes ForSequenceClassification have");
        }

        Json? config = file(ConfigFile) is ReadOnlyMemory<byte> text ? Json.Parse(text, ConfigFile) : null;
        return new TextClassifier(TextBatches.Create(session, file, EncoderSettings.Read(file)), ReadLabels(config, (int)count), config?.Find("problem_type")?.Text());
    });

    /// <summary>The ids that a text becomes for the model, special ones included.</summary>
    /// <exception cref="ModelPackException">MP5032: the text cannot be normalized or taken apart here; MP5050: the vocabulary has no tokens for it.</exception>
    public ImmutableArray<int> Tokenize(string text) => _texts.Tokenize(text);

    /// <summary>The labels of a text, the likeliest first.</summary>
    /// <exception cref="ModelPackException">As the other overload.</exception>
    public ImmutableArray<TextScore> Classify(string text) => Classify([text])[0];

    /// <summary>The labels of texts, one list each, in their order, of which each has the likeliest first. Texts of like length go through the model together.</summary>
    /// <param name="texts">The texts; one that the tokenizer makes no token of has no labels.</param>
    /// <param name="batch">Most texts at a time.</param>
    /// <param name="cancellation">Seen between runs of the model.</param>
    /// <exception cref="ModelPackException">MP5032, MP5050: a text cannot be taken apart here; MP5005: ONNX Runtime failed.</exception>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="batch"/> is not above 0.</exception>
    public IReadOnlyList<ImmutableArray<TextScore>> Classify(IReadOnlyList<string> texts, int batch = 32, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(texts);
        var results = new ImmutableArray<TextScore>[texts.Count];
        Array.Fill(results, []);
        _texts.Run(texts, batch, Logits, (text, _, logits) => results[text] = Score(logits), cancellation);
        return results;
    }

    /// <summary>Closes the model.</summary>
    public void Dispose() => _texts.Dispose();

    private ImmutableArray<TextScore> Score(ReadOnlySpan<float> logits)
    {
        double[] scores = new double[logits.Length];
        double largest = double.NegativeInfinity;
        foreach (float logit in logits)
        {
            largest = Math.Max(largest, logit);
        }

        bool alone = _problem == "multi_label_classification" || logits.Length == 1;
        double sum = 0;
        for (int i = 0; i < scores.Length; i++)
        {
            scores[i] = _problem == "regression" ? logits[i] : alone ? 1 / (1 + Math.Exp(-logits[i])) : Math.Exp(logits[i] - largest);
            sum += scores[i];
        }

        double share = _problem == "regression" || alone ? 1 : sum;
        return [.. scores.Select((s, i) => new TextScore(Labels[i], s / share)).OrderByDescending(s => s.Score)];
    }

    /// <summary>The labels by number; without any, as transformers calls them.</summary>
    private static ImmutableArray<string> ReadLabels(Json? config, int count)
    {
        if (config?.Find("id2label") is not Json section)
        {
            return [.. Enumerable.Range(0, count).Select(i => FormattableString.Invariant($"LABEL_{i}"))];
        }

        string?[] labels = new string?[count];
        foreach ((string id, Json label) in section.Properties())
        {
            if (!int.TryParse(id, System.Globalization.NumberStyles.None, System.Globalization.CultureInfo.InvariantCulture, out int number) || number >= count || labels[number] is not null)
            {
                throw new ModelPackException(ErrorCodes.NotAClassifier, $"{ConfigFile}: id2label names '{id}', and the model has {count} labels");
            }

            labels[number] = label.Text();
        }

        return Array.IndexOf(labels, null) is int missing and >= 0
            ? throw new ModelPackException(ErrorCodes.NotAClassifier, $"{ConfigFile}: id2label does not name {missing}, and the model has {count} labels")
            : [.. labels!];
    }
}
