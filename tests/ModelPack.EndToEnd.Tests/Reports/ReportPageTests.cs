using System.Runtime.InteropServices;
using System.Text;
using System.Text.Json.Nodes;
using ModelPack.EndToEnd.Tests.Cli;
using ModelPack.Testing;
using ModelPack.Toolchain;
using Xunit.Abstractions;

namespace ModelPack.EndToEnd.Tests.Reports;

/// <summary>Pages in a real browser.</summary>
[Collection(TimedTests.Name)]
public sealed class ReportPageTests(ITestOutputHelper log) : IDisposable
{
    private const int ManyTensors = 1000;
    private readonly TempFolder _folder = new();

    [SkippableFact]
    public void Report_ofThousandTensors_isSmallOpensInASecondAndHasNoErrors()
    {
        string page = Page(ManyModel(), out long bytes);
        Assert.InRange(bytes, 1, 2_000_000);

        Browser.Require();
        Seen seen = Browser.Open(page, "return [document.querySelectorAll('#treemap div').length, document.querySelectorAll('section[aria-labelledby=tensors] tbody tr').length, document.title];", []);

        Assert.Empty(seen.Errors);
        Assert.Equal(ManyTensors, seen.Result[0].GetInt32());
        Assert.Equal(ManyTensors, seen.Result[1].GetInt32());
        Assert.Equal("many.mpack", seen.Result[2].GetString());

        // Beyond what the browser takes to begin with an empty page, the best of some: other programs use the processors as well.
        double loaded = seen.LoadedMs;
        double empty = double.MaxValue;
        for (int i = 0; i < 10 && (i == 0 || loaded - empty > 1000); i++)
        {
            loaded = Math.Min(loaded, Browser.Open(page, "return [];", []).LoadedMs);
            empty = Math.Min(empty, Browser.Open("<!DOCTYPE html><html><head><style></style></head><body></body></html>", "return [];", []).LoadedMs);
        }

        log.WriteLine($"the page {loaded:0} ms, an empty one {empty:0} ms");
        Assert.InRange(loaded - empty, double.MinValue, 1000);
    }

    [SkippableTheory]
    [InlineData("--window-size=1200,900", "light")]
    [InlineData("--window-size=1200,900", "dark")]
    [InlineData("--window-size=390,844", "light")]
    public void Report_ofCompiledModel_passesTheAccessibilityCheckAndFitsTheWindow(string window, string theme)
    {
        Browser.RequireForLongTests();
        string axe = File.ReadAllText(Path.Combine(NpmPackages.Require(NpmPackage.AxeCore), "axe.min.js"));
        Seen seen = Browser.Open(
            CompiledPage(),
            $$"""
            document.documentElement.dataset.theme = '{{theme}}';
            const axed = await axe.run(document);
            return [axed.violations.map(v => v.id + ': ' + v.nodes.map(n => n.target + ' ' + n.failureSummary).slice(0, 3).join('; ')), axed.passes.length,
                document.documentElement.scrollWidth <= innerWidth, [...document.querySelectorAll('h2')].map(h => h.textContent)];
            """,
            [window],
            axe);

        Assert.Empty(seen.Errors);
        Assert.Equal("[]", seen.Result[0].ToString());
        Assert.True(seen.Result[1].GetInt32() > 20);
        Assert.True(seen.Result[2].GetBoolean(), "the page is wider than the window");
        Assert.Equal(["Where the bytes are", "Layer by layer", "Tensors", "How it runs", "Size against loss", "What it was made from"], seen.Result[3].EnumerateArray().Select(h => h.GetString()));
    }

    [SkippableFact]
    public void Report_isUsedWithTheKeyboardAlone()
    {
        Browser.RequireForLongTests();
        Seen seen = Browser.Open(
            CompiledPage(),
            """
            const key = (element, name) => element.dispatchEvent(new KeyboardEvent('keydown', { key: name, bubbles: true, cancelable: true }));
            const map = document.getElementById('treemap'); map.focus(); key(map, 'ArrowRight');
            const first = document.querySelector('section p[role=status]').textContent;
            key(map, 'ArrowRight');
            const second = document.querySelector('section p[role=status]').textContent;
            const part = document.querySelector('section[aria-labelledby=tensors]');
            const find = part.querySelector('input'); find.value = '.1.'; find.oninput({ target: find });
            const found = [...part.querySelectorAll('tbody tr')].map(r => r.cells[0].textContent);
            find.value = ''; find.oninput({ target: find });
            const head = [...part.querySelectorAll('th')].find(t => t.textContent === 'tensor'); head.querySelector('button').click();
            const focusable = [...document.querySelectorAll('.scroll, #treemap')].every(e => e.tabIndex === 0);
            return [first, second, found, [...part.querySelectorAll('tbody tr')].map(r => r.cells[0].textContent), head.getAttribute('aria-sort'), focusable];
            """,
            []);

        Assert.Empty(seen.Errors);
        Assert.NotEqual(seen.Result[0].GetString(), seen.Result[1].GetString());
        Assert.Contains("relative error", seen.Result[0].GetString(), StringComparison.Ordinal);
        Assert.Equal(["layers.1.a", "layers.1.b"], seen.Result[2].EnumerateArray().Select(e => e.GetString()).Order(StringComparer.Ordinal));
        string[] names = [.. seen.Result[3].EnumerateArray().Select(e => e.GetString()!)];
        Assert.Equal(names.Order(StringComparer.Ordinal), names);
        Assert.Equal("ascending", seen.Result[4].GetString());
        Assert.True(seen.Result[5].GetBoolean());
    }

    [SkippableFact]
    public void Bench_historyOfSeveralModels_isDrawnAndAccessible()
    {
        Browser.RequireForLongTests();
        string axe = File.ReadAllText(Path.Combine(NpmPackages.Require(NpmPackage.AxeCore), "axe.min.js"));
        string history = _folder["history.csv"];
        foreach ((string model, double ms, int threads) in new[] { ("a.onnx", 3.0, 1), ("a.onnx", 2.5, 1), ("a.onnx", 1.5, 2), ("b \"x\", y.onnx", 9.0, 1) })
        {
            BenchHistory.Add(history, new BenchModelResult { Model = new BenchedModel { Path = _folder.Write(model, "x"), LoadSeconds = 0.1, FirstRunSeconds = 0.01, MedianMs = ms, P90Ms = ms * 1.1, RunsPerSecond = 1000 / ms, RssBytes = 1 << 20 }, Cpu = "A, B", Threads = threads }, TimeProvider.System);
        }

        (int ExitCode, string Out, string Error) run = InProcess.Run(_folder.Path, "report", "--bench", history, "-o", _folder["bench.html"]);
        Assert.Equal(0, run.ExitCode);
        Seen seen = Browser.Open(
            File.ReadAllText(_folder["bench.html"]),
            "const axed = await axe.run(document); return [axed.violations.map(v => v.id + ' ' + v.nodes[0].target), [...document.querySelectorAll('h2')].map(h => h.textContent), document.querySelectorAll('section[aria-labelledby=all] tbody tr').length, document.querySelectorAll('svg path').length];",
            [],
            axe);

        Assert.Empty(seen.Errors);
        Assert.Equal("[]", seen.Result[0].ToString());
        Assert.Equal(["a", "b \"x\", y", "All measurements"], seen.Result[1].EnumerateArray().Select(h => h.GetString()));
        Assert.Equal(4, seen.Result[2].GetInt32());
        Assert.Equal(1, seen.Result[3].GetInt32());
    }

    public void Dispose() => _folder.Dispose();

    private string Page(string artifact, out long bytes)
    {
        ReportResult result = ModelPack.Toolchain.Reports.Write(new ReportRequest { Input = artifact, Output = _folder["page.html"] });
        bytes = new FileInfo(_folder["page.html"]).Length;
        Assert.Equal(bytes, result.OutputBytes);
        return File.ReadAllText(_folder["page.html"]);
    }

    /// <summary>A compiled model of four layers of two products, with errors, times and the front of a search that its names hostile to markup.</summary>
    private string CompiledPage()
    {
        var builder = new ModelPack.Testing.Onnx.OnnxBuilder().Input("x", ModelPack.Testing.Onnx.OnnxBuilder.Float, 1, 128);
        string last = "x";
        for (int i = 0; i < 4; i++)
        {
            foreach (string part in new[] { "a", "b" })
            {
                builder.Initializer($"layers.{i}.{part}", Values.Weights((ulong)((2 * i) + part[0]), 128 * 128), 128, 128);
                builder.Node("MatMul", [last, $"layers.{i}.{part}"], [last = i == 3 && part == "b" ? "y" : $"h{i}{part}"]);
            }
        }

        string model = _folder.Write("layered.onnx", builder.Output("y", ModelPack.Testing.Onnx.OnnxBuilder.Float, 1, 128).Build());
        ModelCompiler.Compile(new CompileRequest { Input = model, Output = _folder["layered.mpack"], Recipe = "int4" });
        _folder.Write("tuned.json", """
            {"target": "</script><b>4 bits", "loss_kind": "output-noise", "front": [{"name": "mixed", "bits_per_weight": 2.5, "bytes": 1000, "predicted": 0.1, "loss": 0.1, "chosen": false}, {"name": "mixed", "bits_per_weight": 4, "bytes": 2000, "predicted": 0.01, "loss": null, "chosen": true}],
             "uniform": [{"name": "int4", "bits_per_weight": 4.5, "bytes": 2100, "predicted": 0.02, "loss": 0.02, "chosen": false}], "tensors": [{"name": "layers.0.a", "loss": 0.001}, {"name": "layers.1.a", "loss": 0.01}]}
            """);
        (int ExitCode, string Out, string Error) run = InProcess.Run(_folder.Path, "report", _folder["layered.mpack"], "-o", _folder["layered.html"], "--against", model, "--profile", "x64-server", "--tune", _folder["tuned.json"]);
        Assert.True(run.ExitCode == 0, run.Error);
        return File.ReadAllText(_folder["layered.html"]);
    }

    /// <summary>A thousand tensors as safetensors, packed.</summary>
    private string ManyModel()
    {
        const int values = 64;
        var header = new JsonObject();
        for (int i = 0; i < ManyTensors; i++)
        {
            header[$"model.layers.{i / 10}.part{i % 10}.projection.weight"] = new JsonObject { ["dtype"] = "F32", ["shape"] = new JsonArray(8, 8), ["data_offsets"] = new JsonArray(i * values * 4, (i + 1) * values * 4) };
        }

        byte[] json = Encoding.UTF8.GetBytes(header.ToJsonString());
        string path = _folder.Write("many.safetensors", [.. BitConverter.GetBytes((long)json.Length), .. json, .. MemoryMarshal.AsBytes(Values.Weights(3, ManyTensors * values).AsSpan())]);
        ModelCompiler.Compile(new CompileRequest { Input = path, Output = _folder["many.mpack"], Recipe = "int8" });
        return _folder["many.mpack"];
    }
}
