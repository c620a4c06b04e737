using System.Collections.Immutable;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;
using ModelPack.Compiler;

namespace ModelPack.Containers.Checkpoint;

/// <summary>
/// <c>quantization_config</c> of a config.json: <c>{"quant_method":"fp8","weight_block_size":[128,128], ...}</c> says that matrices named <c>*.weight</c> are E4M3 with an f32
/// scale per block in <c>*.weight_scale_inv</c>. A config that is no JSON, or says something else, declares nothing.
/// </summary>
internal static class Fp8Declaration
{
    private const string ConfigFile = "config.json";
    private const string Section = "quantization_config";
    private const int MaxBytes = 16 << 20;

    /// <summary>Modules that loaders must not take for FP8: two readers, two names.</summary>
    private static readonly string[] ExceptionLists = ["modules_to_not_convert", "ignored_layers"];

    /// <summary>The edge of the declared blocks, or null when there are none, or none that are square with an edge that <c>fp8(scope=tile)</c> has.</summary>
    public static int? Block(IEnumerable<CarriedFile> files) => Parse(files) is JsonObject config ? Block(config) : null;

    /// <summary>The model with the declaration removed from its config: for weights that are written dense.</summary>
    /// <param name="model">The model.</param>
    /// <param name="methods">Says of which <c>quant_method</c>.</param>
    public static Model Without(Model model, Func<string, bool> methods)
    {
        if (Parse(model.Files) is not JsonObject config || config[Section] is not JsonObject section || QuantizationSection.Text(section, "quant_method") is not string method || !methods(method))
        {
            return model;
        }

        config.Remove(Section);
        return With(model, config);
    }

    /// <summary>The model with a config that declares blocks. A declaration that is there already and right stays as it is, to the byte.</summary>
    /// <param name="model">The model.</param>
    /// <param name="block">Edge of the blocks.</param>
    /// <param name="converted">Modules whose weights are FP8.</param>
    /// <param name="dense">Modules whose weights are not and never were in the input.</param>
    /// <param name="restored">Modules whose weights may have been FP8 in the input and are dense now.</param>
    public static Model With(Model model, int block, IReadOnlySet<string> converted, IReadOnlyList<string> dense, IReadOnlyList<string> restored)
    {
        if (Parse(model.Files) is not JsonObject config)
        {
            return model;
        }

        if (Block(config) == block)
        {
            var section = (JsonObject)config[Section]!;
            bool changed = false;
            foreach (string list in ExceptionLists)
            {
                string[] before = Texts(section[list]);
                string[] after = [.. before.Where(m => !converted.Contains(m)), .. restored.Where(m => !before.Contains(m))];
                if (!after.SequenceEqual(before))
                {
                    section[list] = Array(after);
                    changed = true;
                }
            }

            return changed ? With(model, config) : model;
        }

        config[Section] = new JsonObject
        {
            ["activation_scheme"] = "dynamic",
            ["fmt"] = "e4m3",
            ["ignored_layers"] = Array([.. dense, .. restored]),
            ["modules_to_not_convert"] = Array([.. dense, .. restored]),
            ["quant_method"] = "fp8",
            ["weight_block_size"] = new JsonArray(block, block),
        };
        return With(model, config);
    }

    private static JsonObject? Parse(IEnumerable<CarriedFile> files)
    {
        CarriedFile? file = files.FirstOrDefault(f => f.RelativePath == ConfigFile);
        if (file is null || file.Data.LengthBytes > MaxBytes)
        {
            return null;
        }

        try
        {
            // The cast forces the properties to be read, which finds duplicate names.
            return JsonNode.Parse(file.Data.ToArray(MaxBytes)) is JsonObject config && config.Count > 0 ? config : null;
        }
        catch (Exception e) when (e is JsonException or ArgumentException)
        {
            return null;
        }
    }

    private static int? Block(JsonObject config)
    {
        try
        {
            return config[Section] is JsonObject section
                && section["quant_method"] is JsonValue method && method.TryGetValue(out string? name) && name == "fp8"
                && section["weight_block_size"] is JsonArray { Count: 2 } size
                && size[0] is JsonValue down && down.TryGetValue(out int rows)
                && size[1] is JsonValue across && across.TryGetValue(out int columns)
                && rows == columns && rows is >= Fp8BlockWeights.MinBlock and <= Fp8BlockWeights.MaxBlock && rows % Fp8BlockWeights.MinBlock == 0
                    ? rows
                    : null;
        }
        catch (ArgumentException)
        {
            return null; // A property given twice.
        }
    }

    private static string[] Texts(JsonNode? node) =>
        node is JsonArray list ? [.. list.Select(e => e is JsonValue value && value.TryGetValue(out string? text) ? text : null).OfType<string>()] : [];

    private static JsonArray Array(IEnumerable<string> texts) => [.. texts.Select(t => (JsonNode?)JsonValue.Create(t))];

    private static Model With(Model model, JsonObject config)
    {
        var bytes = new MemoryStream();
        var options = new JsonWriterOptions { Indented = true, IndentSize = 2, NewLine = "\n", Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };
        using (var writer = new Utf8JsonWriter(bytes, options))
        {
            config.WriteTo(writer);
        }

        bytes.WriteByte((byte)'\n');
        TensorData data = TensorData.FromBytes(bytes.ToArray());
        return model with { Files = [.. model.Files.Select(f => f.RelativePath == ConfigFile ? f with { Data = data } : f)] };
    }
}
