using System.Globalization;
using System.Text;

namespace ModelPack.Runtime.Text;

/// <summary>Reads the section <c>normalizer</c>.</summary>
internal static class NormalizerReader
{
    /// <exception cref="ModelPackException">MP5031, MP5032, MP5051.</exception>
    public static Func<string, string> Read(Json? section) => section?.Get("type").Text() switch
    {
        null => text => text,
        "NFC" => CanonicalComposition.Apply,
        "NFD" => text => CanonicalComposition.Apply(text, NormalizationForm.FormD, "NFD"),
        "NFKC" => text => CanonicalComposition.Apply(text, NormalizationForm.FormKC, "NFKC"),
        "NFKD" => text => CanonicalComposition.Apply(text, NormalizationForm.FormKD, "NFKD"),
        "Nmt" => Nmt,
        "Lowercase" => BertText.Lower,
        "StripAccents" => StripMarks,
        "Strip" => Strip(section.Flag("strip_left", true), section.Flag("strip_right", true)),
        "Precompiled" => CharacterMap.Read(section.Get("precompiled_charsmap")).Apply,
        "Prepend" => Prepend(section.Get("prepend").Text()),
        "Replace" => Replace(section.Get("pattern"), section.Get("content").Text()),
        "Sequence" => section.Get("normalizers").Items().Select(Read).Aggregate((Func<string, string>)(text => text), (first, second) => text => second(first(text))),
        string type => throw Json.NotSupported($"normalizer of type '{type}'"),
    };

    private static Func<string, string> Prepend(string what) => text => text.Length == 0 ? text : what + text;

    private static Func<string, string> Replace(Json pattern, string content)
    {
        if (pattern.Find("Regex")?.Text() is string expression)
        {
            var regex = new WordPattern(expression);
            return text => string.Concat(regex.Split(text).Select(p => p.IsMatch ? content : p.Text));
        }

        string what = pattern.Get("String").Text();
        return what.Length > 0 ? text => text.Replace(what, content, StringComparison.Ordinal) : throw Json.NotSupported("normalizer: Replace of nothing");
    }

    private static Func<string, string> Strip(bool left, bool right) => text => (left, right) switch
    {
        (true, true) => text.Trim(),
        (true, false) => text.TrimStart(),
        (false, true) => text.TrimEnd(),
        _ => text,
    };

    /// <summary>Marks go; letters that hold theirs keep them (form D or KD before takes them apart).</summary>
    private static string StripMarks(string text) => string.Concat(text.EnumerateRunes()
        .Where(r => Rune.GetUnicodeCategory(r) is not (UnicodeCategory.NonSpacingMark or UnicodeCategory.SpacingCombiningMark or UnicodeCategory.EnclosingMark)));

    /// <summary>SentencePiece's rules of the name: controls go, what takes up or hides room becomes a space.</summary>
    private static string Nmt(string text)
    {
        var result = new StringBuilder(text.Length);
        foreach (char c in text)
        {
            switch ((int)c)
            {
                case (>= 0x01 and <= 0x08) or 0x0B or (>= 0x0E and <= 0x1F) or 0x7F or 0x8F or 0x9F:
                    break;
                case 0x09 or 0x0A or 0x0C or 0x0D or 0x1680 or (>= 0x200B and <= 0x200F) or 0x2028 or 0x2029 or CharacterForm.Space or 0xFEFF or 0xFFFD:
                    result.Append(' ');
                    break;
                default:
                    result.Append(c);
                    break;
            }
        }

        return result.ToString();
    }
}
