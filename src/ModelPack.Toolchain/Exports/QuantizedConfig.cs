using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;
using ModelPack.Architectures;
using ModelPack.Compiler;

namespace ModelPack.Toolchain;

/// <summary>What config.json says of quantised weights.</summary>
internal static class QuantizedConfig
{
    private const string Section = "quantization_config";

    /// <summary>The model with a declaration in its config.json.</summary>
    /// <param name="model">A checkpoint with a config.json.</param>
    /// <param name="section">The declaration.</param>
    /// <param name="also">A file that older loaders read the same from; null for none.</param>
    public static Model With(Model model, JsonObject section, string? also = null)
    {
        CarriedFile file = model.Files.First(f => f.RelativePath == ModelConfig.FileName);
        var config = (JsonObject)JsonNode.Parse(file.Data.ToArray())!;
        CarriedFile[] extra = also is null ? [] : [new CarriedFile(also, Write(section))];
        config[Section] = section;
        return model with { Files = [.. model.Files.Where(f => f.RelativePath != also).Select(f => f == file ? f with { Data = Write(config) } : f), .. extra] };
    }

    private static TensorData Write(JsonObject json)
    {
        var bytes = new MemoryStream();
        using (var writer = new Utf8JsonWriter(bytes, new JsonWriterOptions { Indented = true, IndentSize = 2, NewLine = "\n", Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping }))
        {
            json.WriteTo(writer);
        }

        bytes.WriteByte((byte)'\n');
        return TensorData.FromBytes(bytes.ToArray());
    }
}
