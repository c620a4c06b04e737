using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Http.Json;
using System.Net.Sockets;
using System.Text.Json;
using ModelPack.EndToEnd.Tests.Cli;
using ModelPack.Testing;
using Xunit.Abstractions;

namespace ModelPack.EndToEnd.Tests.Packages;

/// <summary>The projects in <c>samples/packages</c>, built from the packages in a copy of <c>samples</c>.</summary>
[Collection(PackageTests.Name)]
public sealed class SampleProjectsTests(PackageFeed feed, ITestOutputHelper log)
{
    private const int Clients = 64;
    private static readonly TimeSpan Load = TimeSpan.FromSeconds(30);

    /// <summary>Other tests may have the processors meanwhile: how many answers there are, and how late, is stated and not judged.</summary>
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(200);

    [SkippableFact]
    public void Console_buildsFromPackagesAndRuns()
    {
        Skip.IfNot(PackageFeed.Wanted, PackageFeed.SkipReason);
        using TempFolder folder = Copy();

        string output = feed.DotnetOk(folder.Path, "run", "--project", "samples/packages/console", Version);

        Assert.Contains("logits [1,3,4096], likeliest next token ", output, StringComparison.Ordinal);
    }

    [SkippableFact]
    public void Build_putsTheArtifactIntoTheOutputFolder()
    {
        Skip.IfNot(PackageFeed.Wanted, PackageFeed.SkipReason);
        using TempFolder folder = Copy();

        feed.DotnetOk(folder.Path, "build", "samples/packages/build", "-o", "out/models", Version);

        Assert.Equal(0, CliProcess.Run("verify", folder["out/models/tinyllama.mpack"]).ExitCode);
        Assert.Empty(Directory.GetFiles(folder["out/models"], "*onnxruntime*", SearchOption.AllDirectories));
    }

    [SkippableFact]
    public async Task Web_under64ClientsFor30Seconds_answersAllAndItsMemoryStaysFlat()
    {
        Skip.IfNot(PackageFeed.Wanted, PackageFeed.SkipReason);
        Skip.IfNot(OperatingSystem.IsLinux(), "reads the memory of the server from /proc");
        using TempFolder folder = Copy();
        feed.DotnetOk(folder.Path, "publish", "samples/packages/web", "-o", "web", Version);
        string url = $"http://127.0.0.1:{FreePort()}";
        using Process server = feed.Start(folder["web"], "web.dll", "--urls", url, "--Logging:LogLevel:Default=Warning");
        _ = server.StandardOutput.ReadToEndAsync();
        _ = server.StandardError.ReadToEndAsync();
        try
        {
            using var client = new HttpClient(new SocketsHttpHandler { MaxConnectionsPerServer = Clients }) { BaseAddress = new Uri(url), Timeout = Patience };
            await UntilHealthy(client, server);
            Assert.Equal(HttpStatusCode.BadRequest, (await client.PostAsJsonAsync("/next", Array.Empty<long>())).StatusCode);

            await Run(client, TimeSpan.FromSeconds(10));
            long before = Resident(server);
            List<double> milliseconds = await Run(client, Load);
            long after = Resident(server);

            milliseconds.Sort();
            log.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{milliseconds.Count} requests, median {milliseconds[milliseconds.Count / 2]:0} ms, p99 {milliseconds[milliseconds.Count * 99 / 100]:0} ms, memory {before / 1e6:0} -> {after / 1e6:0} MB"));
            Assert.True(milliseconds.Count >= Clients * 2, $"{milliseconds.Count} requests");
            Assert.True(after < before * 1.1, $"memory grew from {before} to {after} bytes");
            Assert.Equal(HttpStatusCode.OK, (await client.GetAsync(new Uri("/health", UriKind.Relative))).StatusCode);
        }
        finally
        {
            server.Kill();
        }
    }

    /// <summary>16 clients whose texts are streamed, while others go away in the middle of theirs: every stream ends as it should, the same seed gives the same text, and every slot is free afterwards.</summary>
    [SkippableFact]
    public async Task Server_under16StreamingClients_answersAll_andFreesTheSlotsOfThoseThatLeave()
    {
        const int streams = 16;
        Skip.IfNot(PackageFeed.Wanted, PackageFeed.SkipReason);
        using TempFolder folder = Copy();
        feed.DotnetOk(folder.Path, "publish", "samples/packages/server", "-o", "server", Version);
        string url = $"http://127.0.0.1:{FreePort()}";
        using Process server = feed.Start(folder["server"], "server.dll", "--urls", url, "--Slots", "4", "--Logging:LogLevel:Default=Warning");
        _ = server.StandardOutput.ReadToEndAsync();
        _ = server.StandardError.ReadToEndAsync();
        try
        {
            using var client = new HttpClient(new SocketsHttpHandler { MaxConnectionsPerServer = 2 * streams }) { BaseAddress = new Uri(url), Timeout = Patience };
            await UntilHealthy(client, server);
            using HttpResponseMessage refused = await client.PostAsJsonAsync("/v1/chat/completions", new { messages = new[] { new { role = "user", content = "Hello" } }, stream = true });
            Assert.Equal(HttpStatusCode.BadRequest, refused.StatusCode);
            Assert.Contains("MP5035", await refused.Content.ReadAsStringAsync(), StringComparison.Ordinal);

            long start = Stopwatch.GetTimestamp();
            int finished = 0;
            int left = 0;
            await Task.WhenAll(Enumerable.Range(0, streams).Select(async i =>
            {
                string? expected = null;
                do
                {
                    (string text, bool whole) = await Stream(client, seed: i % 4, leaveAfter: i % 4 == 3 ? 3 : int.MaxValue);
                    if (whole)
                    {
                        Assert.Equal(expected ??= text, text);
                        Interlocked.Increment(ref finished);
                    }
                    else
                    {
                        Interlocked.Increment(ref left);
                    }
                }
                while (Stopwatch.GetElapsedTime(start) < TimeSpan.FromSeconds(30));
            }));
            log.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{finished} texts, {left} left in the middle"));
            Assert.True(finished >= streams * 3 / 4 && left >= streams / 4, $"{finished} texts, {left} left");
            for (int i = 0; i < 100 && await FreeSlots(client) < 4; i++)
            {
                await Task.Delay(100);
            }

            Assert.Equal(4, await FreeSlots(client));
        }
        finally
        {
            server.Kill();
        }
    }

    private static async Task<int> FreeSlots(HttpClient client) => (await client.GetFromJsonAsync<JsonElement>("/slots")).GetProperty("free").GetInt32();

    /// <summary>Reads a streamed text, or so many events of it.</summary>
    private static async Task<(string Text, bool Whole)> Stream(HttpClient client, int seed, int leaveAfter)
    {
        using var request = new HttpRequestMessage(HttpMethod.Post, "/v1/completions") { Content = JsonContent.Create(new { prompt = "The old man", max_tokens = 48, temperature = 0.8, seed, stream = true }) };
        using HttpResponseMessage response = await client.SendAsync(request, HttpCompletionOption.ResponseHeadersRead);
        response.EnsureSuccessStatusCode();
        Assert.Equal("text/event-stream", response.Content.Headers.ContentType?.MediaType);
        using var reader = new StreamReader(await response.Content.ReadAsStreamAsync());
        var text = new System.Text.StringBuilder();
        string? reason = null;
        for (int events = 0; events < leaveAfter;)
        {
            string line = await reader.ReadLineAsync() ?? throw new InvalidDataException("the stream ended without [DONE]");
            if (line == "data: [DONE]")
            {
                Assert.Contains(reason, new[] { "length", "stop" });
                return (text.ToString(), true);
            }

            if (line.StartsWith("data: ", StringComparison.Ordinal))
            {
                JsonElement choice = JsonDocument.Parse(line[6..]).RootElement.GetProperty("choices")[0];
                text.Append(choice.GetProperty("text").GetString());
                reason = choice.GetProperty("finish_reason").GetString();
                events++;
            }
        }

        return (text.ToString(), false);
    }

    /// <summary>Every client asks again as soon as it has its answer; an answer that is none fails the test.</summary>
    private static async Task<List<double>> Run(HttpClient client, TimeSpan time)
    {
        long start = Stopwatch.GetTimestamp();
        List<double>[] all = await Task.WhenAll(Enumerable.Range(0, Clients).Select(async i =>
        {
            var own = new List<double>();
            long[] tokens = [.. Enumerable.Range(1, 8 + (i % 8)).Select(t => (long)((t * 37) + i))];
            int? expected = null;
            while (Stopwatch.GetElapsedTime(start) < time)
            {
                long asked = Stopwatch.GetTimestamp();
                using HttpResponseMessage response = await client.PostAsJsonAsync("/next", tokens);
                response.EnsureSuccessStatusCode();
                Answer answer = (await response.Content.ReadFromJsonAsync<Answer>())!;
                own.Add(Stopwatch.GetElapsedTime(asked).TotalMilliseconds);
                Assert.Equal(expected ??= answer.Token, answer.Token);
            }

            return own;
        }));
        return [.. all.SelectMany(l => l)];
    }

    private static async Task UntilHealthy(HttpClient client, Process server)
    {
        for (int i = 0; i < 300; i++)
        {
            Assert.False(server.HasExited, "the server ended");
            try
            {
                if (await client.GetStringAsync(new Uri("/health", UriKind.Relative)) == "Healthy")
                {
                    return;
                }
            }
            catch (Exception e) when (e is HttpRequestException or TaskCanceledException)
            {
                // Not listening yet, or other tests have the processors.
            }

            await Task.Delay(100);
        }

        Assert.Fail("not healthy after 300 questions");
    }

    private static long Resident(Process process) =>
        long.Parse(File.ReadLines($"/proc/{process.Id}/status").First(l => l.StartsWith("VmRSS:", StringComparison.Ordinal)).Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries)[1], CultureInfo.InvariantCulture) * 1024;

    private static int FreePort()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }

    private string Version => $"-p:ModelPackVersion={feed.Version}";

    /// <summary>The samples as they are, but with the packages of the tests.</summary>
    private TempFolder Copy()
    {
        TempFolder folder = feed.NewProjectFolder();
        foreach (string part in new[] { "packages", "models" })
        {
            foreach (string file in Directory.EnumerateFiles(RepositoryTree.PathTo("samples", part), "*", SearchOption.AllDirectories)
                .Where(f => !f.Contains($"{Path.DirectorySeparatorChar}obj{Path.DirectorySeparatorChar}", StringComparison.Ordinal) && Path.GetFileName(f) != "NuGet.config"))
            {
                folder.Write(Path.GetRelativePath(RepositoryTree.Root, file), File.ReadAllBytes(file));
            }
        }

        return folder;
    }

    private sealed record Answer(int Token, float Logit);
}
