using System.Text.Json;

namespace ModelPack.Pack;

/// <summary>The tensors of the safetensors header, checked: U8, ascending, without holes or overlaps, to the end of the file.</summary>
internal sealed class HeaderEntries
{
    private const int MaxDepth = 8;

    private readonly Dictionary<string, HeaderRange> _ranges;

    private HeaderEntries(Dictionary<string, HeaderRange> ranges)
    {
        _ranges = ranges;
    }

    /// <summary>Ranges in the file, by name.</summary>
    public IReadOnlyDictionary<string, HeaderRange> Ranges => _ranges;

    /// <param name="text">The JSON text, padding included.</param>
    /// <param name="dataStart">Where the data buffer starts in the file.</param>
    /// <param name="fileBytes">Length of the file.</param>
    /// <param name="path">For messages.</param>
    /// <exception cref="ModelPackException">MP1305.</exception>
    public static HeaderEntries Parse(ReadOnlyMemory<byte> text, long dataStart, long fileBytes, string path)
    {
        try
        {
            var ranges = new Dictionary<string, HeaderRange>(StringComparer.Ordinal);
            long expected = dataStart;
            UniqueNames.Require(text.Span, MaxDepth);
            using JsonDocument json = JsonDocument.Parse(text, new JsonDocumentOptions { MaxDepth = MaxDepth });
            foreach (JsonProperty property in json.RootElement.EnumerateObject())
            {
                if (property.NameEquals("__metadata__"u8))
                {
                    continue;
                }

                JsonElement offsets = property.Value.GetProperty("data_offsets"u8);
                JsonElement shape = property.Value.GetProperty("shape"u8);
                long begin = checked(dataStart + offsets[0].GetInt64());
                long end = checked(dataStart + offsets[1].GetInt64());
                bool fits = property.Value.GetProperty("dtype"u8).ValueEquals("U8"u8)
                    && offsets.GetArrayLength() == 2
                    && shape.GetArrayLength() == 1
                    && begin == expected
                    && end >= begin
                    && shape[0].GetInt64() == end - begin;
                if (!fits)
                {
                    throw new ModelPackException(ErrorCodes.ArtifactHeader, $"entry '{property.Name}' does not follow the one before it", path);
                }

                ranges.Add(property.Name, new HeaderRange(begin, end));
                expected = end;
            }

            return expected == fileBytes
                ? new HeaderEntries(ranges)
                : throw new ModelPackException(ErrorCodes.ArtifactHeader, $"entries end at {expected}, the file at {fileBytes}", path);
        }
        catch (Exception e) when (e is JsonException or KeyNotFoundException or InvalidOperationException or FormatException or IndexOutOfRangeException or OverflowException)
        {
            throw new ModelPackException(ErrorCodes.ArtifactHeader, $"the header is not what a safetensors header must be: {e.Message}", path, innerException: e);
        }
    }

    /// <summary>Checks that an entry starts at <paramref name="begin"/> and has room for <paramref name="length"/> bytes and less than a page of padding.</summary>
    /// <exception cref="ModelPackException">MP1305.</exception>
    public void Require(string name, long begin, long length, string path)
    {
        if (!_ranges.TryGetValue(name, out HeaderRange? range)
            || range.Begin != begin
            || range.End - begin < length
            || range.End - begin - length >= PackLayout.PageAlignment)
        {
            throw new ModelPackException(ErrorCodes.ArtifactHeader, $"has no entry '{name}' at {begin} with {length} bytes", path);
        }
    }
}
