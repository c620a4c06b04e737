using System.Diagnostics;
using System.Text.Json;
using System.Text.RegularExpressions;
using ModelPack.EndToEnd.Tests.Cli;
using ModelPack.Testing;

namespace ModelPack.EndToEnd.Tests.Reports;

/// <summary>A page as headless Chromium (Debian: <c>apt-get install chromium</c>) shows it. Tests skip where there is none.</summary>
internal static partial class Browser
{
    private static readonly string[] Names = ["chromium", "chromium-browser", "google-chrome"];

    private static readonly string? Program = (Environment.GetEnvironmentVariable("PATH") ?? "").Split(Path.PathSeparator)
        .SelectMany(folder => Names.Select(name => Path.Combine(folder, name)))
        .FirstOrDefault(File.Exists);

    /// <summary>Skips the calling test (a <c>SkippableFact</c>) without Chromium, and in an ordinary run: every page takes seconds.</summary>
    public static void RequireForLongTests()
    {
        Skip.IfNot(LongTests.Wanted, "starts a browser for every page; runs in .ci/run");
        Require();
    }

    /// <summary>Skips the calling test (a <c>SkippableFact</c>) without Chromium.</summary>
    public static void Require() => Skip.If(Program is null, "needs headless Chromium (Debian package 'chromium')");

    /// <summary>Opens a copy of a page that notes errors and its time, then runs a script in it.</summary>
    /// <param name="page">The page's source.</param>
    /// <param name="script">An asynchronous function body that returns what is to be known, as JSON can say it.</param>
    /// <param name="options">More switches of Chromium, such as the size of its window.</param>
    /// <param name="libraries">Scripts to load before.</param>
    public static Seen Open(string page, string script, string[] options, params string[] libraries)
    {
        using var folder = new TempFolder();
        string source = page
            .Replace("<style>", "<script>window.seen = []; addEventListener('error', e => seen.push(String(e.message))); console.error = (...a) => seen.push(a.join(' ')); console.warn = console.error; addEventListener('securitypolicyviolation', e => seen.push('policy ' + e.violatedDirective)); addEventListener('load', () => { window.loaded = performance.now(); });</script><style>", StringComparison.Ordinal)
            .Replace("</body>", string.Concat(libraries.Select(l => $"<script>{l}</script>")) + $$"""
                <script>addEventListener('load', () => setTimeout(async () => {
                  let result;
                  try { result = await (async () => { {{script}} })(); } catch (e) { seen.push(String(e)); }
                  const pre = document.createElement('pre'); pre.id = 'seen';
                  pre.textContent = btoa(unescape(encodeURIComponent(JSON.stringify({ result, errors: seen, loaded: window.loaded })))); document.body.append(pre);
                }, 50));</script></body>
                """, StringComparison.Ordinal);
        string path = folder.Write("page.html", source);
        var start = new ProcessStartInfo(Program!, ["--headless", "--no-sandbox", "--disable-gpu", $"--user-data-dir={folder["profile"]}", "--virtual-time-budget=30000", .. options, "--dump-dom", new Uri(path).AbsoluteUri])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            RedirectStandardInput = true,
        };
        using Process process = Process.Start(start)!;
        CliRun run = CliProcess.Finish(process);
        Match match = Answer().Match(run.Out);
        Assert.True(match.Success, $"the page gave no answer\n{run.Error}");
        using JsonDocument json = JsonDocument.Parse(Convert.FromBase64String(match.Groups[1].Value));
        return new Seen(
            json.RootElement.TryGetProperty("result", out JsonElement result) ? result.Clone() : default,
            [.. json.RootElement.GetProperty("errors").EnumerateArray().Select(e => e.GetString()!)],
            json.RootElement.GetProperty("loaded").GetDouble());
    }

    [GeneratedRegex("""<pre id="seen">([A-Za-z0-9+/=]*)</pre>""")]
    private static partial Regex Answer();
}

/// <summary>What a page answered, the errors and warnings it had, and when it had loaded, in milliseconds.</summary>
internal sealed record Seen(JsonElement Result, IReadOnlyList<string> Errors, double LoadedMs);
