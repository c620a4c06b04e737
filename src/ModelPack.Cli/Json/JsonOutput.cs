using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization;
using System.Text.Json.Serialization.Metadata;

namespace ModelPack.Cli;

/// <summary>JSON on stdout: one indented document, keys in declaration order, a newline at the end.</summary>
internal static class JsonOutput
{
    /// <summary>Contracts of everything that is printed.</summary>
    public static JsonTypes Types { get; } = new(new JsonSerializerOptions
    {
        PropertyNamingPolicy = new SnakeCase(),
        WriteIndented = true,
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
        NewLine = "\n",
        // A diverged model has perplexity "Infinity": say so instead of failing.
        NumberHandling = JsonNumberHandling.AllowNamedFloatingPointLiterals,
    });

    public static void Write<T>(TextWriter writer, T value, JsonTypeInfo<T> type) =>
        writer.Write(JsonSerializer.Serialize(value, type) + "\n");
}
