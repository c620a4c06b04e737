using System.Diagnostics;
using System.Text;
using ModelPack.Testing;

namespace ModelPack.EndToEnd.Tests.Cli;

/// <summary>The command line as users run it: a process of its own.</summary>
internal static class CliProcess
{
    /// <summary>bin, configuration and framework of the tests, and of the tool that was built with them.</summary>
    private static readonly string[] Build = [.. Path.TrimEndingDirectorySeparator(AppContext.BaseDirectory).Split(Path.DirectorySeparatorChar)[^3..]];

    /// <summary>The folder that the tool is built in: precompiled, as users have it. The copy beside the tests is not.</summary>
    public static string Folder { get; } = RepositoryTree.PathTo(["src", "ModelPack.Cli", .. Build]);

    public static string Assembly { get; } = Path.Combine(Folder, "modelpack.dll");

    /// <summary>The <c>dotnet</c> that runs the tests.</summary>
    public static string Host { get; } = Environment.GetEnvironmentVariable("DOTNET_HOST_PATH") ?? "dotnet";

    /// <summary>Runs to the end. Output is text; a run longer than five minutes fails.</summary>
    public static CliRun Run(params string[] args) => RunIn(Environment.CurrentDirectory, args);

    public static CliRun RunIn(string folder, params string[] args)
    {
        using Process process = Start(folder, args);
        return Finish(process);
    }

    /// <summary>Runs with variables added to the environment.</summary>
    public static CliRun RunWith(IEnumerable<KeyValuePair<string, string>> environment, params string[] args)
    {
        using Process process = Start(Environment.CurrentDirectory, environment, args);
        return Finish(process);
    }

    public static Process Start(string folder, params string[] args) => Start(folder, [], args);

    private static Process Start(string folder, IEnumerable<KeyValuePair<string, string>> environment, string[] args)
    {
        var start = new ProcessStartInfo(Host)
        {
            WorkingDirectory = folder,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            RedirectStandardInput = true,
            StandardOutputEncoding = Encoding.UTF8,
            StandardErrorEncoding = Encoding.UTF8,
        };
        start.ArgumentList.Add("exec");
        start.ArgumentList.Add(Assembly);
        foreach (string arg in args)
        {
            start.ArgumentList.Add(arg);
        }

        foreach ((string name, string value) in environment)
        {
            start.Environment[name] = value;
        }

        return Process.Start(start)!;
    }

    public static CliRun Finish(Process process)
    {
        process.StandardInput.Close();
        Task<string> output = process.StandardOutput.ReadToEndAsync();
        Task<string> error = process.StandardError.ReadToEndAsync();
        if (!process.WaitForExit(TimeSpan.FromMinutes(5)))
        {
            process.Kill(entireProcessTree: true);
            throw new TimeoutException("modelpack did not end within five minutes");
        }

        return new CliRun(process.ExitCode, output.GetAwaiter().GetResult(), error.GetAwaiter().GetResult());
    }

    /// <summary>A line of bash with <c>modelpack</c> defined as a function; for pipes and redirections.</summary>
    public static CliRun Bash(string folder, string script)
    {
        var start = new ProcessStartInfo("bash")
        {
            WorkingDirectory = folder,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            RedirectStandardInput = true,
        };
        start.ArgumentList.Add("-c");
        start.ArgumentList.Add($"modelpack() {{ '{Host}' exec '{Assembly}' \"$@\"; }}\n{script}");
        using Process process = Process.Start(start)!;
        return Finish(process);
    }
}

/// <summary>What a process left behind.</summary>
public sealed record CliRun(int ExitCode, string Out, string Error);
