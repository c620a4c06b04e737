using ModelPack.Testing;

namespace ModelPack.EndToEnd.Tests.Cli;

/// <summary>Whatever is wrong with a file: exit code 1, one line that names it, nothing left behind.</summary>
public sealed class BadInputTests
{
    private static readonly string[] Commands = ["compile", "pack", "unpack", "inspect", "explain", "verify", "run", "eval", "compare", "export", "bench"];

    public static TheoryData<string, string> CommandsAndFiles
    {
        get
        {
            var data = new TheoryData<string, string>();
            foreach (string command in Commands)
            {
                data.Add(command, "missing.mpack");
                data.Add(command, "zeros.onnx");
                data.Add(command, "zeros.safetensors");
                if (command != "pack")
                {
                    // Any file can be packed as bytes, unless it says that it is a model and is not.
                    data.Add(command, "zeros.mpack");
                }

                data.Add(command, "empty.onnx");
                data.Add(command, "truncated.safetensors");
                data.Add(command, "truncated.onnx");
            }

            return data;
        }
    }

    [Theory]
    [MemberData(nameof(CommandsAndFiles))]
    public void Bad_file_is_one_line_with_a_code_and_leaves_nothing_behind(string command, string file)
    {
        using var folder = new TempFolder();
        WriteBadFile(folder, file);
        Directory.CreateDirectory(folder["out"]);
        string[] args = command switch
        {
            "compile" => ["compile", file, "-o", "out/a.mpack"],
            "pack" => ["pack", file, "-o", "out/a.mpack"],
            "unpack" => ["unpack", file, "-o", "out/a.onnx"],
            "run" => ["run", file, "--output", "out/results"],
            "eval" => ["eval", file, "--tokens", SampleModel.Tokens],
            "compare" => ["compare", file, SampleModel.Weights],
            "export" => ["export", file, "--to", "onnx", "-o", "out/a.onnx"],
            "bench" => ["bench", "model", file],
            _ => [command, file],
        };

        (int code, string output, string error) = InProcess.Run(folder.Path, args);

        Assert.True(code == 1, $"exit code {code}: {error}");
        Assert.Equal("", output);
        Assert.Matches(@"^\S+: error MP\d{4}: [^\n]+\n$", error);
        Assert.Contains(file, error, StringComparison.Ordinal);
        Assert.Empty(Directory.EnumerateFileSystemEntries(folder["out"]));
    }

    [Fact]
    public void Missing_file_in_a_process_exits_with_1()
    {
        CliRun run = CliProcess.Run("inspect", "no-such-file.onnx");

        Assert.Equal(1, run.ExitCode);
        Assert.Equal("", run.Out);
        Assert.Matches(@"^no-such-file\.onnx: error MP1001: [^\n]+\n$", run.Error);
    }

    [Theory]
    [InlineData("folder", "MP4104", "the output is a folder")]
    [InlineData("no/such/folder/a.mpack", "MP4104", "folder")]
    [InlineData("model.safetensors", "MP4105", "input")]
    [InlineData("./folder/../model.safetensors", "MP4105", "input")]
    public void Bad_output_is_refused_before_any_work(string output, string errorCode, string reason)
    {
        using var folder = new TempFolder();
        Directory.CreateDirectory(folder["folder"]);
        File.Copy(SampleModel.Weights, folder["model.safetensors"]);
        DateTime before = File.GetLastWriteTimeUtc(folder["model.safetensors"]);

        foreach (string command in new[] { "compile", "pack" })
        {
            (int code, _, string error) = InProcess.Run(folder.Path, command, "model.safetensors", "-o", output);

            Assert.Equal(1, code);
            Assert.Matches($@"^\S+: error {errorCode}: [^\n]+\n$", error);
            Assert.Contains(reason, error, StringComparison.Ordinal);
            Assert.Equal(before, File.GetLastWriteTimeUtc(folder["model.safetensors"]));
        }

        Assert.Equal(2, Directory.EnumerateFileSystemEntries(folder.Path).Count());
    }

    [SkippableFact]
    public void Output_that_cannot_be_created_is_one_line()
    {
        Skip.IfNot(OperatingSystem.IsLinux(), "needs /proc");

        (int code, _, string error) = InProcess.Run(".", "pack", SampleModel.Weights, "-o", "/proc/nothing.mpack");

        Assert.Equal(1, code);
        Assert.Matches(@"^/proc/nothing\.mpack: error MP\d{4}: [^\n]+\n$", error);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Damaged_artifact_fails_to_verify_with_the_tensor_named(bool stored)
    {
        using var folder = new TempFolder();
        Assert.Equal(0, InProcess.Run(".", "pack", SampleModel.Weights, "-o", folder["a.mpack"], "--quiet").ExitCode);
        byte[] bytes = File.ReadAllBytes(folder["a.mpack"]);
        bytes[bytes.Length / 2] ^= 0x10;
        folder.Write("a.mpack", bytes);

        (int code, string output, string error) = InProcess.Run(folder.Path, ["verify", "a.mpack", .. stored ? ["--stored"] : Array.Empty<string>()]);

        Assert.Equal(1, code);
        Assert.Contains("1 error", output, StringComparison.Ordinal);
        Assert.Matches(@"^a\.mpack: error MP\d{4}: [^\n]+\n$", error);
    }

    [Theory]
    [InlineData("--recipe", "int9")]
    [InlineData("--recipe", "no-such-recipe.json")]
    [InlineData("--set", "quantize")]
    [InlineData("--set", "no-such-pass.block=32")]
    [InlineData("--eval-tokens", "no-such.tokens.bin")]
    public void Bad_recipe_or_tokens_are_one_line_with_a_code(string option, string value)
    {
        using var folder = new TempFolder();

        (int code, _, string error) = InProcess.Run(folder.Path, "compile", SampleModel.Graph, "-o", "a.mpack", option, value);

        Assert.Equal(1, code);
        Assert.Matches(@"^[^\n]+: error MP\d{4}: [^\n]+\n$", error);
        Assert.Empty(Directory.EnumerateFileSystemEntries(folder.Path));
    }

    private static void WriteBadFile(TempFolder folder, string name)
    {
        switch (name.Split('.')[0])
        {
            case "zeros":
                folder.Write(name, new byte[10_000]);
                break;
            case "empty":
                folder.Write(name, []);
                break;
            case "truncated":
                byte[] whole = File.ReadAllBytes(Path.Combine(SampleModel.Folder, Path.ChangeExtension("model", Path.GetExtension(name))));
                folder.Write(name, whole.AsSpan(0, whole.Length * 2 / 3));
                break;
        }
    }
}
