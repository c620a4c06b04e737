using System.Text.Json;
using ModelPack.Testing;

namespace ModelPack.EndToEnd.Tests.Cli;

/// <summary>The keys that scripts rely on, per command.</summary>
public sealed class JsonShapeTests(SampleModel sample) : IClassFixture<SampleModel>
{
    [Fact]
    public void Compile_reports_sizes_errors_and_memory()
    {
        using var folder = new TempFolder();

        JsonElement json = Run("compile", SampleModel.Graph, "-o", folder["a.mpack"], "--recipe", "int4");

        AssertKeys(json, "input_bytes", "output_bytes", "ratio", "seconds", "peak_memory_bytes", "tensors", "warnings");
        AssertItems(json.GetProperty("tensors"), "name", "shape", "encoding", "input_bytes", "output_bytes", "relative_error");
        Assert.Equal(new FileInfo(folder["a.mpack"]).Length, json.GetProperty("output_bytes").GetInt64());
        Assert.InRange(json.GetProperty("ratio").GetDouble(), 2, 5);
        Assert.Contains(json.GetProperty("tensors").EnumerateArray(), t => t.GetProperty("relative_error").GetDouble() is > 0.05 and < 0.2);
    }

    [Fact]
    public void Compile_dry_run_has_the_same_keys_and_writes_nothing()
    {
        using var folder = new TempFolder();

        JsonElement json = Run("compile", SampleModel.Graph, "-o", folder["a.mpack"], "--recipe", "int4", "--dry-run");

        AssertKeys(json, "input_bytes", "output_bytes", "ratio", "seconds", "peak_memory_bytes", "tensors", "warnings", "dry_run");
        Assert.True(json.GetProperty("dry_run").GetBoolean());
        Assert.Empty(Directory.EnumerateFileSystemEntries(folder.Path));
    }

    [Fact]
    public void Pack_and_unpack_report_sizes_and_speed()
    {
        using var folder = new TempFolder();

        JsonElement packed = Run("pack", SampleModel.Weights, "-o", folder["a.mpack"]);
        JsonElement unpacked = Run("unpack", folder["a.mpack"], "-o", folder["back.safetensors"]);

        AssertKeys(packed, "input_bytes", "output_bytes", "ratio", "seconds", "gbps");
        AssertKeys(unpacked, "input_bytes", "output_bytes", "ratio", "seconds", "gbps");
        Assert.Equal(packed.GetProperty("input_bytes").GetInt64(), unpacked.GetProperty("output_bytes").GetInt64());
    }

    [Fact]
    public void Run_with_a_prompt_reports_text_and_speed()
    {
        JsonElement json = Run("run", SampleModel.Folder, "--prompt", "The sea", "--max-tokens", "4");

        AssertKeys(json, "prompt_tokens", "tokens", "text", "stop_reason", "first_token_seconds", "tokens_per_second");
        Assert.Equal(4, json.GetProperty("tokens").GetInt32());
    }

    [Theory]
    [InlineData("onnx")]
    [InlineData("safetensors")]
    [InlineData("checkpoint")]
    [InlineData("mpack")]
    [InlineData("mpack-files")]
    public void Inspect_describes_every_kind_of_file(string format)
    {
        string path = format switch
        {
            "onnx" => SampleModel.Graph,
            "safetensors" => SampleModel.Weights,
            "checkpoint" => SampleModel.Folder,
            "mpack" => sample.Artifact,
            _ => sample.Packed,
        };

        JsonElement json = Run("inspect", path);

        AssertKeys(json, "format", "tensors", "metadata");
        AssertItems(json.GetProperty("tensors"), "name", "shape", "dtype", "encoding", "bytes", "stored_bytes");
        Assert.Equal(format, json.GetProperty("format").GetString());
    }

    [Fact]
    public void Explain_gives_the_plan()
    {
        JsonElement json = Run("explain", sample.Artifact);

        AssertKeys(json, "target", "nodes", "totals");
        AssertItems(json.GetProperty("nodes"), "name", "op", "kernel", "alternatives");
        AssertItems(json.GetProperty("nodes")[0].GetProperty("alternatives"), "kernel", "reason");
    }

    [Fact]
    public void Verify_counts_what_it_checked()
    {
        JsonElement json = Run("verify", sample.Artifact);

        AssertKeys(json, "ok", "errors", "tensors_checked", "decoded");
        Assert.True(json.GetProperty("ok").GetBoolean());
        Assert.True(json.GetProperty("decoded").GetBoolean());
        Assert.InRange(json.GetProperty("tensors_checked").GetInt32(), 56, 1000);
        JsonElement stored = Run("verify", sample.Artifact, "--stored");
        Assert.True(stored.GetProperty("ok").GetBoolean());
        Assert.False(stored.GetProperty("decoded").GetBoolean());
        Assert.Equal(json.GetProperty("bytes_checked").GetInt64(), stored.GetProperty("bytes_checked").GetInt64());
    }

    [Fact]
    public void Run_lists_its_outputs()
    {
        using var folder = new TempFolder();

        JsonElement json = Run("run", sample.Artifact, "--input", $"input_ids={sample.TokenIds}", "--output", folder["results"]);

        AssertKeys(json, "outputs", "seconds");
        AssertItems(json.GetProperty("outputs"), "name", "shape", "dtype");
        Assert.Equal([1L, 8, 4096], json.GetProperty("outputs")[0].GetProperty("shape").EnumerateArray().Select(d => d.GetInt64()));
        Assert.True(File.Exists(folder["results/logits.npy"]));
    }

    [Fact]
    public void Eval_with_tokens_gives_perplexity()
    {
        using var folder = new TempFolder();
        byte[] tokens = File.ReadAllBytes(SampleModel.Tokens);
        string few = folder.Write("few.tokens.bin", tokens.AsSpan(0, 2 * 64 * 4));

        JsonElement json = Run("eval", sample.Artifact, "--tokens", few, "--window", "64");

        AssertKeys(json, "perplexity", "nll", "tokens");
        Assert.Equal(4 * 63, json.GetProperty("tokens").GetInt32());
        Assert.Equal(json.GetProperty("perplexity").GetDouble(), Math.Exp(json.GetProperty("nll").GetDouble()), 6);
    }

    [Fact]
    public void Eval_with_a_reference_gives_agreement()
    {
        using var folder = new TempFolder();
        folder.Write("data/input_ids.npy", File.ReadAllBytes(sample.TokenIds));

        JsonElement json = Run("eval", sample.Artifact, "--reference", SampleModel.Graph, "--data", folder["data"]);

        AssertKeys(json, "max_abs_error", "sqnr_db", "cosine", "top1_agreement");
        Assert.InRange(json.GetProperty("cosine").GetDouble(), 0.99, 1.0000001);
    }

    [Fact]
    public void Compare_measures_each_tensor()
    {
        JsonElement json = Run("compare", SampleModel.Weights, SampleModel.Weights);

        AssertKeys(json, "tensors", "missing", "extra");
        AssertItems(json.GetProperty("tensors"), "name", "max_abs_error", "relative_error", "sqnr_db");
        Assert.All(json.GetProperty("tensors").EnumerateArray(), t => Assert.True(t.GetProperty("identical").GetBoolean()));
    }

    [Fact]
    public void Export_names_its_files()
    {
        using var folder = new TempFolder();

        JsonElement json = Run("export", sample.Artifact, "--to", "onnx", "-o", folder["out.onnx"]);

        AssertKeys(json, "files", "loadable_by");
        Assert.All(json.GetProperty("files").EnumerateArray(), f => Assert.True(File.Exists(f.GetString())));
    }

    [Fact]
    public void Formats_lists_units_with_their_error()
    {
        JsonElement json = Run("formats");

        AssertItems(json.GetProperty("formats"), "name", "kind", "bits_per_weight", "gaussian_mse", "capacity");
    }

    [Fact]
    public void Bench_model_gives_times_and_memory()
    {
        using var folder = new TempFolder();
        // A small model: README's example measures the sample.
        string graph = SmallModel.Write(folder);
        Run("compile", graph, "-o", folder["m.mpack"], "--recipe", "int8");

        JsonElement json = Run("bench", "model", folder["m.mpack"], "--against", graph);

        AssertKeys(json, "load_seconds", "cold_load_seconds", "cold_first_run_seconds", "median_ms", "p90_ms", "rss_bytes", "ratio");
        Assert.True(json.GetProperty("cold_load_seconds").GetDouble() > 0);
        Assert.True(json.GetProperty("rss_bytes").GetInt64() > 1 << 20);
        Assert.True(json.GetProperty("median_ms").GetDouble() > 0);
        Assert.True(json.GetProperty("ratio").GetDouble() > 0);
    }

    [Fact]
    public void Bench_codec_gives_every_codec_and_the_sizes_to_judge_it_by()
    {
        JsonElement json = Run("bench", "codec", SampleModel.Weights, "--threads", "2");

        AssertKeys(json, "path", "results", "references", "memcpy_gbps", "cpu", "threads");
        JsonElement[] results = [.. json.GetProperty("results").EnumerateArray()];
        Assert.All(results, r => AssertKeys(r, "codec", "dtype", "role", "ratio", "encode_gbps", "decode_gbps", "encode_threads_gbps", "decode_threads_gbps", "memcpy_gbps"));
        Assert.Contains(results, r => r.GetProperty("codec").GetString() == "planes-huffman" && r.GetProperty("ratio").GetDouble() > 1.505);
        JsonElement reference = Assert.Single(json.GetProperty("references").EnumerateArray());
        AssertKeys(reference, "dtype", "role", "tensors", "bytes", "zipnn_bytes", "bound_bytes", "mantissa_bound_bytes", "realized");

        // 1.5058 was measured with ZipNN itself on the whole file; tensors alone make it a little smaller.
        double bytes = reference.GetProperty("bytes").GetDouble();
        Assert.InRange(bytes / reference.GetProperty("zipnn_bytes").GetDouble(), 1.505, 1.508);
        Assert.InRange(bytes / reference.GetProperty("bound_bytes").GetDouble(), 1.513, 1.522);
        Assert.InRange(bytes / reference.GetProperty("mantissa_bound_bytes").GetDouble(), 1.520, 1.530);
    }

    private static JsonElement Run(params string[] args)
    {
        CliRun run = CliProcess.Run([.. args, "--json"]);
        Assert.Equal("", run.Error);
        Assert.Equal(0, run.ExitCode);
        return JsonDocument.Parse(run.Out).RootElement;
    }

    private static void AssertKeys(JsonElement json, params string[] keys) =>
        Assert.Empty(keys.Except(json.EnumerateObject().Select(p => p.Name)));

    private static void AssertItems(JsonElement array, params string[] keys)
    {
        Assert.NotEqual(0, array.GetArrayLength());
        foreach (JsonElement item in array.EnumerateArray())
        {
            AssertKeys(item, keys);
        }
    }
}
