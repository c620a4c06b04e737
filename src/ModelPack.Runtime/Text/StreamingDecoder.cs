using System.Text;

namespace ModelPack.Runtime.Text;

/// <summary>Turns ids into text as they come: a character whose bytes are spread over several tokens appears with the last of them.</summary>
/// <param name="tokenizer">Whose ids they are.</param>
/// <param name="special">Write special tokens out instead of leaving them out.</param>
/// <param name="begins">The text begins with them; else it goes on, and keeps a space that it begins with.</param>
internal sealed class StreamingDecoder(BytePairTokenizer tokenizer, bool special = false, bool begins = false)
{
    private readonly Decoder _utf8 = Encoding.UTF8.GetDecoder();
    private bool _strip = begins && tokenizer.StripsStart;

    /// <summary>What can be told for certain with this token; may be empty.</summary>
    public string Append(int id) => Convert(tokenizer.Bytes(id, special).Span, flush: false);

    /// <summary>What is left: U+FFFD for a character that was never completed.</summary>
    public string Finish() => Convert([], flush: true);

    private string Convert(ReadOnlySpan<byte> bytes, bool flush)
    {
        char[] characters = new char[_utf8.GetCharCount(bytes, flush)];
        string text = new(characters, 0, _utf8.GetChars(bytes, characters, flush));
        if (_strip && text.Length > 0)
        {
            _strip = false;
            return text[0] == ' ' ? text[1..] : text;
        }

        return text;
    }
}
