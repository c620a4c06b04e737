using System.Diagnostics;
using System.Text;
using System.Text.Json;

namespace ModelPack.MSBuild;

/// <summary>One run of <c>modelpack</c>, in a process of its own: nothing of a model is ever in the memory of the build.</summary>
internal static class ToolProcess
{
    /// <summary>Runs a command with <c>--json</c> to its end. Cancelling kills it and whatever it started.</summary>
    /// <param name="host">The <c>dotnet</c> to run it with.</param>
    /// <param name="tool">modelpack.dll.</param>
    /// <param name="arguments">The command line.</param>
    /// <param name="cancellation">Kills the process.</param>
    /// <exception cref="ToolException">It could not be started, or ended with an error.</exception>
    /// <exception cref="OperationCanceledException">Killed.</exception>
    public static JsonElement Run(string host, string tool, IReadOnlyList<string> arguments, CancellationToken cancellation)
    {
        var start = new ProcessStartInfo(host)
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            RedirectStandardInput = true,
            StandardOutputEncoding = Encoding.UTF8,
            StandardErrorEncoding = Encoding.UTF8,
            UseShellExecute = false,
            CreateNoWindow = true,
        };
        foreach (string argument in (string[])["exec", tool, .. arguments, "--json"])
        {
            start.ArgumentList.Add(argument);
        }

        // What MSBuild sets for its own assemblies must not lead the tool to them.
        foreach (string variable in (string[])["MSBuildSDKsPath", "MSBUILD_EXE_PATH", "MSBuildExtensionsPath", "DOTNET_HOST_PATH", "MSBuildLoadMicrosoftTargetsReadOnly"])
        {
            start.Environment.Remove(variable);
        }

        using Process process = Begin(start);
        process.StandardInput.Close();
        Task<string> output = process.StandardOutput.ReadToEndAsync(CancellationToken.None);
        Task<string> error = process.StandardError.ReadToEndAsync(CancellationToken.None);
        using (cancellation.Register(() => Kill(process)))
        {
            process.WaitForExit();
        }

        cancellation.ThrowIfCancellationRequested();
        return Result(process.ExitCode, output.GetAwaiter().GetResult(), error.GetAwaiter().GetResult());
    }

    private static Process Begin(ProcessStartInfo start)
    {
        try
        {
            return Process.Start(start)!;
        }
        catch (System.ComponentModel.Win32Exception e)
        {
            throw new ToolException(ErrorCodes.ToolFailed.ToString(), null, $"cannot start {start.FileName}: {e.Message}");
        }
    }

    private static void Kill(Process process)
    {
        try
        {
            process.Kill(entireProcessTree: true);
        }
        catch (InvalidOperationException)
        {
            // It has ended.
        }
    }

    private static JsonElement Result(int exitCode, string output, string error)
    {
        try
        {
            using JsonDocument document = JsonDocument.Parse(output);
            JsonElement root = document.RootElement.Clone();
            if (exitCode == 0)
            {
                return root;
            }

            if (root.TryGetProperty("error", out JsonElement e))
            {
                string code = e.GetProperty("code").GetString()!;
                string tensor = Text(e, "tensor") is string name ? $"tensor '{name}': " : "";
                string message = tensor + Text(e, "message");
                throw code.StartsWith("MP", StringComparison.Ordinal)
                    ? new ToolException(code, Text(e, "path"), message)
                    : new ToolException(ErrorCodes.ToolFailed.ToString(), null, $"{code}: {message}");
            }
        }
        catch (JsonException)
        {
            // Nothing that it would print: its last words say more.
        }

        string last = error.Split('\n', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries).LastOrDefault() ?? "no message";
        throw new ToolException(ErrorCodes.ToolFailed.ToString(), null, $"modelpack ended with exit code {exitCode}: {last}");
    }

    private static string? Text(JsonElement element, string name) => element.TryGetProperty(name, out JsonElement value) && value.ValueKind == JsonValueKind.String ? value.GetString() : null;
}

/// <summary>An error that the tool reported, or that it could not be run.</summary>
internal sealed class ToolException(string code, string? path, string message) : Exception(message)
{
    /// <summary>The code, such as <c>MP1003</c>.</summary>
    public string Code { get; } = code;

    /// <summary>The file that is wrong; null when the tool named none.</summary>
    public string? Path { get; } = path;
}
