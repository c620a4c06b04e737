using System.Collections.Immutable;
using System.Globalization;
using System.Text;

namespace ModelPack.Runtime.Text;

/// <summary>
/// Vocabularies of SentencePiece as tokenizer.json has them (Llama 2, Mistral, Gemma): tokens are written in characters with U+2581 for a space, and a character that has no token is the tokens <c>&lt;0xHH&gt;</c> of its bytes.
/// </summary>
/// <param name="vocabulary">Ids by token.</param>
/// <param name="byteIds">Ids of the tokens of bytes.</param>
/// <param name="stripStart">Decoded text loses one space at its beginning, which encoding puts there.</param>
internal sealed class CharacterForm(IReadOnlyDictionary<string, int> vocabulary, ImmutableArray<int> byteIds, bool stripStart)
{
    /// <summary>What stands for a space in tokens.</summary>
    public const char Space = '\u2581';

    private readonly Dictionary<int, byte> _bytes = byteIds.Select((id, b) => (id, b)).ToDictionary(p => p.id, p => (byte)p.b);

    /// <summary>Decoded text loses one space at its beginning.</summary>
    public bool StripStart => stripStart;

    /// <summary>Ids of the tokens of single bytes.</summary>
    /// <exception cref="ModelPackException">MP5032: one is missing.</exception>
    public static ImmutableArray<int> ReadByteIds(IReadOnlyDictionary<string, int> vocabulary) =>
    [
        .. Enumerable.Range(0, 256).Select(b => vocabulary.TryGetValue(string.Create(CultureInfo.InvariantCulture, $"<0x{b:X2}>"), out int id)
            ? id
            : throw Json.NotSupported(string.Create(CultureInfo.InvariantCulture, $"byte_fallback with a vocabulary that has no token <0x{b:X2}>"))),
    ];

    /// <summary>The symbols that a word begins as.</summary>
    public int[] Symbols(string word)
    {
        var symbols = new List<int>(word.Length);
        Span<byte> bytes = stackalloc byte[4];
        foreach (Rune rune in word.EnumerateRunes())
        {
            if (vocabulary.TryGetValue(rune.ToString(), out int id))
            {
                symbols.Add(id);
                continue;
            }

            int count = rune.EncodeToUtf8(bytes);
            foreach (byte b in bytes[..count])
            {
                symbols.Add(byteIds[b]);
            }
        }

        return [.. symbols];
    }

    /// <summary>The bytes of a token in decoded text.</summary>
    public ReadOnlyMemory<byte> Bytes(int id, string token) => _bytes.TryGetValue(id, out byte b) ? new[] { b } : Encoding.UTF8.GetBytes(token.Replace(Space, ' '));
}
