using System.Collections.Immutable;
using System.Text;

namespace ModelPack.Runtime.Text;

/// <summary>
/// WordPiece (Wu et al. 2016) as BERT uses it: a word is cut into the longest piece of the vocabulary with which it begins, the longest with which the rest begins, and so on; a word that cannot be cut is the token for unknown words.
/// Immutable and thread-safe.
/// </summary>
public sealed class WordPieceTokenizer : ITextTokenizer
{
    /// <summary>Name of a vocabulary with one token a line, in folders without tokenizer.json.</summary>
    public const string VocabularyFileName = "vocab.txt";

    private readonly WordPieceParts _parts;
    private readonly AddedTokens _addedTokens;

    private WordPieceTokenizer(WordPieceParts parts)
    {
        _parts = parts;
        _addedTokens = new AddedTokens(parts.Added, text => parts.Text?.Normalize(text) ?? text);
    }

    /// <summary>Ids are below this number.</summary>
    public int VocabularySize => Math.Max(_parts.Vocabulary.Count == 0 ? 0 : _parts.Vocabulary.Values.Max(), _parts.Added.IsEmpty ? 0 : _parts.Added.Max(t => t.Id)) + 1;

    ImmutableArray<int> ITextTokenizer.Prefix => _parts.Prefix;

    ImmutableArray<int> ITextTokenizer.Suffix => _parts.Suffix;

    /// <summary>Reads a tokenizer.json.</summary>
    /// <param name="utf8">The text of the file.</param>
    /// <exception cref="ModelPackException">MP5031: it is damaged or contradicts itself; MP5032: it asks for something that is not supported.</exception>
    public static WordPieceTokenizer Parse(ReadOnlyMemory<byte> utf8) => new(WordPieceReader.Read(Json.Parse(utf8, BytePairTokenizer.FileName)));

    /// <summary>Reads a vocabulary with one token a line, the way BERT published its own.</summary>
    /// <param name="vocabulary">The text of vocab.txt.</param>
    /// <param name="settings">The text of tokenizer_config.json; null: lower case, without accents, and BERT's special tokens.</param>
    /// <exception cref="ModelPackException">MP5031, MP5032.</exception>
    public static WordPieceTokenizer ParseVocabulary(ReadOnlyMemory<byte> vocabulary, ReadOnlyMemory<byte>? settings = null) => new(WordPieceReader.ReadVocabulary(vocabulary, settings));

    /// <summary>The ids of a text, with what the tokenizer puts around every text ([CLS] and [SEP], for example).</summary>
    /// <param name="text">The text; special tokens written out in it are recognised.</param>
    public ImmutableArray<int> Encode(string text) => Encode(text, around: true);

    internal ImmutableArray<int> Encode(string text, bool around)
    {
        ArgumentNullException.ThrowIfNull(text);
        var ids = new List<int>(around ? _parts.Prefix : []);
        _addedTokens.Encode(text, ids, (words, _) =>
        {
            foreach (string word in BertText.Words(words))
            {
                EncodeWord(word, ids);
            }
        });

        ids.AddRange(around ? _parts.Suffix : []);
        return [.. ids];
    }

    ImmutableArray<int> ITextTokenizer.Encode(string text, bool around) => Encode(text, around);

    private void EncodeWord(string word, List<int> ids)
    {
        int before = ids.Count;
        if (word.EnumerateRunes().Count() > _parts.LongestWord)
        {
            ids.Add(_parts.Unknown);
            return;
        }

        ReadOnlySpan<char> rest = word;
        while (rest.Length > 0)
        {
            int length = LongestPiece(rest, continues: rest.Length < word.Length, out int id);
            if (length == 0)
            {
                ids.RemoveRange(before, ids.Count - before);
                ids.Add(_parts.Unknown);
                return;
            }

            ids.Add(id);
            rest = rest[length..];
        }
    }

    private int LongestPiece(ReadOnlySpan<char> rest, bool continues, out int id)
    {
        var spelled = new StringBuilder(continues ? _parts.Continuation : "").Append(rest);
        int prefix = spelled.Length - rest.Length;
        for (int length = rest.Length; length > 0; length--)
        {
            bool whole = length == rest.Length || !char.IsLowSurrogate(rest[length]);
            if (whole && _parts.Vocabulary.TryGetValue(spelled.ToString(0, prefix + length), out id))
            {
                return length;
            }
        }

        id = 0;
        return 0;
    }
}

/// <summary>What a WordPiece tokenizer is made of.</summary>
/// <param name="Vocabulary">Ids by piece.</param>
/// <param name="Added">Tokens found in the text as they stand.</param>
/// <param name="Text">How text is normalized; null: not at all.</param>
/// <param name="Unknown">Id of a word that cannot be cut.</param>
/// <param name="Continuation">In front of pieces that do not begin a word.</param>
/// <param name="LongestWord">Longer words, in code points, are unknown.</param>
/// <param name="Prefix">Put in front of every text.</param>
/// <param name="Suffix">Put behind every text.</param>
internal sealed record WordPieceParts(
    IReadOnlyDictionary<string, int> Vocabulary, ImmutableArray<AddedToken> Added, BertText? Text, int Unknown, string Continuation, int LongestWord, ImmutableArray<int> Prefix, ImmutableArray<int> Suffix);
