using System.Text;
using System.Text.Json.Nodes;
using ModelPack.Testing;
using ModelPack.Toolchain;
using Xunit;

namespace ModelPack.Tests.Toolchain;

/// <summary>Interrupted conversions go on where they stopped, to the same bytes.</summary>
public sealed class ResumeTests : IDisposable
{
    private readonly TempFolder _folder = new();
    private readonly string _input;

    public ResumeTests()
    {
        _input = _folder["in"];
        SparseCheckpoint.Write(_input, hidden: 128, intermediate: 384, layers: 3, vocabulary: 256, shardBytes: 1 << 18);
    }

    private string Output => _folder["m.mpack"];

    private string Partial => Output + ".partial";

    private string Journal => Output + ".resume";

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData("mlp.gate_proj", "int4")]
    [InlineData("layers.1.self_attn.q_proj", "int4")]
    [InlineData("lm_head", "lossless")]
    [InlineData("recipe", "int8")]
    public void Compile_interrupted_goesOnToTheSameBytes(string at, string recipe)
    {
        byte[] whole = Whole(recipe);
        var interrupted = Assert.Throws<InterruptedWriteException>(() => Compile(recipe, stopAt: at));
        Assert.Contains("the same command goes on", interrupted.Message, StringComparison.Ordinal);
        Assert.False(File.Exists(Output));
        Assert.True(File.Exists(Partial));
        CompileResult result = Compile(recipe);
        Assert.True(result.ResumedTensors > 0);
        Assert.DoesNotContain(result.Warnings, w => w.Contains("interrupted", StringComparison.Ordinal));
        AssertComplete(whole);
    }

    [Fact]
    public void Compile_interruptedAgainAndAgain_goesOnToTheSameBytes()
    {
        byte[] whole = Whole("int4");
        int runs = 0;
        int earlier = 0;
        for (bool done = false; !done; runs++)
        {
            int tensors = 0;
            string last = "";
            using var stop = new CancellationTokenSource();
            var progress = new Callback(p =>
            {
                if (p.Activity == "pack" && p.Item != last)
                {
                    last = p.Item!;
                    if (++tensors > 3)
                    {
                        stop.Cancel();
                    }
                }
            });
            try
            {
                CompileResult result = ModelCompiler.Compile(Request("int4"), progress, stop.Token);
                Assert.True(result.ResumedTensors >= earlier);
                done = true;
            }
            catch (OperationCanceledException)
            {
                int parts = File.ReadLines(Journal).Count() - 1;
                Assert.True(parts > earlier, $"run {runs}: {parts} after {earlier}");
                earlier = parts;
            }
        }

        Assert.InRange(runs, 3, 20);
        AssertComplete(whole);
    }

    [Theory]
    [InlineData("source")]
    [InlineData("recipe")]
    [InlineData("level")]
    public void Compile_ofSomethingElseNow_discardsWhatDoesNotFit_andSaysSo(string change)
    {
        Assert.Throws<InterruptedWriteException>(() => Compile("int4", stopAt: "lm_head"));
        CompileRequest request = Request(change == "recipe" ? "int8" : "int4");
        switch (change)
        {
            case "source":
                string shard = Directory.GetFiles(_input, "model-*.safetensors").Order(StringComparer.Ordinal).ElementAt(1);
                byte[] bytes = File.ReadAllBytes(shard);
                bytes[^1] ^= 1;
                bytes[^7] = 0x3D;
                File.WriteAllBytes(shard, bytes);
                break;
            case "level":
                request = request with { Level = ModelPack.Codecs.CodecLevel.Fast };
                break;
        }

        CompileResult result = ModelCompiler.Compile(request);
        Assert.Contains(result.Warnings, w => w.Contains("finished parts of an interrupted run were made again", StringComparison.Ordinal));
        Assert.Equal(change == "source", result.ResumedTensors > 0);
        byte[] resumed = File.ReadAllBytes(Output);
        ModelCompiler.Compile(request with { Resume = false });
        AssertComplete(resumed);
    }

    [Theory]
    [InlineData("journal ends in a line")]
    [InlineData("journal is something else")]
    [InlineData("partial file is damaged")]
    [InlineData("partial file ends early")]
    [InlineData("partial file is missing")]
    [InlineData("partial file is longer")]
    public void Compile_afterACrash_believesOnlyWhatIsStillThere(string damage)
    {
        byte[] whole = Whole("int4");
        Assert.Throws<InterruptedWriteException>(() => Compile("int4", stopAt: "lm_head"));
        byte[] journal = File.ReadAllBytes(Journal);
        byte[] partial = File.ReadAllBytes(Partial);
        switch (damage)
        {
            case "journal ends in a line":
                File.WriteAllBytes(Journal, journal[..^(journal.Length / 3)]);
                break;
            case "journal is something else":
                File.WriteAllText(Journal, "not\njson\n");
                break;
            case "partial file is damaged":
                partial[partial.Length / 2] ^= 1;
                File.WriteAllBytes(Partial, partial);
                break;
            case "partial file ends early":
                File.WriteAllBytes(Partial, partial[..(partial.Length / 2)]);
                break;
            case "partial file is missing":
                File.Delete(Partial);
                break;
            default:
                File.WriteAllBytes(Partial, [.. partial, .. Enumerable.Repeat((byte)7, 10_000_000)]);
                break;
        }

        Compile("int4");
        AssertComplete(whole);
    }

    /// <summary>Everything after the header may hold what an earlier run left, also between streams.</summary>
    [Fact]
    public void Compile_overForeignBytes_writesTheGapsToo()
    {
        byte[] whole = Whole("int4");
        File.WriteAllBytes(Partial, [.. Enumerable.Repeat((byte)0xA5, whole.Length + 100)]);
        Compile("int4");
        AssertComplete(whole);
    }

    [Fact]
    public void Compile_whileAnotherWritesTheSame_isMP4120()
    {
        using OutputJournal other = OutputJournal.Open(Output, "another");
        var error = Assert.Throws<ModelPackException>(() => Compile("int4"));
        Assert.Equal(ErrorCodes.OutputBusy, error.Code);
    }

    [Fact]
    public void Compile_cancelledWithoutResume_leavesNothing()
    {
        var cancelled = Assert.ThrowsAny<OperationCanceledException>(() => Compile("int4", stopAt: "lm_head", resume: false));
        Assert.IsNotType<InterruptedWriteException>(cancelled);
        Assert.Empty(Directory.GetFiles(_folder.Path));
        // By itself, a small input leaves nothing either.
        Assert.ThrowsAny<OperationCanceledException>(() => Compile("int4", stopAt: "lm_head", resume: null));
        Assert.Empty(Directory.GetFiles(_folder.Path));
    }

    [SkippableFact]
    public void Compile_toAFullDisk_isMP4002AndKeepsWhatIsFinished()
    {
        Skip.IfNot(File.Exists("/dev/full"), "needs /dev/full");
        File.CreateSymbolicLink(Partial, "/dev/full");
        var error = Assert.Throws<ModelPackException>(() => Compile("int4"));
        Assert.Equal(ErrorCodes.PackOutput, error.Code);
        Assert.Contains("space", error.Message, StringComparison.Ordinal);
        Assert.Empty(Directory.GetFiles(_folder.Path));
    }

    [SkippableTheory]
    [InlineData("safetensors")]
    [InlineData("compressed-tensors")]
    public void Export_toAFullDisk_goesOnFromTheShardsThatAreThere(string to)
    {
        Skip.IfNot(File.Exists("/dev/full"), "needs /dev/full");
        ModelCompiler.Compile(Request("int4(scale=bf16)") with { Sets = ["quantize.ends=keep"] });
        var options = new ExportOptions { MaxShardBytes = 60_000, Resume = true, Others = DType.BF16 };
        ExportResult whole = Exporting.Export(Output, to, _folder["whole"], options);
        Assert.InRange(whole.Files.Count(f => f.EndsWith(".safetensors", StringComparison.Ordinal)), 3, 50);
        Assert.False(File.Exists(_folder["whole.resume"]));
        string folder = _folder["out"];
        Directory.CreateDirectory(folder);
        string full = Path.Combine(folder, Path.GetFileName(whole.Files[2]) + ".partial");
        File.CreateSymbolicLink(full, "/dev/full");
        var error = Assert.Throws<ModelPackException>(() => Exporting.Export(Output, to, folder, options));
        Assert.Equal(ErrorCodes.FileUnwritable, error.Code);
        Assert.Contains("the same command goes on", error.Message, StringComparison.Ordinal);
        File.Delete(full);
        ExportResult again = Exporting.Export(Output, to, folder, options);
        Assert.True(again.ResumedTensors > 0);
        Assert.Empty(again.Warnings);
        Assert.Equal(whole.Files.Select(Path.GetFileName).Order(), Directory.GetFiles(folder).Select(Path.GetFileName).Order());
        Assert.All(whole.Files, f => Assert.Equal(File.ReadAllBytes(f), File.ReadAllBytes(Path.Combine(folder, Path.GetFileName(f)))));
        Assert.False(File.Exists(folder + ".resume"));
    }

    [Fact]
    public void Export_sharded_hasTheIndexOfLoaders()
    {
        ModelCompiler.Compile(Request("lossless"));
        ExportResult result = Exporting.Export(Output, "safetensors", _folder["out"], new ExportOptions { MaxShardBytes = 200_000 });
        string[] shards = [.. result.Files.Where(f => f.EndsWith(".safetensors", StringComparison.Ordinal))];
        JsonNode index = JsonNode.Parse(File.ReadAllText(Path.Combine(_folder["out"], "model.safetensors.index.json")))!;
        long total = 0;
        for (int i = 0; i < shards.Length; i++)
        {
            Assert.Equal($"model-{i + 1:D5}-of-{shards.Length:D5}.safetensors", Path.GetFileName(shards[i]));
            byte[] bytes = File.ReadAllBytes(shards[i]);
            int header = (int)BitConverter.ToInt64(bytes);
            JsonObject tensors = JsonNode.Parse(Encoding.UTF8.GetString(bytes, 8, header))!.AsObject();
            Assert.Equal("pt", (string?)tensors["__metadata__"]!["format"]);
            foreach ((string name, JsonNode? tensor) in tensors.Where(t => t.Key != "__metadata__"))
            {
                Assert.Equal(Path.GetFileName(shards[i]), (string?)index["weight_map"]![name]);
                total += (long)tensor!["data_offsets"]![1]! - (long)tensor["data_offsets"]![0]!;
            }

            Assert.True(bytes.Length - 8 - header <= 200_000 || tensors.Count == 2, $"{shards[i]} has {bytes.Length} bytes");
        }

        Assert.Equal(total, (long)index["metadata"]!["total_size"]!);
        Assert.All(Comparison.Compare(_input, _folder["out"]).Tensors, t => Assert.Equal(0, t.MaxAbsError));
        var oneFile = Assert.Throws<ModelPackException>(() => Exporting.Export(Output, "safetensors", _folder["m.safetensors"], new ExportOptions { MaxShardBytes = 200_000 }));
        Assert.Equal(ErrorCodes.ExportNotPossible, oneFile.Code);
    }

    private byte[] Whole(string recipe)
    {
        Compile(recipe, resume: false);
        byte[] whole = File.ReadAllBytes(Output);
        File.Delete(Output);
        return whole;
    }

    private void AssertComplete(byte[] whole)
    {
        Assert.True(whole.AsSpan().SequenceEqual(File.ReadAllBytes(Output)), "the bytes differ");
        Assert.Equal([Output], Directory.GetFiles(_folder.Path));
    }

    private CompileRequest Request(string recipe) => new() { Input = _input, Output = Output, Recipe = recipe, Resume = true, WeightsOnly = true, Threads = 2 };

    private CompileResult Compile(string recipe, string? stopAt = null, bool? resume = true)
    {
        using var stop = new CancellationTokenSource();
        var progress = new Callback(p =>
        {
            if (p.Activity == "pack" && stopAt is not null && p.Item!.Contains(stopAt, StringComparison.Ordinal))
            {
                stop.Cancel();
            }
        });
        return ModelCompiler.Compile(Request(recipe) with { Resume = resume }, progress, stop.Token);
    }

    private sealed class Callback(Action<ToolProgress> report) : IProgress<ToolProgress>
    {
        public void Report(ToolProgress value) => report(value);
    }
}
