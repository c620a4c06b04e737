using System.Collections.Immutable;
using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace ModelPack.Compiler;

/// <summary>The options of one pass: every option has a value of the right type. Immutable.</summary>
public sealed class PassOptions
{
    private readonly IPassFactory _factory;
    private readonly ImmutableSortedDictionary<string, JsonElement> _values;

    private PassOptions(IPassFactory factory, ImmutableSortedDictionary<string, JsonElement> values)
    {
        _factory = factory;
        _values = values;
    }

    /// <summary>All defaults.</summary>
    public static PassOptions Defaults(IPassFactory factory) =>
        new(factory, factory.Options.ToImmutableSortedDictionary(o => o.Name, o => JsonElement.Parse(o.Default), StringComparer.Ordinal));

    /// <summary>Checks given options and fills in defaults.</summary>
    /// <exception cref="ModelPackException">MP2003: no such option. MP2004: a wrong value.</exception>
    public static PassOptions Bind(IPassFactory factory, JsonObject given) => Defaults(factory).With(given);

    /// <summary>The same options with some replaced.</summary>
    /// <exception cref="ModelPackException">MP2003: no such option. MP2004: a wrong value.</exception>
    public PassOptions With(JsonObject overrides)
    {
        ImmutableSortedDictionary<string, JsonElement> values = _values;
        foreach ((string key, JsonNode? node) in overrides)
        {
            PassOption option = Find(_factory, key);
            values = values.SetItem(key, Check(option, node));
        }

        return new PassOptions(_factory, values);
    }

    /// <summary>A string option.</summary>
    public string Text(string name) => _values[name].GetString()!;

    /// <summary>An integer option.</summary>
    public long Integer(string name) => _values[name].GetInt64();

    /// <summary>A boolean option.</summary>
    public bool Flag(string name) => _values[name].GetBoolean();

    /// <summary>An option that is an array of strings.</summary>
    public ImmutableArray<string> Texts(string name) => [.. _values[name].EnumerateArray().Select(e => e.GetString()!)];

    /// <summary>All options with their values, in ordinal order of their names.</summary>
    public JsonObject ToJson()
    {
        var json = new JsonObject();
        foreach ((string key, JsonElement value) in _values)
        {
            json[key] = JsonNode.Parse(value.GetRawText());
        }

        return json;
    }

    /// <summary>Turns the text of a command-line override into the JSON value the option expects.</summary>
    /// <exception cref="ModelPackException">MP2004: the text is not such a value.</exception>
    internal static JsonNode? ParseText(PassOption option, string text) => option.Type switch
    {
        "string" => JsonValue.Create(text),
        "array" => new JsonArray([.. text.Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries).Select(t => (JsonNode)JsonValue.Create(t))]),
        "boolean" when text is "true" or "false" => JsonValue.Create(text == "true"),
        "integer" when long.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out long value) => JsonValue.Create(value),
        _ => throw Bad(option, $"'{text}'"),
    };

    internal static PassOption Find(IPassFactory factory, string key) =>
        factory.Options.FirstOrDefault(o => o.Name == key)
        ?? throw new ModelPackException(ErrorCodes.UnknownPassOption, $"pass '{factory.Name}' has no option '{key}'{Suggestion.For(key, factory.Options.Select(o => o.Name))}");

    /// <summary>The value in canonical form (an integer written 32.0 becomes 32).</summary>
    internal static JsonElement Check(PassOption option, JsonNode? node)
    {
        JsonElement value = JsonElement.Parse(node?.ToJsonString() ?? "null");
        if (option.Type == "integer" && value.ValueKind == JsonValueKind.Number && !value.TryGetInt64(out _)
            && value.TryGetDouble(out double number) && number == Math.Truncate(number) && Math.Abs(number) < 1L << 53)
        {
            value = JsonElement.Parse(((long)number).ToString(CultureInfo.InvariantCulture));
        }

        bool fits = option.Type switch
        {
            "string" => value.ValueKind == JsonValueKind.String && Allowed(option, value.GetString()!),
            "boolean" => value.ValueKind is JsonValueKind.True or JsonValueKind.False,
            "integer" => value.ValueKind == JsonValueKind.Number && value.TryGetInt64(out long i)
                && i >= option.Minimum && i <= option.Maximum && Allowed(option, i.ToString(CultureInfo.InvariantCulture)),
            "array" => value.ValueKind == JsonValueKind.Array
                && value.EnumerateArray().All(e => e.ValueKind == JsonValueKind.String && Allowed(option, e.GetString()!)),
            _ => throw new InvalidOperationException($"option '{option.Name}' has the unknown type '{option.Type}'"),
        };
        return fits ? value : throw Bad(option, value.GetRawText());
    }

    private static bool Allowed(PassOption option, string value) => option.Values is null || option.Values.Contains(value, StringComparer.Ordinal);

    private static ModelPackException Bad(PassOption option, string given)
    {
        string expected = option switch
        {
            { Values: not null, Type: "array" } => $"an array of: {string.Join(", ", option.Values)}",
            { Values: not null } => $"one of: {string.Join(", ", option.Values)}",
            { Type: "integer" } => string.Create(CultureInfo.InvariantCulture, $"an integer from {option.Minimum} to {option.Maximum}"),
            { Type: "array" } => "an array of strings",
            _ => $"a {option.Type}",
        };
        return new ModelPackException(ErrorCodes.BadPassOption, $"option '{option.Name}' is {given}; it must be {expected}");
    }
}
