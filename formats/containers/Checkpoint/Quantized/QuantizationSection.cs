using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;
using ModelPack.Compiler;

namespace ModelPack.Containers.Checkpoint;

/// <summary><c>quantization_config</c> of a config.json, read strictly where it decides what codes mean.</summary>
/// <param name="Json">The section.</param>
/// <param name="Path">The folder, for messages.</param>
public sealed record QuantizationSection(JsonObject Json, string Path)
{
    private const string ConfigFile = "config.json";
    private const string Name = "quantization_config";
    private const int MaxBytes = 16 << 20;

    /// <summary><c>quant_method</c>; empty when it is not said.</summary>
    public string Method => Text("quant_method") ?? "";

    /// <summary>The section; null when there is none, or config.json cannot be read.</summary>
    /// <param name="files">Files of a checkpoint.</param>
    /// <param name="path">The folder.</param>
    public static QuantizationSection? Of(IEnumerable<CarriedFile> files, string path)
    {
        if (files.FirstOrDefault(f => f.RelativePath == ConfigFile) is not CarriedFile { Data.LengthBytes: <= MaxBytes } file)
        {
            return null;
        }

        try
        {
            // Looking for a name finds names given twice.
            return JsonNode.Parse(file.Data.ToArray(MaxBytes)) is JsonObject config && config[Name] is JsonObject section && section.ContainsKey("quant_method") ? new QuantizationSection(section, path) : null;
        }
        catch (Exception e) when (e is JsonException or ArgumentException)
        {
            return null; // Not JSON, or a name given twice: whoever needs the configuration says so.
        }
    }

    /// <summary>A text; null when it is not there or something else.</summary>
    public string? Text(string key) => Text(Json, key);

    /// <summary>A whole number in a range.</summary>
    /// <exception cref="ModelPackException">MP1513.</exception>
    public int Int(JsonObject from, string key, int? fallback, params ReadOnlySpan<int> allowed)
    {
        if (from[key] is null && fallback is int value)
        {
            return value;
        }

        if (from[key] is JsonValue node && node.TryGetValue(out value) && (allowed.IsEmpty || allowed.Contains(value)))
        {
            return value;
        }

        string expected = allowed.IsEmpty ? "a whole number" : $"one of {string.Join(", ", allowed.ToArray().Select(a => a.ToString(CultureInfo.InvariantCulture)))}";
        throw Wrong($"'{key}' is {from[key]?.ToJsonString() ?? "missing"}, not {expected}");
    }

    /// <summary>True or false.</summary>
    /// <exception cref="ModelPackException">MP1513.</exception>
    public bool Flag(JsonObject from, string key, bool fallback) =>
        from[key] is null ? fallback : from[key] is JsonValue node && node.TryGetValue(out bool value) ? value : throw Wrong($"'{key}' is {from[key]!.ToJsonString()}, not true or false");

    public ModelPackException Wrong(string message) => new(ErrorCodes.QuantizationConfig, $"quantization_config of {ConfigFile}: {message}", Path);

    internal static string? Text(JsonObject from, string key) => from[key] is JsonValue value && value.TryGetValue(out string? text) ? text : null;

    internal static string[] Texts(JsonNode? node) => node is JsonArray list ? [.. list.OfType<JsonValue>().Select(v => v.TryGetValue(out string? text) ? text : null).OfType<string>()] : [];
}
