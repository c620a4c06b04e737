using System.Text;
using System.Text.Json.Nodes;

namespace ModelPack.Toolchain;

/// <summary>Pages to look at: one HTML file each, that needs nothing beside it and nothing from a network.</summary>
public static class Reports
{
    /// <summary>Writes the page of a model: sizes, encodings, errors, plan, front of a search, provenance. The same inputs give the same bytes.</summary>
    /// <exception cref="ModelPackException">A file cannot be read, or the page cannot be written (MP4104, MP1005).</exception>
    /// <exception cref="OperationCanceledException">Cancelled; nothing was written.</exception>
    public static ReportResult Write(ReportRequest request, IProgress<ToolProgress>? progress = null, CancellationToken cancellation = default)
    {
        OutputChecks.CheckWritable(request.Output);
        JsonObject data = ArtifactReportData.Of(request, progress, cancellation);
        string[] sections =
        [
            "sizes", "tensors",
            .. data["tune"] is null ? [] : new[] { "front" },
            .. data["plan"] is null ? [] : new[] { "plan" },
            "provenance",
        ];
        string name = Path.GetFileName(Path.TrimEndingDirectorySeparator(request.Input));
        return Publish(request.Output, ReportPage.Of(name, "report.js", data), sections);
    }

    /// <summary>Writes the page of a history of measurements, see <see cref="BenchHistory"/>.</summary>
    /// <exception cref="ModelPackException">MP4112: the history cannot be read; MP4104, MP1005: the page cannot be written.</exception>
    public static ReportResult WriteBench(string history, string output)
    {
        OutputChecks.CheckWritable(output);
        IReadOnlyList<BenchRecord> records = BenchHistory.Read(history);
        var data = new JsonObject { ["rows"] = new JsonArray([.. records.Select(r => (JsonNode)r.ToJson())]) };
        return Publish(output, ReportPage.Of("Measurements", "bench.js", data), [.. records.Select(r => r.Model).Distinct(StringComparer.Ordinal)]);
    }

    private static ReportResult Publish(string output, string page, IReadOnlyList<string> sections)
    {
        byte[] bytes = Encoding.UTF8.GetBytes(page);
        using var files = new AtomicFiles();
        files.Add(output, stream => stream.Write(bytes));
        files.Commit();
        return new ReportResult { Output = output, OutputBytes = bytes.Length, Sections = sections };
    }
}
