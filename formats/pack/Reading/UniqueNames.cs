using System.Text.Json;

namespace ModelPack.Pack;

/// <summary>
/// Rejects JSON text in which an object has the same name twice: readers that take the first and readers that take the last would see different things. <see cref="JsonDocumentOptions.AllowDuplicateProperties"/> does the
/// same with a set of structs, for which code is compiled at run time each time a process opens its first artifact.
/// </summary>
internal static class UniqueNames
{
    /// <summary>Reads the text to its end.</summary>
    /// <param name="utf8">The text.</param>
    /// <param name="maxDepth">Deepest nesting allowed.</param>
    /// <exception cref="JsonException">A name is there twice, or the text is no JSON.</exception>
    public static void Require(ReadOnlySpan<byte> utf8, int maxDepth)
    {
        var reader = new Utf8JsonReader(utf8, new JsonReaderOptions { MaxDepth = maxDepth });
        var byDepth = new List<HashSet<string>>();
        while (reader.Read())
        {
            switch (reader.TokenType)
            {
                case JsonTokenType.StartObject:
                    while (byDepth.Count <= reader.CurrentDepth)
                    {
                        byDepth.Add(new HashSet<string>(StringComparer.Ordinal));
                    }

                    byDepth[reader.CurrentDepth].Clear();
                    break;
                case JsonTokenType.PropertyName:
                    string name = reader.GetString()!;
                    if (!byDepth[reader.CurrentDepth - 1].Add(name))
                    {
                        throw new JsonException($"'{name}' is there twice");
                    }

                    break;
            }
        }
    }
}
