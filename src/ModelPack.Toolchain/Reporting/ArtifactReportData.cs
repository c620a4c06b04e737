using System.Text.Json;
using System.Text.Json.Nodes;
using ModelPack.Pack;

namespace ModelPack.Toolchain;

/// <summary>What the page of a model draws, as JSON. Tensors are arrays, not objects: there may be thousands.</summary>
internal static class ArtifactReportData
{
    public static JsonObject Of(ReportRequest request, IProgress<ToolProgress>? progress, CancellationToken cancellation)
    {
        InspectResult inspected = Inspection.Inspect(request.Input, cancellation);
        Dictionary<string, ComparedTensor> compared = request.Against is null
            ? []
            : Verification.CompareWithOriginal(request.Input, request.Against, null, progress, cancellation).Tensors.ToDictionary(t => t.Name, StringComparer.Ordinal);
        (Dictionary<string, string> kinds, Provenance? provenance, JsonNode? recipe, bool planned) = Compiled(request.Input, inspected.Format, cancellation);
        long elements = inspected.Tensors.Where(t => t.BitsPerWeight is not null).Sum(Elements);
        var data = new JsonObject
        {
            ["format"] = inspected.Format,
            ["file_bytes"] = inspected.FileBytes,
            ["input_bytes"] = provenance?.Inputs.Sum(i => i.Bytes),
            ["bits_per_weight"] = elements == 0 ? null : Math.Round(inspected.Tensors.Where(t => t.BitsPerWeight is not null).Sum(t => t.BitsPerWeight!.Value * Elements(t)) / elements, 4),
            ["recipe"] = recipe?["name"]?.GetValue<string>(),
            ["recipe_json"] = recipe,
            ["facts"] = new JsonObject(inspected.Metadata.Select(p => KeyValuePair.Create(p.Key, (JsonNode?)p.Value))),
        };
        string[] encodings = [.. inspected.Tensors.Select(t => t.Encoding).Distinct(StringComparer.Ordinal)];
        var index = encodings.Select((e, i) => (e, i)).ToDictionary(p => p.e, p => p.i, StringComparer.Ordinal);
        data["encodings"] = new JsonArray([.. encodings.Select(e => (JsonNode)e)]);
        data["tensors"] = new JsonArray([.. inspected.Tensors.Select(t => (JsonNode)new JsonArray(
            t.Name,
            $"[{string.Join(',', t.Shape)}]",
            kinds.GetValueOrDefault(t.Name, "other"),
            index[t.Encoding],
            t.Bytes,
            t.StoredBytes,
            t.BitsPerWeight,
            compared.GetValueOrDefault(t.Name)?.RelativeError is double error ? Rounded(error) : null))]);
        data["plan"] = planned ? Plan(Inspection.Explain(request.Input, request.Profile, request.Rows, request.Threads, cancellation: cancellation)) : null;
        data["tune"] = request.Tune is null ? null : Tune(request.Tune);
        return data;
    }

    private static long Elements(InspectedTensor tensor) => tensor.Shape.Aggregate(1L, (product, d) => product * d);

    /// <summary>Four digits: more are not seen, and there are thousands.</summary>
    private static double Rounded(double value) => value == 0 || !double.IsFinite(value) ? 0 : double.Parse(value.ToString("G4", System.Globalization.CultureInfo.InvariantCulture), System.Globalization.CultureInfo.InvariantCulture);

    private static (Dictionary<string, string> Kinds, Provenance? Provenance, JsonNode? Recipe, bool Planned) Compiled(string path, string format, CancellationToken cancellation)
    {
        if (format != "mpack")
        {
            return ([], null, null, false);
        }

        using PackReader reader = PackReader.Open(path);
        bool graph = reader.Blobs.ContainsKey(Artifact.GraphBlob);
        Dictionary<string, string> kinds = graph ? TensorKinds.Classify(Artifact.ReadModel(reader, cancellation)) : [];
        JsonNode? recipe = reader.Blobs.TryGetValue(Artifact.RecipeBlob, out TensorData? blob) ? JsonNode.Parse(blob.ToArray(int.MaxValue / 2)) : null;
        return (kinds, Artifact.IsCompiled(reader) ? Artifact.ReadProvenance(reader) : null, recipe, graph);
    }

    private static JsonObject Plan(ExplainResult plan) => new()
    {
        ["totals"] = new JsonArray([.. plan.Totals.Select(t => (JsonNode)new JsonArray(t.Key, t.Value))]),
        ["nodes"] = new JsonArray([.. plan.Nodes.Select(n => (JsonNode)new JsonObject
        {
            ["name"] = n.Name,
            ["op"] = n.Op,
            ["kernel"] = n.Kernel,
            ["tensor"] = n.Tensor,
            ["seconds"] = n.PredictedSeconds is double seconds ? Rounded(seconds) : null,
            ["bound"] = n.Bound,
        })]),
        ["rejected"] = new JsonArray([.. plan.Nodes.SelectMany(n => n.Alternatives.Select(a => (n.Kernel, Lost: a.Kernel, a.Reason))).GroupBy(r => r).Select(g => (JsonNode)new JsonArray(g.Key.Kernel, g.Key.Lost, g.Key.Reason, g.Count()))]),
        ["predicted"] = plan.Predicted is PredictedRun run
            ? new JsonObject { ["profile"] = run.Profile, ["rows"] = run.Rows, ["threads"] = run.Threads, ["seconds"] = run.Seconds, ["weight_bytes"] = run.WeightBytes, ["flops"] = run.Flops }
            : null,
    };

    /// <summary>The parts of a search that the page draws.</summary>
    /// <exception cref="ModelPackException">MP4113: not what tune writes.</exception>
    private static JsonObject Tune(string path)
    {
        try
        {
            JsonNode json = JsonNode.Parse(File.ReadAllText(path))!;
            return new JsonObject
            {
                ["target"] = json["target"]!.GetValue<string>(),
                ["loss_kind"] = json["loss_kind"]!.GetValue<string>(),
                ["front"] = Points(json["front"]!),
                ["uniform"] = Points(json["uniform"]!),
                ["tensors"] = new JsonArray([.. (json["tensors"]?.AsArray() ?? []).Select(t => (JsonNode)new JsonArray(t!["name"]!.GetValue<string>(), Rounded(t["loss"]!.GetValue<double>())))]),
            };
        }
        catch (Exception e) when (e is JsonException or NullReferenceException or InvalidOperationException or FormatException)
        {
            throw new ModelPackException(ErrorCodes.BadTuneFile, "not what 'tune --json' prints nor the .front.json beside its recipe", path, innerException: e);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new ModelPackException(e is FileNotFoundException or DirectoryNotFoundException ? ErrorCodes.FileNotFound : ErrorCodes.FileUnreadable, e.Message, path, innerException: e);
        }
    }

    private static JsonArray Points(JsonNode points) => new([.. points.AsArray().Select(p => (JsonNode)new JsonObject
    {
        ["name"] = p!["name"]!.GetValue<string>(),
        ["bits"] = p["bits_per_weight"]!.GetValue<double>(),
        ["bytes"] = p["bytes"]!.GetValue<long>(),
        ["loss"] = Rounded(p["loss"]?.GetValue<double>() ?? p["predicted"]!.GetValue<double>()),
        ["chosen"] = p["chosen"]!.GetValue<bool>(),
    })]);
}
