using System.Collections.Immutable;
using ModelPack.Runtime.Generation;
using ModelPack.Runtime.Text;

namespace ModelPack.Runtime.Embedding;

/// <summary>
/// A model that makes vectors of texts: an artifact of a checkpoint folder of an encoder (BERT, RoBERTa, DistilBERT, MPNet and their kin) with its tokenizer. Pooling and normalisation are those of sentence-transformers' files where
/// the folder has them, else the mean of all tokens as it is. Thread-safe.
/// </summary>
public sealed class TextEncoder : IDisposable
{
    private const string Hidden = "last_hidden_state";

    private readonly ModelSession _session;
    private readonly ITextTokenizer _tokenizer;
    private readonly EncoderSettings _settings;

    private TextEncoder(ModelSession session, ITextTokenizer tokenizer, EncoderSettings settings, int dimensions)
    {
        _session = session;
        _tokenizer = tokenizer;
        _settings = settings;
        Dimensions = dimensions;
    }

    /// <summary>Values of a vector.</summary>
    public int Dimensions { get; }

    /// <summary>How the vectors of tokens become one.</summary>
    public TextPooling Pooling => _settings.Pooling;

    /// <summary>True when vectors have length 1.</summary>
    public bool Normalized => _settings.Normalize;

    /// <summary>Most tokens of a text, special ones included: longer texts are cut off; null when the configuration does not say.</summary>
    public int? MaxTokens => _settings.MaxTokens;

    /// <summary>Opens an artifact.</summary>
    /// <exception cref="ModelPackException">MP1xxx, MP5001 to MP5003: as <see cref="ModelSession.Open"/>; MP1515: no encoder; MP1514: sentence-transformers' files ask for something that is not supported; MP5030 to MP5032, MP5051: its tokenizer is missing, damaged or not supported.</exception>
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
        int dimensions = Check(session);
        EncoderSettings settings = EncoderSettings.Read(file);
        ITextTokenizer tokenizer = ReadTokenizer(file);
        int around = tokenizer.Prefix.Length + tokenizer.Suffix.Length;
        return settings.MaxTokens < around
            ? throw new ModelPackException(ErrorCodes.SentenceModules, $"texts have at most {settings.MaxTokens} tokens, and the tokenizer puts {around} around each")
            : new TextEncoder(session, tokenizer, settings, dimensions);
    });

    /// <summary>The ids that a text becomes for the model, special ones included, cut off at <see cref="MaxTokens"/>.</summary>
    /// <exception cref="ModelPackException">MP5032: the text cannot be normalized or taken apart here; MP5050: the vocabulary has no tokens for it.</exception>
    public ImmutableArray<int> Tokenize(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        try
        {
            ImmutableArray<int> ids = _tokenizer.Encode(_settings.Lowercase ? text.ToLowerInvariant() : text, around: false);
            int room = _settings.MaxTokens is int most ? most - _tokenizer.Prefix.Length - _tokenizer.Suffix.Length : int.MaxValue;
            return [.. _tokenizer.Prefix, .. ids.Length > room ? ids[..room] : ids, .. _tokenizer.Suffix];
        }
        catch (ModelPackException e)
        {
            throw e.WithPath(_session.Path);
        }
    }

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
        ArgumentOutOfRangeException.ThrowIfLessThan(batch, 1);
        ImmutableArray<int>[] ids = [.. texts.Select(Tokenize)];
        float[][] vectors = new float[ids.Length][];
        foreach (int[] chunk in Enumerable.Range(0, ids.Length).OrderByDescending(i => ids[i].Length).ThenBy(i => i).Chunk(batch))
        {
            cancellation.ThrowIfCancellationRequested();
            Run(chunk, ids, vectors);
        }

        return vectors;
    }

    /// <summary>Closes the model.</summary>
    public void Dispose() => _session.Dispose();

    /// <summary>Runs texts of which the first is the longest.</summary>
    private void Run(int[] chunk, ImmutableArray<int>[] ids, float[][] vectors)
    {
        int width = ids[chunk[0]].Length;
        if (width == 0)
        {
            foreach (int text in chunk)
            {
                vectors[text] = new float[Dimensions]; // Without tokens around it, an empty text has nothing to look at.
            }

            return;
        }

        long[] tokens = new long[chunk.Length * width];
        long[] mask = new long[tokens.Length];
        tokens.AsSpan().Fill(_settings.PaddingToken);
        for (int row = 0; row < chunk.Length; row++)
        {
            for (int i = 0; i < ids[chunk[row]].Length; i++)
            {
                (tokens[(row * width) + i], mask[(row * width) + i]) = (ids[chunk[row]][i], 1);
            }
        }

        NamedTensor[] inputs = [.. _session.Inputs.Select(i => NamedTensor.Of(i.Name, i.Name switch { "input_ids" => tokens, "attention_mask" => mask, _ => new long[tokens.Length] }, chunk.Length, width))];
        ReadOnlySpan<float> hidden = _session.Run(inputs).First(o => o.Name == Hidden).Values<float>();
        for (int row = 0; row < chunk.Length; row++)
        {
            int length = ids[chunk[row]].Length;
            vectors[chunk[row]] = Pool(hidden.Slice(row * width * Dimensions, length * Dimensions), length);
        }
    }

    /// <summary>One vector of those of all tokens of a text; padding is not among them.</summary>
    private float[] Pool(ReadOnlySpan<float> tokens, int length)
    {
        double[] sum = new double[Dimensions];
        float[] result = new float[Dimensions];
        for (int c = 0; c < sum.Length && length > 0; c++)
        {
            double value = tokens[c];
            double largest = value;
            double weighted = value;
            for (int t = 1; t < length && Pooling is not (TextPooling.Cls or TextPooling.LastToken); t++)
            {
                float other = tokens[(t * Dimensions) + c];
                largest = Math.Max(largest, other);
                weighted += (t + 1.0) * other;
                value += other;
            }

            sum[c] = Pooling switch
            {
                TextPooling.Mean => value / length,
                TextPooling.MeanSqrtLength => value / Math.Sqrt(length),
                TextPooling.Max => largest,
                TextPooling.WeightedMean => weighted / (length * (length + 1.0) / 2),
                TextPooling.LastToken => tokens[((length - 1) * Dimensions) + c],
                _ => value,
            };
        }

        double norm = Normalized ? Math.Max(Math.Sqrt(sum.Sum(v => v * v)), 1e-12) : 1;
        for (int c = 0; c < result.Length; c++)
        {
            result[c] = (float)(sum[c] / norm);
        }

        return result;
    }

    /// <returns>Values of a vector.</returns>
    private static int Check(ModelSession session)
    {
        string[] known = ["input_ids", "attention_mask", "token_type_ids"];
        if (!session.Inputs.Any(i => i.Name == "input_ids") || session.Inputs.FirstOrDefault(i => !known.Contains(i.Name, StringComparer.Ordinal) || i.DType != DType.I64 || i.Dims.Length != 2) is not null)
        {
            throw new ModelPackException(ErrorCodes.NotAnEncoder, $"takes {string.Join(", ", session.Inputs.Select(i => i.ToString()))}; an encoder takes i64 input_ids, attention_mask and token_type_ids [batch, seq]");
        }

        return session.Outputs.FirstOrDefault(o => o.Name == Hidden) is { DType: DType.F32, Dims: [_, _, { Size: long size and > 0 and < int.MaxValue }] }
            ? (int)size
            : throw new ModelPackException(ErrorCodes.NotAnEncoder, $"gives {string.Join(", ", session.Outputs.Select(o => o.ToString()))}; vectors of texts are made of f32 {Hidden} [batch, seq, hidden], which the bare class of a checkpoint has (BertModel), not one with a head");
    }

    private static ITextTokenizer ReadTokenizer(Func<string, ReadOnlyMemory<byte>?> file)
    {
        if (file(BytePairTokenizer.FileName) is ReadOnlyMemory<byte> text)
        {
            return Json.Parse(text, BytePairTokenizer.FileName).Get("model").Find("type")?.Text() switch
            {
                "WordPiece" => WordPieceTokenizer.Parse(text),
                "Unigram" => UnigramTokenizer.Parse(text),
                _ => BytePairTokenizer.Parse(text),
            };
        }

        return file(WordPieceTokenizer.VocabularyFileName) is ReadOnlyMemory<byte> vocabulary
            ? WordPieceTokenizer.ParseVocabulary(vocabulary, file("tokenizer_config.json"))
            : throw new ModelPackException(ErrorCodes.NoTokenizer, $"there is neither {BytePairTokenizer.FileName} nor {WordPieceTokenizer.VocabularyFileName} in it: compile a checkpoint folder that has one");
    }
}
