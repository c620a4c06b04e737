using System.Text.Json;
using ModelPack.Testing;

namespace ModelPack.EndToEnd.Tests.Cli;

/// <summary><c>bench model --nodes</c> as users see it.</summary>
public sealed class BenchNodesTests(SampleModel sample) : IClassFixture<SampleModel>
{
    [Fact]
    public void Sample_model_has_times_and_predictions_for_all_its_nodes()
    {
        using var folder = new TempFolder();
        Dictionary<string, string> temporary = new() { ["TMPDIR"] = folder.Path, ["TEMP"] = folder.Path, ["TMP"] = folder.Path };

        CliRun run = CliProcess.RunWith(temporary, "bench", "model", sample.Artifact, "--nodes", "--profile", "x64-server", "--size", "seq=16", "--threads", "1", "--json");

        Assert.Equal("", run.Error);
        Assert.Equal(0, run.ExitCode);
        JsonElement json = JsonDocument.Parse(run.Out).RootElement.GetProperty("nodes");
        Assert.Equal(16, json.GetProperty("sizes").GetProperty("seq").GetInt64());
        Assert.Equal("x64-server", json.GetProperty("profile").GetProperty("name").GetString());
        Assert.Equal(1, json.GetProperty("profile").GetProperty("threads").GetInt32());
        Assert.InRange(json.GetProperty("runs").GetInt32(), 20, 100);
        JsonElement[] rows = [.. json.GetProperty("nodes").EnumerateArray()];
        Assert.InRange(rows.Length, 5, 100);
        double before = 1;
        foreach (JsonElement row in rows)
        {
            Assert.NotEqual("", row.GetProperty("name").GetString());
            Assert.NotEqual("", row.GetProperty("op").GetString());
            Assert.True(row.GetProperty("predicted_seconds").GetDouble() > 0);
            Assert.True(row.GetProperty("measured_seconds").GetDouble() > 0);
            Assert.Equal(row.GetProperty("measured_seconds").GetDouble() / row.GetProperty("predicted_seconds").GetDouble(), row.GetProperty("ratio").GetDouble(), 1e-6);
            Assert.InRange(row.GetProperty("share").GetDouble(), 0.01, before);
            before = row.GetProperty("share").GetDouble();
        }

        Assert.Contains(rows, r => r.GetProperty("kernel").GetString() is string kernel && kernel.StartsWith("modelpack:PackedMatMul", StringComparison.Ordinal));
        Assert.Equal(rows.Length, json.GetProperty("predicted").GetProperty("count").GetInt32());
        Assert.InRange(json.GetProperty("within").GetInt32(), 0, rows.Length);
        double nodes = json.GetProperty("node_seconds").GetDouble();
        double unpredicted = json.GetProperty("unpredicted").GetProperty("measured_seconds").GetDouble();
        Assert.Equal(nodes, json.GetProperty("predicted").GetProperty("measured_seconds").GetDouble() + json.GetProperty("small").GetProperty("measured_seconds").GetDouble() + unpredicted, 1e-6);

        // ONNX Runtime adds a Gather or two to each layer for which the graph has no node.
        Assert.InRange(unpredicted, 0, nodes * 0.05);
        Assert.Equal(json.GetProperty("unpredicted").GetProperty("count").GetInt32(), json.GetProperty("unpredicted_names").GetArrayLength());
        Assert.InRange(json.GetProperty("run_seconds").GetDouble(), nodes * 0.8, 1);
        Assert.Empty(Directory.GetDirectories(folder.Path, "modelpack-nodes-*"));
    }

    [Fact]
    public void Text_says_what_is_predicted_and_by_what()
    {
        using var folder = new TempFolder();
        string graph = SmallModel.Write(folder);
        Assert.Equal(0, CliProcess.Run("compile", graph, "-o", folder["m.mpack"], "--recipe", "int8", "--quiet").ExitCode);

        CliRun predicted = CliProcess.Run("bench", "model", folder["m.mpack"], "--nodes", "--profile", "x64-desktop");
        CliRun plain = CliProcess.Run("bench", "model", graph, "--nodes");
        CliRun quiet = CliProcess.Run("bench", "model", folder["m.mpack"], "--nodes", "--quiet");

        Assert.Equal((0, ""), (predicted.ExitCode, predicted.Error));
        Assert.Matches(@"[01] of 1 node above 1 % of the run within 25 % of the prediction, together predicted ", predicted.Out);
        Assert.Contains("predicted for x64-desktop (data sheets: ", predicted.Out, StringComparison.Ordinal);
        Assert.Contains("'modelpack profile -o host.json'", predicted.Out, StringComparison.Ordinal);
        Assert.Equal((0, ""), (plain.ExitCode, plain.Error));
        Assert.Matches("MatMul +- +[0-9.]+ +- +100 %", plain.Out);
        Assert.Contains("1 without a prediction", plain.Out, StringComparison.Ordinal);
        Assert.Contains("compile the model", plain.Out, StringComparison.Ordinal);
        Assert.Equal((0, "", ""), (quiet.ExitCode, quiet.Out, quiet.Error));
    }

    [Fact]
    public void Size_that_a_model_does_not_leave_open_is_refused()
    {
        CliRun run = CliProcess.Run("bench", "model", sample.Artifact, "--size", "length=16");

        Assert.Equal((1, ""), (run.ExitCode, run.Out));
        Assert.Matches(@"^\S+sample\.mpack: error MP3004: the model has no size 'length'[^\n]+\n$", run.Error);
    }
}
