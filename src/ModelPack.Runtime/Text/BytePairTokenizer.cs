using System.Collections.Immutable;
using System.Text;

namespace ModelPack.Runtime.Text;

/// <summary>
/// Byte pair encoding as Hugging Face's tokenizer.json describes it: of bytes (GPT-2, Llama 3, Qwen, SmolLM and others), or of characters with tokens for
/// single bytes, as vocabularies of SentencePiece become there (Llama 2, Mistral, Gemma). What such a file asks for and is not supported is an error when it is read, never other ids. Immutable and thread-safe.
/// </summary>
public sealed class BytePairTokenizer : ITextTokenizer
{
    /// <summary>Name of the file in a checkpoint folder.</summary>
    public const string FileName = "tokenizer.json";

    private readonly TokenizerParts _parts;
    private readonly AddedTokens _addedTokens;
    private readonly Dictionary<int, AddedToken> _added;

    private BytePairTokenizer(TokenizerParts parts)
    {
        _parts = parts;
        _addedTokens = new AddedTokens(parts.Added, parts.Normalize);
        _added = parts.Added.ToDictionary(t => t.Id);
    }

    /// <summary>Ids are below this number.</summary>
    public int VocabularySize => Math.Max(_parts.Tokens.Count == 0 ? 0 : _parts.Tokens.Keys.Max(), _added.Count == 0 ? 0 : _added.Keys.Max()) + 1;

    ImmutableArray<int> ITextTokenizer.Prefix => _parts.Prefix;

    ImmutableArray<int> ITextTokenizer.Suffix => _parts.Suffix;

    ImmutableArray<int> ITextTokenizer.Encode(string text, bool around) => Encode(text, around);

    /// <summary>Reads a tokenizer.json.</summary>
    /// <param name="utf8">The text of the file.</param>
    /// <exception cref="ModelPackException">MP5031: it is damaged or contradicts itself; MP5032: it asks for something that is not supported.</exception>
    public static BytePairTokenizer Parse(ReadOnlyMemory<byte> utf8) => new(TokenizerJson.Read(utf8));

    /// <summary>The ids of a text, with what the tokenizer puts around every text (a token for its beginning, for example).</summary>
    /// <param name="text">The text; special tokens written out in it are recognised. Unpaired surrogates count as U+FFFD.</param>
    /// <exception cref="ModelPackException">MP5032: the text cannot be normalized or taken apart here.</exception>
    public ImmutableArray<int> Encode(string text) => Encode(text, around: true);

    /// <summary>As the other overload; <paramref name="around"/> says whether what the tokenizer puts around every text is wanted. Chat templates write it themselves.</summary>
    internal ImmutableArray<int> Encode(string text, bool around)
    {
        ArgumentNullException.ThrowIfNull(text);
        var ids = new List<int>(around ? _parts.Prefix : []);
        _addedTokens.Encode(text, ids, (words, first) => EncodeWords(words, first, ids));
        ids.AddRange(around ? _parts.Suffix : []);
        return [.. ids];
    }

    /// <summary>The text of ids; bytes that are not UTF-8 become U+FFFD.</summary>
    /// <param name="ids">Token ids; unknown ones stand for nothing.</param>
    /// <param name="special">Write special tokens out instead of leaving them out.</param>
    public string Decode(IEnumerable<int> ids, bool special = false)
    {
        ArgumentNullException.ThrowIfNull(ids);
        var decoder = new StreamingDecoder(this, special, begins: true);
        var text = new StringBuilder();
        foreach (int id in ids)
        {
            text.Append(decoder.Append(id));
        }

        return text.Append(decoder.Finish()).ToString();
    }

    /// <summary>The bytes that a token stands for; none for unknown ids.</summary>
    internal ReadOnlyMemory<byte> Bytes(int id, bool special) => _added.TryGetValue(id, out AddedToken? added)
        ? added.Special && !special ? default : Encoding.UTF8.GetBytes(added.Content)
        : !_parts.Tokens.TryGetValue(id, out string? token) ? default
        : _parts.Characters is CharacterForm characters ? characters.Bytes(id, token)
        : ByteAlphabet.Decode(token);

    /// <summary>Decoded text loses one space at its beginning.</summary>
    internal bool StripsStart => _parts.Characters?.StripStart == true;

    private void EncodeWords(string text, bool first, List<int> ids)
    {
        foreach (string word in WordSteps.Run(first ? _parts.FirstSteps ?? _parts.Steps : _parts.Steps, text))
        {
            EncodeWord(word, ids);
        }
    }

    private void EncodeWord(string word, List<int> ids)
    {
        if (_parts.Characters is CharacterForm characters)
        {
            if (_parts.WholeWords is { } words && words.TryGetValue(word, out int known))
            {
                ids.Add(known);
                return;
            }

            _parts.Merges.Merge(characters.Symbols(word), ids);
            return;
        }

        byte[] bytes = Encoding.UTF8.GetBytes(word);
        if (_parts.WholeWords is { } whole && whole.TryGetValue(string.Create(bytes.Length, bytes, static (s, b) => Spell(b, s)), out int id))
        {
            ids.Add(id);
            return;
        }

        int[] symbols = new int[bytes.Length];
        for (int i = 0; i < symbols.Length; i++)
        {
            symbols[i] = _parts.ByteIds[bytes[i]];
        }

        _parts.Merges.Merge(symbols, ids);
    }

    private static void Spell(byte[] bytes, Span<char> characters)
    {
        for (int i = 0; i < bytes.Length; i++)
        {
            characters[i] = ByteAlphabet.Of(bytes[i]);
        }
    }
}
