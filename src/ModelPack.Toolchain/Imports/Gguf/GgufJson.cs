using System.Globalization;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace ModelPack.Toolchain;

/// <summary>Files of a checkpoint, made of metadata.</summary>
internal static class GgufJson
{
    /// <summary>The text of a file, the same for the same content.</summary>
    public static byte[] Write(JsonObject json)
    {
        using var stream = new MemoryStream();
        using (var writer = new Utf8JsonWriter(stream, new JsonWriterOptions { Indented = true, NewLine = "\n", Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping }))
        {
            json.WriteTo(writer);
        }

        return stream.ToArray();
    }

    /// <summary>A number that was an f32, in the shortest digits that mean it: 1e-05, not 9.99999974738e-06.</summary>
    public static JsonNode Number(double value)
    {
        string digits = (float)value == value ? ((float)value).ToString("R", CultureInfo.InvariantCulture) : value.ToString("R", CultureInfo.InvariantCulture);
        return JsonNode.Parse(digits)!;
    }
}
