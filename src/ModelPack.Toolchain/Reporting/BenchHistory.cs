using System.Globalization;
using System.Text;
using System.Text.Json.Nodes;
using ModelPack.Pack;

namespace ModelPack.Toolchain;

/// <summary>Measurements of <c>bench model</c>, one after the other in a CSV file on this machine, for <c>report --bench</c> and for spreadsheets.</summary>
public static class BenchHistory
{
    private const string Header = "time,cpu,threads,model,format,load_seconds,first_run_seconds,median_ms,p90_ms,runs_per_second,rss_bytes";

    /// <summary>Adds what was measured, with a heading to a new file.</summary>
    /// <param name="path">The file; made when missing.</param>
    /// <param name="result">One model or two.</param>
    /// <param name="clock">Says when.</param>
    /// <exception cref="ModelPackException">MP1005: not writable; MP4112: a file of another kind.</exception>
    public static void Add(string path, BenchModelResult result, TimeProvider clock)
    {
        string time = clock.GetUtcNow().ToString("yyyy-MM-dd'T'HH:mm:ss'Z'", CultureInfo.InvariantCulture);
        bool isNew = !File.Exists(path) || new FileInfo(path).Length == 0;
        if (!isNew)
        {
            Read(path);
        }

        var text = new StringBuilder(isNew ? Header + "\n" : "");
        foreach (BenchedModel model in new[] { result.Model, result.Against }.OfType<BenchedModel>())
        {
            (string name, string format) = Describe(model.Path);
            text.Append(CultureInfo.InvariantCulture, $"{time},{Quoted(result.Cpu)},{result.Threads},{Quoted(name)},{Quoted(format)},{model.LoadSeconds:r},{model.FirstRunSeconds:r},{model.MedianMs:r},{model.P90Ms:r},{model.RunsPerSecond:r},{model.RssBytes}\n");
        }

        try
        {
            File.AppendAllText(path, text.ToString());
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new ModelPackException(ErrorCodes.FileUnwritable, e.Message, path, innerException: e);
        }
    }

    /// <summary>All measurements of a file, in its order.</summary>
    /// <exception cref="ModelPackException">MP1001: no such file; MP1002: not readable; MP4112: not a history.</exception>
    internal static IReadOnlyList<BenchRecord> Read(string path)
    {
        string[] lines;
        try
        {
            lines = File.ReadAllLines(path);
        }
        catch (Exception e) when (e is FileNotFoundException or DirectoryNotFoundException)
        {
            throw new ModelPackException(ErrorCodes.FileNotFound, "no such file", path);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new ModelPackException(ErrorCodes.FileUnreadable, e.Message, path, innerException: e);
        }

        if (lines.Length == 0 || lines[0] != Header)
        {
            throw new ModelPackException(ErrorCodes.BadBenchHistory, "the first line is not that of 'bench model --history'", path);
        }

        return
        [
            .. lines.Skip(1).Select((line, i) => BenchRecord.Parse(Fields(line))
                ?? throw new ModelPackException(ErrorCodes.BadBenchHistory, string.Create(CultureInfo.InvariantCulture, $"line {i + 2} is no measurement"), path)),
        ];
    }

    /// <summary>The folder names a model called model.onnx; an artifact is known by its recipe.</summary>
    private static (string Name, string Format) Describe(string path)
    {
        string full = Path.GetFullPath(path);
        string name = Path.GetFileNameWithoutExtension(full);
        name = name == "model" && Path.GetFileName(Path.GetDirectoryName(full)) is { Length: > 0 } folder ? folder : name;
        if (Directory.Exists(full) || !PackReader.IsNamedOrIsArtifact(full))
        {
            return (name, Directory.Exists(full) ? "checkpoint" : Path.GetExtension(full).TrimStart('.'));
        }

        using PackReader reader = PackReader.Open(full);
        string? recipe = reader.Blobs.TryGetValue(Artifact.RecipeBlob, out TensorData? blob) ? JsonNode.Parse(blob.ToArray(int.MaxValue / 2))?["name"]?.GetValue<string>() : null;
        string[] made = Artifact.IsCompiled(reader) ? [.. Artifact.ReadProvenance(reader).Inputs.Select(i => Path.GetFileNameWithoutExtension(i.Name))] : [];
        return (made.Length > 0 && made[0] != "model" ? made[0] : name, recipe ?? "mpack");
    }

    private static string Quoted(string text) => text.AsSpan().ContainsAny(",\"\r\n") ? $"\"{text.Replace("\"", "\"\"", StringComparison.Ordinal).Replace('\n', ' ').Replace('\r', ' ')}\"" : text;

    /// <summary>RFC 4180, without line breaks in fields.</summary>
    private static List<string> Fields(string line)
    {
        var fields = new List<string>();
        var field = new StringBuilder();
        bool quoted = false;
        for (int i = 0; i < line.Length; i++)
        {
            if (quoted && line[i] == '"' && i + 1 < line.Length && line[i + 1] == '"')
            {
                field.Append(line[i++]);
            }
            else if (line[i] == '"')
            {
                quoted = !quoted;
            }
            else if (line[i] == ',' && !quoted)
            {
                fields.Add(field.ToString());
                field.Clear();
            }
            else
            {
                field.Append(line[i]);
            }
        }

        fields.Add(field.ToString());
        return fields;
    }
}

/// <summary>One measurement of a history.</summary>
internal sealed record BenchRecord(string Time, string Cpu, int Threads, string Model, string Format, double LoadSeconds, double MedianMs, double P90Ms, long? RssBytes)
{
    /// <summary>Null when the fields are not those of a measurement.</summary>
    public static BenchRecord? Parse(IReadOnlyList<string> fields) =>
        fields.Count == 11
        && DateTimeOffset.TryParse(fields[0], CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal, out _)
        && int.TryParse(fields[2], CultureInfo.InvariantCulture, out int threads)
        && Number(fields[5], out double load) && Number(fields[7], out double median) && Number(fields[8], out double p90)
        && (fields[10].Length == 0 || long.TryParse(fields[10], CultureInfo.InvariantCulture, out _))
            ? new BenchRecord(fields[0], fields[1], threads, fields[3], fields[4], load, median, p90, fields[10].Length == 0 ? null : long.Parse(fields[10], CultureInfo.InvariantCulture))
            : null;

    public JsonObject ToJson() => new()
    {
        ["time"] = Time,
        ["cpu"] = Cpu,
        ["threads"] = Threads,
        ["model"] = Model,
        ["format"] = Format,
        ["load_seconds"] = LoadSeconds,
        ["median_ms"] = MedianMs,
        ["p90_ms"] = P90Ms,
        ["rss_bytes"] = RssBytes,
    };

    private static bool Number(string text, out double value) => double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out value) && double.IsFinite(value);
}
