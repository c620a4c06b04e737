using System.Diagnostics;
using ModelPack.Testing;

namespace ModelPack.EndToEnd.Tests;

/// <summary>A program with another runtime in it, from a folder of this project, built once when its packages can be had.</summary>
internal sealed class PeerProgram : IDisposable
{
    private static readonly TimeSpan Timeout = TimeSpan.FromMinutes(5);

    private readonly TempFolder _folder = new();
    private readonly string _name;
    private readonly Lazy<string> _failure;

    /// <param name="name">The folder, and the name of the program.</param>
    public PeerProgram(string name)
    {
        _name = name;
        _failure = new(Build);
    }

    /// <summary>Why packages cannot be had; empty when the program is built.</summary>
    public string Failure => _failure.Value;

    /// <summary>Lines that the program writes; it must end well.</summary>
    public string[] Run(params IEnumerable<string> args)
    {
        (int code, string output, string error) = Start([_folder[$"bin/{_name}.dll"], .. args]);
        Assert.True(code == 0, $"{_name} ended with {code}: {error}{output}");
        return output.Split('\n', StringSplitOptions.RemoveEmptyEntries);
    }

    public void Dispose() => _folder.Dispose();

    private string Build()
    {
        string source = Path.Combine(SamplePaths.Root, "tests", "ModelPack.EndToEnd.Tests", _name);
        string project = _folder[_name + ".csproj"];
        File.Copy(Path.Combine(source, "Program.cs"), _folder["Program.cs"]);
        File.Copy(Path.Combine(source, _name + ".csproj.txt"), project);
        (int restored, string output, string _) = Start("restore", project);
        if (restored != 0)
        {
            return output.ReplaceLineEndings(" ").Trim();
        }

        (int built, output, string error) = Start("build", project, "-c", "Release", "--no-restore", "-o", _folder["bin"]);
        Assert.True(built == 0, output + error);
        return "";
    }

    private (int Code, string Output, string Error) Start(params string[] args)
    {
        var start = new ProcessStartInfo("dotnet", args) { RedirectStandardOutput = true, RedirectStandardError = true, WorkingDirectory = _folder.Path };
        start.Environment["MSBUILDDISABLENODEREUSE"] = "1";
        start.Environment["UseSharedCompilation"] = "false";
        using Process process = Process.Start(start)!;
        Task<string> output = process.StandardOutput.ReadToEndAsync();
        Task<string> error = process.StandardError.ReadToEndAsync();
        if (!process.WaitForExit(Timeout))
        {
            process.Kill(entireProcessTree: true);
        }

        return (process.ExitCode, output.GetAwaiter().GetResult(), error.GetAwaiter().GetResult());
    }
}
