namespace ModelPack.Runtime.Text;

/// <summary>Reads the section <c>normalizer</c>.</summary>
internal static class NormalizerReader
{
    /// <exception cref="ModelPackException">MP5031, MP5032.</exception>
    public static Func<string, string> Read(Json? section) => section?.Get("type").Text() switch
    {
        null => text => text,
        "NFC" => CanonicalComposition.Apply,
        "Sequence" => section.Get("normalizers").Items().Select(Read).Aggregate((Func<string, string>)(text => text), (first, second) => text => second(first(text))),
        string type => throw Json.NotSupported($"normalizer of type '{type}'"),
    };
}
