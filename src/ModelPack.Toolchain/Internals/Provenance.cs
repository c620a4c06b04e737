using System.Globalization;
using System.IO.Hashing;
using System.Text.Json;
using System.Text.Json.Nodes;
using ModelPack.Compiler.Calibration;

namespace ModelPack.Toolchain;

/// <summary>
/// What an artifact was made from and how: enough to repeat the compilation. No clock, no machine, no absolute path, so that equal
/// inputs give equal bytes.
/// </summary>
internal sealed record Provenance
{
    /// <summary><c>onnx</c>, <c>safetensors</c> or <c>checkpoint</c>.</summary>
    public required string Kind { get; init; }

    public required string Tool { get; init; }

    public required string Target { get; init; }

    /// <summary><see cref="CompileRequest.StockOperators"/>.</summary>
    public bool StockOperators { get; init; }

    /// <summary><see cref="CompileRequest.Accuracy"/>.</summary>
    public required string Accuracy { get; init; }

    /// <summary><see cref="CompileRequest.Level"/> as the command line names it; artifacts that record none were made at <c>default</c>.</summary>
    public string Level { get; init; } = "default";

    /// <summary><see cref="CompileRequest.Portable"/>; written when true.</summary>
    public bool Portable { get; init; }

    public required ulong Seed { get; init; }

    public required string RecipeHash { get; init; }

    public required IReadOnlyList<InputFile> Inputs { get; init; }

    /// <summary>What the calibration data were; null when none were used.</summary>
    public CalibrationInfo? Calibration { get; init; }

    /// <summary>User metadata of the input, in file order; only for models without a graph (a graph carries its own).</summary>
    public IReadOnlyList<KeyValuePair<string, string>> Metadata { get; init; } = [];

    /// <summary>One file that was read: its name without folder, its size, the XXH3-128 of its bytes.</summary>
    public sealed record InputFile(string Name, long Bytes, string Xxh128);

    public static InputFile Describe(MappedFile file, CancellationToken cancellation)
    {
        var hash = new XxHash128();
        byte[] buffer = new byte[1 << 20];
        for (long offset = 0; offset < file.LengthBytes;)
        {
            cancellation.ThrowIfCancellationRequested();
            int n = (int)Math.Min(buffer.Length, file.LengthBytes - offset);
            file.Read(offset, buffer.AsSpan(0, n));
            hash.Append(buffer.AsSpan(0, n));
            offset += n;
        }

        return new InputFile(Path.GetFileName(file.Path), file.LengthBytes, Convert.ToHexStringLower(hash.GetCurrentHash()));
    }

    public byte[] ToJson()
    {
        var json = new JsonObject
        {
            ["kind"] = Kind,
            ["tool"] = Tool,
            ["target"] = Target,
            ["accuracy"] = Accuracy,
            ["level"] = Level,
            ["seed"] = Seed.ToString(CultureInfo.InvariantCulture),
            ["recipe_hash"] = RecipeHash,
            ["inputs"] = new JsonArray([.. Inputs.Select(i => new JsonObject { ["name"] = i.Name, ["bytes"] = i.Bytes, ["xxh128"] = i.Xxh128 })]),
            ["metadata"] = new JsonArray([.. Metadata.Select(p => new JsonObject { ["key"] = p.Key, ["value"] = p.Value })]),
        };
        if (Calibration is not null)
        {
            json["calibration"] = StatisticsFile.ToJson(Calibration);
        }

        if (StockOperators)
        {
            json["stock_operators"] = true;
        }

        if (Portable)
        {
            json["portable"] = true;
        }

        using var stream = new MemoryStream();
        using (var writer = new Utf8JsonWriter(stream))
        {
            json.WriteTo(writer);
        }

        return stream.ToArray();
    }

    /// <exception cref="ModelPackException">MP4101: not a provenance record.</exception>
    public static Provenance Parse(ReadOnlySpan<byte> utf8, string path)
    {
        try
        {
            JsonNode? json = JsonNode.Parse(utf8);
            return new Provenance
            {
                Kind = Field(json, "kind").GetValue<string>(),
                Tool = Field(json, "tool").GetValue<string>(),
                Target = Field(json, "target").GetValue<string>(),
                Accuracy = Field(json, "accuracy").GetValue<string>(),
                StockOperators = json?["stock_operators"]?.GetValue<bool>() ?? false,
                Level = json?["level"]?.GetValue<string>() ?? "default",
                Portable = json?["portable"]?.GetValue<bool>() ?? false,
                Seed = ulong.Parse(Field(json, "seed").GetValue<string>(), CultureInfo.InvariantCulture),
                Calibration = json?["calibration"] is JsonNode calibration ? StatisticsFile.FromJson(calibration) : null,
                RecipeHash = Field(json, "recipe_hash").GetValue<string>(),
                Inputs = [.. Field(json, "inputs").AsArray().Select(i => new InputFile(
                    Field(i, "name").GetValue<string>(), Field(i, "bytes").GetValue<long>(), Field(i, "xxh128").GetValue<string>()))],
                Metadata = [.. Field(json, "metadata").AsArray().Select(p => KeyValuePair.Create(
                    Field(p, "key").GetValue<string>(), Field(p, "value").GetValue<string>()))],
            };
        }
        catch (Exception e) when (e is JsonException or NullReferenceException or InvalidOperationException or FormatException or OverflowException)
        {
            throw new ModelPackException(ErrorCodes.BadProvenance, $"the provenance record cannot be read: {e.Message}", path, innerException: e);
        }
    }

    private static JsonNode Field(JsonNode? node, string name) =>
        node is JsonObject o && o[name] is JsonNode value ? value : throw new InvalidOperationException($"'{name}' is missing");
}
