using System.Globalization;
using System.Text.Json;
using ModelPack.Compiler;

namespace ModelPack.Architectures;

/// <summary>The config.json of a checkpoint, or a section of it, read strictly: what is there has the right type, or is an error that names it. <c>null</c> counts as absent, as for Python loaders.</summary>
public sealed class ModelConfig
{
    /// <summary>Name of the file in a checkpoint folder.</summary>
    public const string FileName = "config.json";

    private const int MaxBytes = 16 << 20;

    private readonly JsonElement _root;
    private readonly string _prefix;

    private ModelConfig(JsonElement root, string prefix)
    {
        _root = root;
        _prefix = prefix;
    }

    /// <summary>First of <c>architectures</c>.</summary>
    /// <exception cref="ModelPackException">MP1501.</exception>
    public string Architecture => Find("architectures") is JsonElement { ValueKind: JsonValueKind.Array } list && list.GetArrayLength() > 0 && list[0].ValueKind == JsonValueKind.String
        ? list[0].GetString()!
        : throw new ModelPackException(ErrorCodes.ConfigWithoutArchitecture, $"{FileName} names no class in 'architectures'");

    /// <summary>Reads the configuration among the files of a checkpoint.</summary>
    /// <exception cref="ModelPackException">MP1500: no JSON object; MP1501: there is none.</exception>
    public static ModelConfig Read(IEnumerable<CarriedFile> files)
    {
        CarriedFile file = files.FirstOrDefault(f => f.RelativePath == FileName)
            ?? throw new ModelPackException(ErrorCodes.ConfigWithoutArchitecture, $"there is no {FileName} beside the tensors");
        if (file.Data.LengthBytes > MaxBytes)
        {
            throw new ModelPackException(ErrorCodes.ConfigSyntax, $"{FileName} has {file.Data.LengthBytes} bytes; at most {MaxBytes} are read");
        }

        return Parse(file.Data.ToArray(MaxBytes));
    }

    /// <summary>Reads a configuration.</summary>
    /// <param name="utf8">The text.</param>
    /// <exception cref="ModelPackException">MP1500.</exception>
    public static ModelConfig Parse(ReadOnlyMemory<byte> utf8)
    {
        try
        {
            using JsonDocument document = JsonDocument.Parse(utf8);
            return document.RootElement.ValueKind == JsonValueKind.Object
                ? new ModelConfig(document.RootElement.Clone(), "")
                : throw new ModelPackException(ErrorCodes.ConfigSyntax, $"{FileName} is not a JSON object");
        }
        catch (JsonException e)
        {
            throw new ModelPackException(ErrorCodes.ConfigSyntax, $"{FileName} is not JSON: {e.Message}", innerException: e);
        }
    }

    /// <summary>Number of values.</summary>
    internal long Count => _root.EnumerateObject().LongCount();

    /// <summary>True when there is a value of that name that is not null.</summary>
    public bool Has(string name) => Find(name) is not null;

    /// <summary>True when the value of that name is a list.</summary>
    public bool IsList(string name) => Find(name) is JsonElement { ValueKind: JsonValueKind.Array };

    /// <summary>True when the name is there, were it with null: some families mean "none" by null and a default by silence.</summary>
    public bool Mentions(string name) => _root.TryGetProperty(name, out _);

    /// <summary>As <see cref="Positive"/>, null when it is not there.</summary>
    /// <exception cref="ModelPackException">MP1503.</exception>
    public long? OptionalPositive(string name) => Has(name) ? Positive(name) : null;

    /// <summary>A whole number from 0 on.</summary>
    /// <exception cref="ModelPackException">MP1503.</exception>
    public long NotNegative(string name, long fallback) => Find(name) is not JsonElement value ? fallback
        : value.ValueKind == JsonValueKind.Number && value.TryGetInt64(out long number) && number >= 0 ? number
        : throw Wrong(name, $"is {value.GetRawText()}, not a whole number from 0 on");

    /// <summary>A whole number from 1 to <paramref name="most"/>; without a fallback it must be there.</summary>
    /// <exception cref="ModelPackException">MP1503.</exception>
    public long Positive(string name, long? fallback = null, long most = int.MaxValue)
    {
        if (Find(name) is not JsonElement value)
        {
            return fallback ?? throw Wrong(name, "is missing");
        }

        return value.ValueKind == JsonValueKind.Number && value.TryGetInt64(out long number) && number >= 1 && number <= most
            ? number
            : throw Wrong(name, string.Create(CultureInfo.InvariantCulture, $"is {value.GetRawText()}, not a whole number from 1 to {most}"));
    }

    /// <summary>A number above 0 in the range of f32; without a fallback it must be there.</summary>
    /// <exception cref="ModelPackException">MP1503.</exception>
    public double Number(string name, double? fallback = null)
    {
        if (Find(name) is not JsonElement value)
        {
            return fallback ?? throw Wrong(name, "is missing");
        }

        return value.ValueKind == JsonValueKind.Number && value.TryGetDouble(out double number) && IsNormal(number)
            ? number
            : throw Wrong(name, $"is {value.GetRawText()}, not a number above 0 in the range of f32");
    }

    /// <summary>As <see cref="Number"/>, null when it is not there.</summary>
    /// <exception cref="ModelPackException">MP1503.</exception>
    public float? OptionalNumber(string name) => Has(name) ? (float)Number(name) : null;

    /// <summary>True or false.</summary>
    /// <exception cref="ModelPackException">MP1503.</exception>
    public bool Flag(string name, bool fallback) => Find(name) is not JsonElement value ? fallback : value.ValueKind switch
    {
        JsonValueKind.True => true,
        JsonValueKind.False => false,
        _ => throw Wrong(name, $"is {value.GetRawText()}, not true or false"),
    };

    /// <summary>A text; null when it is not there.</summary>
    /// <exception cref="ModelPackException">MP1503.</exception>
    public string? Text(string name) => Find(name) is not JsonElement value ? null
        : value.ValueKind == JsonValueKind.String ? value.GetString()
        : throw Wrong(name, $"is {value.GetRawText()}, not a text");

    /// <summary>A list of texts; null when it is not there.</summary>
    /// <exception cref="ModelPackException">MP1503.</exception>
    public IReadOnlyList<string>? Texts(string name)
    {
        if (Find(name) is not JsonElement value)
        {
            return null;
        }

        return value.ValueKind == JsonValueKind.Array && value.EnumerateArray().All(e => e.ValueKind == JsonValueKind.String)
            ? [.. value.EnumerateArray().Select(e => e.GetString()!)]
            : throw Wrong(name, "is not a list of texts");
    }

    /// <summary>A list of numbers above 0 in the range of f32; it must be there.</summary>
    /// <exception cref="ModelPackException">MP1503.</exception>
    public IReadOnlyList<double> Numbers(string name)
    {
        JsonElement list = Find(name) ?? throw Wrong(name, "is missing");
        return list.ValueKind == JsonValueKind.Array && list.EnumerateArray().All(e => e.ValueKind == JsonValueKind.Number && e.TryGetDouble(out double number) && IsNormal(number))
            ? [.. list.EnumerateArray().Select(e => e.GetDouble())]
            : throw Wrong(name, "is not a list of numbers above 0");
    }

    /// <summary>A list of whole numbers from 0 on; empty when it is not there.</summary>
    /// <exception cref="ModelPackException">MP1503.</exception>
    public IReadOnlyList<long> Integers(string name)
    {
        if (Find(name) is not JsonElement list)
        {
            return [];
        }

        return list.ValueKind == JsonValueKind.Array && list.EnumerateArray().All(e => e.ValueKind == JsonValueKind.Number && e.TryGetInt64(out long number) && number >= 0)
            ? [.. list.EnumerateArray().Select(e => e.GetInt64())]
            : throw Wrong(name, "is not a list of whole numbers from 0 on");
    }

    /// <summary>An object inside; null when it is not there.</summary>
    /// <exception cref="ModelPackException">MP1503.</exception>
    public ModelConfig? Section(string name) => Find(name) is not JsonElement value ? null
        : value.ValueKind == JsonValueKind.Object ? new ModelConfig(value, $"{_prefix}{name}.")
        : throw Wrong(name, "is not an object");

    /// <summary>The error for a value that is not usable.</summary>
    public ModelPackException Wrong(string name, string detail) => new(ErrorCodes.ConfigValue, $"{FileName}: '{_prefix}{name}' {detail}");

    /// <summary>The error for a value that asks for what cannot be built.</summary>
    public ModelPackException Unsupported(string name, string detail) => new(ErrorCodes.UnsupportedFeature, $"{FileName}: '{_prefix}{name}' {detail}");

    private static bool IsNormal(double number) => number > 0 && float.IsNormal((float)number);

    private JsonElement? Find(string name) => _root.TryGetProperty(name, out JsonElement value) && value.ValueKind != JsonValueKind.Null ? value : null;
}
