namespace ModelPack.Runtime.Text;

/// <summary>Reads the section <c>normalizer</c>.</summary>
internal static class NormalizerReader
{
    /// <exception cref="ModelPackException">MP5031, MP5032.</exception>
    public static Func<string, string> Read(Json? section) => section?.Get("type").Text() switch
    {
        null => text => text,
        "NFC" => CanonicalComposition.Apply,
        "Prepend" => Prepend(section.Get("prepend").Text()),
        "Replace" when section.Get("pattern").Find("String")?.Text() is { Length: > 0 } pattern => Replace(pattern, section.Get("content").Text()),
        "Sequence" => section.Get("normalizers").Items().Select(Read).Aggregate((Func<string, string>)(text => text), (first, second) => text => second(first(text))),
        string type => throw Json.NotSupported($"normalizer of type '{type}'"),
    };

    private static Func<string, string> Prepend(string what) => text => text.Length == 0 ? text : what + text;

    private static Func<string, string> Replace(string pattern, string content) => text => text.Replace(pattern, content, StringComparison.Ordinal);
}
