using System.Text;

namespace ModelPack.Runtime.Text;

/// <summary>One step of a pre-tokenizer: takes a piece of text apart.</summary>
/// <param name="piece">The text; not empty.</param>
/// <param name="parts">Takes the parts, in order, none empty.</param>
internal delegate void WordStep(string piece, List<string> parts);

/// <summary>The steps that tokenizer.json's pre-tokenizers are made of.</summary>
internal static class WordSteps
{
    /// <summary>The words of a text: every step takes apart what the one before it left.</summary>
    public static List<string> Run(IEnumerable<WordStep> steps, string text)
    {
        List<string> pieces = [text];
        foreach (WordStep step in steps)
        {
            List<string> parts = [];
            pieces.ForEach(p => step(p, parts));
            pieces = parts;
        }

        return pieces;
    }

    /// <summary>GPT-2's words, with or without a space put in front. The change to the byte alphabet that tokenizer.json also means by it is left to the merging.</summary>
    public static WordStep ByteLevel(bool addPrefixSpace, bool useRegex)
    {
        WordPattern? pattern = useRegex ? new WordPattern(WordPattern.Gpt2) : null;
        return (piece, parts) =>
        {
            string text = addPrefixSpace && piece[0] != ' ' ? " " + piece : piece;
            if (pattern is null)
            {
                parts.Add(text);
                return;
            }

            parts.AddRange(pattern.Split(text).Select(p => p.Text));
        };
    }

    /// <summary>Every match and everything between matches is a part.</summary>
    public static WordStep Isolate(WordPattern pattern) => (piece, parts) => parts.AddRange(pattern.Split(piece).Select(p => p.Text));

    /// <summary>Only matches (<paramref name="keepMatches"/>) or only what is between them; the rest is dropped.</summary>
    public static WordStep Remove(WordPattern pattern, bool keepMatches) =>
        (piece, parts) => parts.AddRange(pattern.Split(piece).Where(p => p.IsMatch == keepMatches).Select(p => p.Text));

    /// <summary>Every match ends a part.</summary>
    public static WordStep MergeWithPrevious(WordPattern pattern) => (piece, parts) =>
    {
        string open = "";
        foreach ((string text, bool isMatch) in pattern.Split(piece))
        {
            open += text;
            if (isMatch)
            {
                parts.Add(open);
                open = "";
            }
        }

        if (open.Length > 0)
        {
            parts.Add(open);
        }
    };

    /// <summary>Spaces become U+2581, one is put in front, and every one begins a part.</summary>
    public static WordStep Metaspace(bool prepend, bool split) => (piece, parts) =>
    {
        string text = piece.Replace(' ', CharacterForm.Space);
        text = prepend && text[0] != CharacterForm.Space ? CharacterForm.Space + text : text;
        int start = 0;
        for (int i = 1; split && i < text.Length; i++)
        {
            if (text[i] == CharacterForm.Space)
            {
                parts.Add(text[start..i]);
                start = i;
            }
        }

        parts.Add(text[start..]);
    };

    /// <summary>Cuts at white space, which goes.</summary>
    public static WordStep WhiteSpace() => (piece, parts) => parts.AddRange(piece.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries));

    /// <summary>Numbers (Unicode category N) apart from the rest, as a whole or every digit of its own.</summary>
    public static WordStep Digits(bool individual) => (piece, parts) =>
    {
        int start = 0;
        int at = 0;
        bool inNumber = false;
        foreach (Rune rune in piece.EnumerateRunes())
        {
            bool number = Rune.IsNumber(rune);
            if (at > start && (number != inNumber || (number && individual)))
            {
                parts.Add(piece[start..at]);
                start = at;
            }

            inNumber = number;
            at += rune.Utf16SequenceLength;
        }

        parts.Add(piece[start..]);
    };
}
