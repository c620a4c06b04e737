using System.Text.Json;

namespace ModelPack.Runtime.Text;

/// <summary>A value of a JSON file and where it is, read strictly: a value of another type is an error that names it. <c>null</c> counts as absent.</summary>
internal sealed class Json
{
    private readonly JsonElement _element;
    private readonly string _file;
    private readonly string _at;

    private Json(JsonElement element, string file, string at)
    {
        _element = element;
        _file = file;
        _at = at;
    }

    /// <summary>Reads a file.</summary>
    /// <param name="utf8">Its text.</param>
    /// <param name="file">Its name, for messages.</param>
    /// <exception cref="ModelPackException">MP5031.</exception>
    public static Json Parse(ReadOnlyMemory<byte> utf8, string file)
    {
        try
        {
            using JsonDocument document = JsonDocument.Parse(utf8);
            return new Json(document.RootElement.Clone(), file, "");
        }
        catch (JsonException e)
        {
            throw new ModelPackException(ErrorCodes.BadTokenizer, $"{file} is not JSON: {e.Message}", innerException: e);
        }
    }

    public bool IsText => _element.ValueKind == JsonValueKind.String;

    public bool IsArray => _element.ValueKind == JsonValueKind.Array;

    /// <summary>An error about this file.</summary>
    public ModelPackException Bad(string detail, Exception? inner = null) => new(ErrorCodes.BadTokenizer, $"{_file}: {detail}", innerException: inner);

    public static ModelPackException NotSupported(string what) => new(ErrorCodes.TokenizerNotSupported, $"{BytePairTokenizer.FileName}: {what}");

    public Json? Find(string name)
    {
        Expect(JsonValueKind.Object, "an object");
        JsonElement value = default;
        bool found = Unicode(() => _element.TryGetProperty(name, out value)); // Compares with every name beside it.
        return found && value.ValueKind != JsonValueKind.Null ? new Json(value, _file, _at.Length == 0 ? name : $"{_at}.{name}") : null;
    }

    public Json Get(string name) => Find(name) ?? throw Bad($"{(_at.Length == 0 ? "" : _at + ": ")}'{name}' is missing");

    public bool Flag(string name, bool fallback)
    {
        if (Find(name) is not Json value)
        {
            return fallback;
        }

        return value._element.ValueKind switch
        {
            JsonValueKind.True => true,
            JsonValueKind.False => false,
            _ => throw Bad($"{value._at} is not true or false"),
        };
    }

    public string Text()
    {
        Expect(JsonValueKind.String, "a string");
        return Unicode(() => _element.GetString()!);
    }

    public double Number()
    {
        Expect(JsonValueKind.Number, "a number");
        return _element.GetDouble();
    }

    /// <summary>A whole number from 0 to <paramref name="limit"/>, exclusive.</summary>
    public int Integer(int limit)
    {
        Expect(JsonValueKind.Number, "a number");
        return _element.TryGetInt32(out int value) && value >= 0 && value < limit ? value : throw Bad($"{_at} is {_element.GetRawText()}, not a whole number below {limit}");
    }

    public IReadOnlyList<Json> Items()
    {
        Expect(JsonValueKind.Array, "an array");
        return [.. _element.EnumerateArray().Select((e, i) => new Json(e, _file, $"{_at}[{i}]"))];
    }

    public IEnumerable<(string Name, Json Value)> Properties()
    {
        Expect(JsonValueKind.Object, "an object");
        foreach (JsonProperty property in _element.EnumerateObject())
        {
            string name = Unicode(() => property.Name);
            yield return (name, new Json(property.Value, _file, $"{_at}['{name}']"));
        }
    }

    /// <summary>Text that may hold half a surrogate pair as an escape.</summary>
    private T Unicode<T>(Func<T> read)
    {
        try
        {
            return read();
        }
        catch (InvalidOperationException e)
        {
            throw Bad($"{_at} holds text that is not Unicode", e);
        }
    }

    private void Expect(JsonValueKind kind, string what)
    {
        if (_element.ValueKind != kind)
        {
            throw Bad($"{(_at.Length == 0 ? "the file" : _at)} is not {what}");
        }
    }
}
