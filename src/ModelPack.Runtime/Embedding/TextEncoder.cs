using System.Collections.Immutable;
using ModelPack.Runtime.Generation;

namespace ModelPack.Runtime.Embedding;

/// <summary>
/// A model that makes vectors of texts: an artifact of a checkpoint folder of an encoder (BERT, RoBERTa, DistilBERT, MPNet and their kin) with its tokenizer. Pooling and normalisation are those of sentence-transformers' files where
/// the folder has them, else the mean of all tokens as it is. Thread-safe.
/// </summary>
public sealed class TextEncoder : IDisposable
{
    private const string Hidden = "last_hidden_state";

    private readonly TextBatches _texts;
    private readonly EncoderSettings _settings;
    private readonly int _hidden;

    private TextEncoder(TextBatches texts, EncoderSettings settings, int hidden)
    {
        _texts = texts;
        _settings = settings;
        _hidden = hidden;
        Dimensions = settings.Dimensions(hidden);
    }

    /// <summary>Values of a vector.</summary>
    public int Dimensions { get; }

    /// <summary>How the vectors of tokens become one: the results of all of these, one behind the other.</summary>
    public ImmutableArray<TextPooling> Poolings => _settings.Poolings;

    /// <summary>Values per vector that the dense layers behind pooling give, in their order; empty without any.</summary>
    public ImmutableArray<int> DenseLayers => [.. _settings.Steps.OfType<DenseModule>().Select(d => d.Outputs)];

    /// <summary>True when vectors have length 1.</summary>
    public bool Normalized => _settings.Steps is [.., null];

    /// <summary>Most tokens of a text, special ones included: longer texts are cut off; null when the configuration does not say.</summary>
    public int? MaxTokens => _settings.MaxTokens;

    /// <summary>Opens an artifact.</summary>
    /// <exception cref="ModelPackException">MP1xxx, MP5001 to MP5003: as <see cref="ModelSession.Open"/>; MP1515: no encoder; MP1514, MP5070: sentence-transformers' files ask for something that is not supported, or are damaged; MP5030 to MP5032, MP5051: its tokenizer is missing, damaged or not supported.</exception>
    public static TextEncoder Open(string path, ModelSessionOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(path);
        ModelSession session = ModelSession.Open(path, options);
        return Create(session, name => session is PackedModel ? TextGenerator.ReadFile(path, name) : null);
    }

    /// <summary>Makes an encoder of an open model, which it takes over, also when this fails.</summary>
    /// <param name="session">The model.</param>
    /// <param name="file">A file of the checkpoint folder by name, or null.</param>
    internal static TextEncoder Create(ModelSession session, Func<string, ReadOnlyMemory<byte>?> file) => ModelSession.TakenOver(session, () =>
    {
        int hidden = Check(session);
        EncoderSettings settings = EncoderSettings.Read(file);
        return new TextEncoder(TextBatches.Create(session, file, settings), settings, hidden);
    });

    /// <summary>The ids that a text becomes for the model, special ones included, cut off at <see cref="MaxTokens"/>.</summary>
    /// <exception cref="ModelPackException">MP5032: the text cannot be normalized or taken apart here; MP5050: the vocabulary has no tokens for it.</exception>
    public ImmutableArray<int> Tokenize(string text) => _texts.Tokenize(text);

    /// <summary>The vector of a text.</summary>
    /// <exception cref="ModelPackException">As the other overload.</exception>
    public float[] Embed(string text) => Embed([text])[0];

    /// <summary>The vectors of texts, one each, in their order. Texts of like length go through the model together.</summary>
    /// <param name="texts">The texts; empty ones are allowed.</param>
    /// <param name="batch">Most texts at a time.</param>
    /// <param name="cancellation">Seen between runs of the model.</param>
    /// <exception cref="ModelPackException">MP5032, MP5050: a text cannot be taken apart here; MP5005: ONNX Runtime failed.</exception>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="batch"/> is not above 0.</exception>
    public IReadOnlyList<float[]> Embed(IReadOnlyList<string> texts, int batch = 32, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(texts);
        float[][] vectors = [.. texts.Select(_ => new float[Dimensions])]; // Without tokens around it, an empty text has nothing to look at.
        _texts.Run(texts, batch, Hidden, (text, length, hidden) => vectors[text] = Pool(hidden, length), cancellation);
        return vectors;
    }

    /// <summary>Closes the model.</summary>
    public void Dispose() => _texts.Dispose();

    /// <summary>One vector of those of all tokens of a text; padding is not among them.</summary>
    private float[] Pool(ReadOnlySpan<float> tokens, int length)
    {
        double[] vector = new double[_hidden * Poolings.Length];
        for (int p = 0; p < Poolings.Length; p++)
        {
            Pool(tokens, length, Poolings[p], vector.AsSpan(p * _hidden, _hidden));
        }

        foreach (DenseModule? dense in _settings.Steps)
        {
            double norm = Math.Max(Math.Sqrt(vector.Sum(v => v * v)), 1e-12);
            vector = dense is null ? Array.ConvertAll(vector, v => v / norm) : dense.Apply(vector);
        }

        return Array.ConvertAll(vector, v => (float)v);
    }

    private static void Pool(ReadOnlySpan<float> tokens, int length, TextPooling pooling, Span<double> sum)
    {
        for (int c = 0; c < sum.Length; c++)
        {
            double value = tokens[c];
            double largest = value;
            double weighted = value;
            for (int t = 1; t < length && pooling is not (TextPooling.Cls or TextPooling.LastToken); t++)
            {
                float other = tokens[(t * sum.Length) + c];
                largest = Math.Max(largest, other);
                weighted += (t + 1.0) * other;
                value += other;
            }

            sum[c] = pooling switch
            {
                TextPooling.Mean => value / length,
                TextPooling.MeanSqrtLength => value / Math.Sqrt(length),
                TextPooling.Max => largest,
                TextPooling.WeightedMean => weighted / (length * (length + 1.0) / 2),
                TextPooling.LastToken => tokens[((length - 1) * sum.Length) + c],
                _ => value,
            };
        }
    }

    /// <returns>Values of a vector.</returns>
    private static int Check(ModelSession session)
    {
        TextBatches.CheckInputs(session);
        return session.Outputs.FirstOrDefault(o => o.Name == Hidden) is { DType: DType.F32, Dims: [_, _, { Size: long size and > 0 and < int.MaxValue }] }
            ? (int)size
            : throw new ModelPackException(ErrorCodes.NotAnEncoder, $"gives {string.Join(", ", session.Outputs.Select(o => o.ToString()))}; vectors of texts are made of f32 {Hidden} [batch, seq, hidden], which the bare class of a checkpoint has (BertModel), not one with a head");
    }
}
