using System.Text.Json;
using System.Text.RegularExpressions;
using ModelPack.Testing;
using ModelPack.Testing.Onnx;
using ModelPack.Toolchain;
using Xunit;

namespace ModelPack.Tests.Toolchain;

/// <summary>What pages are made of; how they look and work is tested in a browser.</summary>
public sealed class ReportTests : IDisposable
{
    private const string Hostile = "</script><img src=x onerror=alert(1)>";
    private readonly TempFolder _folder = new();

    [Fact]
    public void Write_hostileNames_stayTextAndNothingComesFromOutside()
    {
        ReportResult result = Reports.Write(new ReportRequest { Input = Artifact(), Output = _folder["page.html"] });

        string page = File.ReadAllText(_folder["page.html"]);
        Assert.Equal(["sizes", "tensors", "plan", "provenance"], result.Sections);
        Assert.DoesNotContain("<img", page, StringComparison.Ordinal);
        Assert.Equal(2, Regex.Count(page, "</script>"));
        Assert.DoesNotMatch("(src|href)=\"(?!data:)", page);
        Assert.DoesNotMatch("https?://(?!www.w3.org/2000/svg)", page);
        using JsonDocument data = Data(page);
        Assert.Equal(Hostile, data.RootElement.GetProperty("tensors")[0][0].GetString());
        Assert.Equal(JsonValueKind.Null, data.RootElement.GetProperty("tensors")[0][7].ValueKind);
    }

    [Fact]
    public void Write_againstTheOriginal_givesErrorsAndTheSameBytesEveryTime()
    {
        string artifact = Artifact();
        var request = new ReportRequest { Input = artifact, Output = _folder["a.html"], Against = _folder["m.onnx"], Profile = HardwareProfiles.Load("x64-server") };

        Reports.Write(request);
        Reports.Write(request with { Output = _folder["b.html"] });

        Assert.Equal(File.ReadAllBytes(_folder["a.html"]), File.ReadAllBytes(_folder["b.html"]));
        using JsonDocument data = Data(File.ReadAllText(_folder["a.html"]));
        Assert.InRange(data.RootElement.GetProperty("tensors")[0][7].GetDouble(), 1e-4, 1e-1);
        Assert.Equal("x64-server", data.RootElement.GetProperty("plan").GetProperty("predicted").GetProperty("profile").GetString());
        Assert.True(data.RootElement.GetProperty("plan").GetProperty("nodes")[0].GetProperty("seconds").GetDouble() > 0);
    }

    /// <summary>The artifact has the weight on its other side, and a square one does not show it by its shape.</summary>
    [Fact]
    public void Write_againstTheOriginal_comparesTurnedWeightsAsTheyWereTurned()
    {
        string model = _folder.Write("t.onnx", new OnnxBuilder()
            .Input("x", OnnxBuilder.Float, 1, 128)
            .Output("y", OnnxBuilder.Float, 1, 128)
            .Initializer("w", Values.Weights(5, 128 * 128), 128, 128)
            .Node("Transpose", ["w"], ["turned"])
            .Node("MatMul", ["x", "turned"], ["y"])
            .Build());
        ModelCompiler.Compile(new CompileRequest { Input = model, Output = _folder["t.mpack"], Recipe = "int8" });

        Reports.Write(new ReportRequest { Input = _folder["t.mpack"], Output = _folder["t.html"], Against = model });

        using JsonDocument data = Data(File.ReadAllText(_folder["t.html"]));
        Assert.InRange(data.RootElement.GetProperty("tensors")[0][7].GetDouble(), 1e-4, 1e-1);
    }

    [Theory]
    [InlineData("{}")]
    [InlineData("no json")]
    [InlineData("{\"target\": \"x\", \"loss_kind\": \"y\", \"front\": 1, \"uniform\": []}")]
    public void Write_tuneFileOfAnotherKind_isMP4113(string text)
    {
        var e = Assert.Throws<ModelPackException>(() => Reports.Write(new ReportRequest { Input = Artifact(), Output = _folder["page.html"], Tune = _folder.Write("t.json", text) }));

        Assert.Equal(ErrorCodes.BadTuneFile, e.Code);
        Assert.False(File.Exists(_folder["page.html"]));
    }

    [Fact]
    public void BenchHistory_addedTwice_isReadAsItWasMeasured()
    {
        string artifact = Artifact();
        BenchModelResult result = new() { Model = Benched(artifact, 1.25), Against = Benched(_folder["m.onnx"], 2.5), Cpu = "Some, \"CPU\"", Threads = 2 };
        BenchHistory.Add(_folder["h.csv"], result, TimeProvider.System);
        BenchHistory.Add(_folder["h.csv"], result, TimeProvider.System);

        IReadOnlyList<BenchRecord> records = BenchHistory.Read(_folder["h.csv"]);

        Assert.Equal(4, records.Count);
        Assert.Equal(("m", "int8", 2, "Some, \"CPU\"", 1.25, 1L << 20), (records[2].Model, records[2].Format, records[2].Threads, records[2].Cpu, records[2].MedianMs, records[2].RssBytes));
        Assert.Equal(("m", "onnx", 2.5), (records[3].Model, records[3].Format, records[3].MedianMs));
        Assert.Equal(["m"], Reports.WriteBench(_folder["h.csv"], _folder["bench.html"]).Sections);
    }

    [Fact]
    public void BenchHistory_ofAnotherKind_isMP4112AndLeftAlone()
    {
        string table = _folder.Write("table.csv", "a,b\n1,2\n");
        BenchModelResult result = new() { Model = Benched(Artifact(), 1), Cpu = "c", Threads = 1 };

        Assert.Equal(ErrorCodes.BadBenchHistory, Assert.Throws<ModelPackException>(() => BenchHistory.Add(table, result, TimeProvider.System)).Code);
        Assert.Equal("a,b\n1,2\n", File.ReadAllText(table));
        BenchHistory.Add(_folder["h.csv"], result, TimeProvider.System);
        File.AppendAllText(_folder["h.csv"], "yesterday,c,1\n");
        Assert.Equal(ErrorCodes.BadBenchHistory, Assert.Throws<ModelPackException>(() => Reports.WriteBench(_folder["h.csv"], _folder["bench.html"])).Code);
    }

    public void Dispose() => _folder.Dispose();

    private static BenchedModel Benched(string path, double median) =>
        new() { Path = path, LoadSeconds = 0.5, FirstRunSeconds = 0.1, MedianMs = median, P90Ms = median * 2, RunsPerSecond = 1000 / median, RssBytes = 1 << 20 };

    private static JsonDocument Data(string page) => JsonDocument.Parse(Regex.Match(page, "id=\"data\">(.*?)</script>", RegexOptions.Singleline).Groups[1].Value);

    private string Artifact()
    {
        string model = _folder.Write("m.onnx", new OnnxBuilder()
            .Input("x", OnnxBuilder.Float, 1, 128)
            .Output("y", OnnxBuilder.Float, 1, 128)
            .Initializer(Hostile, Values.Weights(5, 128 * 128), 128, 128)
            .Node("MatMul", ["x", Hostile], ["y"])
            .Build());
        ModelCompiler.Compile(new CompileRequest { Input = model, Output = _folder["m.mpack"], Recipe = "int8" });
        return _folder["m.mpack"];
    }
}
