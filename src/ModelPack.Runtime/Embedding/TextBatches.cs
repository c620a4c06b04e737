using System.Collections.Immutable;
using ModelPack.Runtime.Text;

namespace ModelPack.Runtime.Embedding;

/// <summary>Given what a model makes of one text.</summary>
/// <param name="text">Number of the text.</param>
/// <param name="length">Its tokens, at least one.</param>
/// <param name="values">Its part of the output: of one with an axis of tokens, those of its tokens without padding.</param>
internal delegate void TextOutput(int text, int length, ReadOnlySpan<float> values);

/// <summary>Texts on their way through an encoder: as tokens, cut off at the longest that it takes, in padded batches.</summary>
internal sealed class TextBatches : IDisposable
{
    private readonly ModelSession _session;
    private readonly ITextTokenizer _tokenizer;
    private readonly EncoderSettings _settings;

    private TextBatches(ModelSession session, ITextTokenizer tokenizer, EncoderSettings settings)
    {
        _session = session;
        _tokenizer = tokenizer;
        _settings = settings;
    }

    /// <summary>Reads the tokenizer of a checkpoint.</summary>
    /// <exception cref="ModelPackException">MP1514: texts may have fewer tokens than are put around each; MP5030 to MP5032, MP5051: its tokenizer is missing, damaged or not supported.</exception>
    public static TextBatches Create(ModelSession session, Func<string, ReadOnlyMemory<byte>?> file, EncoderSettings settings)
    {
        ITextTokenizer tokenizer = ReadTokenizer(file);
        int around = tokenizer.Prefix.Length + tokenizer.Suffix.Length;
        return settings.MaxTokens < around
            ? throw new ModelPackException(ErrorCodes.SentenceModules, $"texts have at most {settings.MaxTokens} tokens, and the tokenizer puts {around} around each")
            : new TextBatches(session, tokenizer, settings);
    }

    /// <exception cref="ModelPackException">MP1515: the model takes something else than tokens.</exception>
    public static void CheckInputs(ModelSession session)
    {
        string[] known = ["input_ids", "attention_mask", "token_type_ids"];
        if (!session.Inputs.Any(i => i.Name == "input_ids") || session.Inputs.FirstOrDefault(i => !known.Contains(i.Name, StringComparer.Ordinal) || i.DType != DType.I64 || i.Dims.Length != 2) is not null)
        {
            throw new ModelPackException(ErrorCodes.NotAnEncoder, $"takes {string.Join(", ", session.Inputs.Select(i => i.ToString()))}; an encoder takes i64 input_ids, attention_mask and token_type_ids [batch, seq]");
        }
    }

    /// <summary>The ids of a text, special ones included.</summary>
    /// <exception cref="ModelPackException">MP5032, MP5050.</exception>
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

    /// <summary>Runs texts, those of like length together; texts without any token are left out.</summary>
    /// <param name="texts">The texts.</param>
    /// <param name="batch">Most texts at a time.</param>
    /// <param name="output">Name of an f32 output [batch, ...].</param>
    /// <param name="take">Given the part of every text.</param>
    /// <param name="cancellation">Seen between runs of the model.</param>
    /// <exception cref="ModelPackException">MP5032, MP5050; MP5005: ONNX Runtime failed.</exception>
    public void Run(IReadOnlyList<string> texts, int batch, string output, TextOutput take, CancellationToken cancellation)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(batch, 1);
        ImmutableArray<int>[] ids = [.. texts.Select(Tokenize)];
        foreach (int[] chunk in Enumerable.Range(0, ids.Length).Where(i => ids[i].Length > 0).OrderByDescending(i => ids[i].Length).ThenBy(i => i).Chunk(batch))
        {
            cancellation.ThrowIfCancellationRequested();
            Run(chunk, ids, output, take);
        }
    }

    public void Dispose() => _session.Dispose();

    /// <summary>Runs texts of which the first is the longest.</summary>
    private void Run(int[] chunk, ImmutableArray<int>[] ids, string output, TextOutput take)
    {
        int width = ids[chunk[0]].Length;
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
        NamedTensor result = _session.Run(inputs).First(o => o.Name == output);
        ReadOnlySpan<float> values = result.Values<float>();
        int size = values.Length / chunk.Length;
        for (int row = 0; row < chunk.Length; row++)
        {
            int length = ids[chunk[row]].Length;
            int own = result.Shape.Rank > 2 ? size / width * length : size;
            take(chunk[row], length, values.Slice(row * size, own));
        }
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
