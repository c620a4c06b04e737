using System.Collections.Immutable;

namespace ModelPack.Runtime.Text;

/// <summary>
/// Unigram language models (Kudo 2018) of SentencePiece as tokenizer.json has them (T5, XLM-RoBERTa, ALBERT, DeBERTa v2 and others): of all ways to cut a word into pieces of the vocabulary, the one with the largest sum of scores.
/// A character without a piece scores 10 below the lowest; such characters in a row are one token, or the tokens of their bytes (<c>byte_fallback</c>). Immutable and thread-safe.
/// </summary>
public sealed class UnigramTokenizer : ITextTokenizer
{
    private readonly UnigramParts _parts;
    private readonly AddedTokens _addedTokens;

    private UnigramTokenizer(UnigramParts parts)
    {
        _parts = parts;
        _addedTokens = new AddedTokens(parts.Added, parts.Normalize);
    }

    /// <summary>Ids are below this number.</summary>
    public int VocabularySize => Math.Max(_parts.Model.Size, _parts.Added.IsEmpty ? 0 : _parts.Added.Max(t => t.Id) + 1);

    ImmutableArray<int> ITextTokenizer.Prefix => _parts.Prefix;

    ImmutableArray<int> ITextTokenizer.Suffix => _parts.Suffix;

    /// <summary>Reads a tokenizer.json.</summary>
    /// <param name="utf8">The text of the file.</param>
    /// <exception cref="ModelPackException">MP5031: it is damaged or contradicts itself; MP5032: it asks for something that is not supported; MP5051: its table of characters is damaged.</exception>
    public static UnigramTokenizer Parse(ReadOnlyMemory<byte> utf8) => new(UnigramReader.Read(Json.Parse(utf8, BytePairTokenizer.FileName)));

    /// <summary>The ids of a text, with what the tokenizer puts around every text (a token for its end, for example).</summary>
    /// <param name="text">The text; special tokens written out in it are recognised. Unpaired surrogates count as U+FFFD.</param>
    /// <exception cref="ModelPackException">MP5032: the text cannot be normalized or taken apart here; MP5050: the vocabulary has no pieces for it and no unknown token.</exception>
    public ImmutableArray<int> Encode(string text) => Encode(text, around: true);

    ImmutableArray<int> ITextTokenizer.Encode(string text, bool around) => Encode(text, around);

    internal ImmutableArray<int> Encode(string text, bool around)
    {
        ArgumentNullException.ThrowIfNull(text);
        var ids = new List<int>(around ? _parts.Prefix : []);
        _addedTokens.Encode(string.Concat(text.EnumerateRunes()), ids, (words, first) => EncodeWords(words, first ? _parts.FirstSteps : _parts.Steps, ids));
        ids.AddRange(around ? _parts.Suffix : []);
        return [.. ids];
    }

    private void EncodeWords(string text, ImmutableArray<WordStep> steps, List<int> ids)
    {
        foreach (string word in WordSteps.Run(steps, text))
        {
            _parts.Model.Encode(word, ids);
        }
    }
}

/// <summary>What a Unigram tokenizer is made of.</summary>
/// <param name="Model">Pieces and scores.</param>
/// <param name="Added">Tokens found in the text as they stand.</param>
/// <param name="Normalize">Brings text into the form that the vocabulary knows.</param>
/// <param name="Steps">Take text apart into words.</param>
/// <param name="FirstSteps">The same for a piece with which the text begins.</param>
/// <param name="Prefix">Put in front of every text.</param>
/// <param name="Suffix">Put behind every text.</param>
internal sealed record UnigramParts(
    UnigramModel Model, ImmutableArray<AddedToken> Added, Func<string, string> Normalize, ImmutableArray<WordStep> Steps, ImmutableArray<WordStep> FirstSteps, ImmutableArray<int> Prefix, ImmutableArray<int> Suffix);
