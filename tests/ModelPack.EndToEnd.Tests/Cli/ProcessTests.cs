using System.Diagnostics;
using System.Globalization;
using System.Security.Cryptography;
using ModelPack.Testing;
using ModelPack.Testing.Onnx;

namespace ModelPack.EndToEnd.Tests.Cli;

/// <summary>What only a process of its own can show: exit codes, signals, pipes, streams.</summary>
public sealed class ProcessTests
{
    [Fact]
    public void Help_exits_with_0_and_mistakes_with_2()
    {
        CliRun help = CliProcess.Run("compile", "--help");
        CliRun typo = CliProcess.Run("complie", "model.onnx");

        Assert.Equal(0, help.ExitCode);
        Assert.Contains("modelpack compile <input> [options]", help.Out, StringComparison.Ordinal);
        Assert.Equal(2, typo.ExitCode);
        Assert.Equal("", typo.Out);
        Assert.Contains("did you mean 'compile'?", typo.Error, StringComparison.Ordinal);
    }

    [Fact]
    public void Redirected_output_has_neither_colours_nor_progress()
    {
        using var folder = new TempFolder();

        CliRun run = CliProcess.Run("pack", SampleModel.Weights, "-o", folder["a.mpack"]);

        Assert.Equal(0, run.ExitCode);
        Assert.Equal("", run.Error);
        Assert.DoesNotContain('\u001b', run.Out);
        Assert.DoesNotContain('\r', run.Out);
        Assert.Single(run.Out.TrimEnd().Split('\n'));
    }

    [SkippableFact]
    public void Interrupt_during_the_evaluation_of_compile_exits_with_130_and_leaves_nothing()
    {
        Skip.If(OperatingSystem.IsWindows(), "needs POSIX signals");
        using var folder = new TempFolder();

        using Process process = CliProcess.Start(folder.Path, "compile", SampleModel.Graph, "-o", "a.mpack", "--recipe", "int4", "--eval-tokens", SampleModel.Tokens);
        while (!process.HasExited && !Directory.EnumerateFileSystemEntries(folder.Path).Any())
        {
            Thread.Sleep(20);
        }

        // The artifact is written under a temporary name and being evaluated, which takes seconds.
        Thread.Sleep(1000);
        Assert.False(process.HasExited, "the command ended before it could be interrupted");
        Interrupt(process);
        CliRun run = CliProcess.Finish(process);

        Assert.Equal(130, run.ExitCode);
        Assert.Equal("modelpack: cancelled\n", run.Error);
        Assert.Empty(Directory.EnumerateFileSystemEntries(folder.Path));
    }

    [SkippableFact]
    public void Interrupt_while_the_artifact_is_being_written_leaves_nothing()
    {
        Skip.If(OperatingSystem.IsWindows(), "needs POSIX signals");
        using var folder = new TempFolder();
        Directory.CreateDirectory(folder["out"]);
        WriteRandomSafetensors(folder["big.safetensors"], 256 << 20);

        using Process process = CliProcess.Start(folder.Path, "pack", "big.safetensors", "-o", "out/a.mpack", "--threads", "1");
        while (!process.HasExited && !Directory.EnumerateFileSystemEntries(folder["out"]).Any())
        {
            Thread.Sleep(2);
        }

        Assert.False(process.HasExited, "the command ended before it could be interrupted");
        Interrupt(process);
        CliRun run = CliProcess.Finish(process);

        Assert.Equal(130, run.ExitCode);
        Assert.Equal("modelpack: cancelled\n", run.Error);
        Assert.Empty(Directory.EnumerateFileSystemEntries(folder["out"]));
    }

    /// <summary>Text comes as it is made: the first of it long before the last, which an uncached graph takes seconds for.</summary>
    [SkippableFact]
    public void Interrupt_of_generated_text_ends_its_line_and_exits_with_130()
    {
        Skip.If(OperatingSystem.IsWindows(), "needs POSIX signals");
        using var folder = new TempFolder();
        Assert.Equal(0, CliProcess.RunIn(folder.Path, "compile", SampleModel.Folder, "-o", "a.mpack", "--recipe", "int4").ExitCode);

        using Process process = CliProcess.Start(folder.Path, "run", "a.mpack", "--prompt", "The old man", "--max-tokens", "250", "--threads", "1");
        char first = (char)process.StandardOutput.Read();
        Assert.False(process.HasExited, "the command ended before it could be interrupted");
        Interrupt(process);
        CliRun run = CliProcess.Finish(process);

        Assert.Equal(130, run.ExitCode);
        Assert.Equal(' ', first);
        Assert.EndsWith("\n", run.Out, StringComparison.Ordinal);
        Assert.EndsWith("\nmodelpack: cancelled\n", run.Error, StringComparison.Ordinal);
    }

    [SkippableFact]
    public void Reader_that_leaves_early_is_no_error()
    {
        Skip.If(OperatingSystem.IsWindows(), "needs bash");

        CliRun run = CliProcess.Bash(SampleModel.Folder, "modelpack inspect model.safetensors --tensors | head -n 1; echo \"code ${PIPESTATUS[0]}\"");

        Assert.Equal("", run.Error);
        Assert.StartsWith("model.safetensors", run.Out, StringComparison.Ordinal);
        Assert.EndsWith("code 0\n", run.Out, StringComparison.Ordinal);
    }

    [SkippableFact]
    public void Pack_and_unpack_work_as_filters()
    {
        Skip.If(OperatingSystem.IsWindows(), "needs bash");
        using var folder = new TempFolder();

        CliRun run = CliProcess.Bash(folder.Path, $"set -o pipefail; modelpack pack - -o - --quiet < '{SampleModel.Weights}' | modelpack unpack - -o - --quiet > back.safetensors");

        Assert.Equal("", run.Error);
        Assert.Equal(0, run.ExitCode);
        Assert.Equal(SHA256.HashData(File.ReadAllBytes(SampleModel.Weights)), SHA256.HashData(File.ReadAllBytes(folder["back.safetensors"])));
    }

    [SkippableTheory]
    [InlineData("onnx")]
    [InlineData("gguf")]
    [InlineData("checkpoint without a name")]
    [InlineData("nothing known")]
    [InlineData("nothing at all")]
    [InlineData("an artifact")]
    public void Every_kind_goes_through_pipes_and_comes_back(string kind)
    {
        Skip.If(OperatingSystem.IsWindows(), "needs bash");
        using var folder = new TempFolder();
        byte[] noise = new byte[300_000];
        new Random(1).NextBytes(noise);
        byte[] bytes = kind switch
        {
            "onnx" => new OnnxBuilder().Input("x", OnnxBuilder.Float, 1, 300).Initializer("w", OnnxBuilder.Float, noise.AsSpan(0, 120_000), 300, 100).Node("MatMul", ["x", "w"], ["y"]).Output("y", OnnxBuilder.Float, 1, 100).Build(),
            "gguf" => [.. "GGUF"u8, .. BitConverter.GetBytes(3), .. BitConverter.GetBytes(1L), .. BitConverter.GetBytes(0L), .. BitConverter.GetBytes(1L), (byte)'w', .. BitConverter.GetBytes(1), .. BitConverter.GetBytes(3200L), .. BitConverter.GetBytes(8), .. BitConverter.GetBytes(0L), .. new byte[7], .. noise.AsSpan(0, 3400)],
            "checkpoint without a name" => File.ReadAllBytes(SampleModel.Weights),
            "nothing known" => noise,
            "an artifact" => Packed(folder, noise),
            _ => [],
        };
        folder.Write("x", bytes);

        CliRun run = CliProcess.Bash(folder.Path, "set -o pipefail; cat x | modelpack pack - -o - --quiet --max-memory 16MiB | modelpack unpack - -o - --quiet | cmp - x");

        Assert.Equal("", run.Error + run.Out);
        Assert.Equal(0, run.ExitCode);
    }

    [SkippableFact]
    public void Killed_while_the_artifact_is_being_written_leaves_no_artifact_and_runs_again()
    {
        Skip.If(OperatingSystem.IsWindows(), "needs POSIX signals");
        using var folder = new TempFolder();
        Directory.CreateDirectory(folder["out"]);
        folder.Write("out/a.mpack", "an older one");
        WriteRandomSafetensors(folder["big.safetensors"], 256 << 20);

        using Process process = CliProcess.Start(folder.Path, "pack", "big.safetensors", "-o", "out/a.mpack", "--threads", "1");
        while (!process.HasExited && Directory.EnumerateFileSystemEntries(folder["out"]).Count() < 2)
        {
            Thread.Sleep(2);
        }

        Assert.False(process.HasExited, "the command ended before it could be killed");
        process.Kill();
        process.WaitForExit();

        // What is left has a temporary name; the output is as it was.
        Assert.Equal("an older one", File.ReadAllText(folder["out/a.mpack"]));
        Assert.All(Directory.GetFiles(folder["out"]).Select(Path.GetFileName).Where(f => f != "a.mpack"), f => Assert.EndsWith(".tmp", f!, StringComparison.Ordinal));

        // And does not stand in the way of the next run.
        Assert.Equal(0, CliProcess.Run("pack", folder["big.safetensors"], "-o", folder["out/a.mpack"], "--quiet").ExitCode);
        Assert.Equal(0, CliProcess.Run("verify", folder["out/a.mpack"], "--quiet").ExitCode);
    }

    [SkippableFact]
    public void Pack_to_stdout_keeps_its_report_on_stderr()
    {
        Skip.If(OperatingSystem.IsWindows(), "needs bash");
        using var folder = new TempFolder();

        CliRun run = CliProcess.Bash(folder.Path, $"modelpack pack '{SampleModel.Weights}' -o - > a.mpack && modelpack verify a.mpack --quiet");

        Assert.Equal(0, run.ExitCode);
        Assert.Equal("", run.Out);
        Assert.StartsWith("-  16.8 MB -> ", run.Error, StringComparison.Ordinal);
    }

    [SkippableFact]
    public void Bash_completion_script_completes_in_a_real_shell()
    {
        Skip.If(OperatingSystem.IsWindows(), "needs bash");

        CliRun run = CliProcess.Bash(".", """
            source <(modelpack completion bash)
            COMP_LINE="modelpack comp"; COMP_POINT=${#COMP_LINE}; COMP_WORDS=(modelpack comp); COMP_CWORD=1
            _modelpack_complete
            printf '%s\n' "${COMPREPLY[@]}"
            """);

        Assert.Equal("", run.Error);
        Assert.Equal(["compare", "compile", "completion"], run.Out.Split('\n', StringSplitOptions.RemoveEmptyEntries).Order(StringComparer.Ordinal));
    }

    private static byte[] Packed(TempFolder folder, byte[] content)
    {
        CliRun run = CliProcess.Run("pack", folder.Write("content", content), "-o", folder["inner.mpack"], "--quiet");
        Assert.Equal(0, run.ExitCode);
        return File.ReadAllBytes(folder["inner.mpack"]);
    }

    private static void Interrupt(Process process)
    {
        using Process kill = Process.Start("kill", ["-INT", process.Id.ToString(CultureInfo.InvariantCulture)]);
        kill.WaitForExit();
    }

    /// <summary>One F32 tensor of noise: slow enough to code that a signal arrives in time.</summary>
    private static void WriteRandomSafetensors(string path, int bytes)
    {
        string header = $"{{\"noise\":{{\"dtype\":\"F32\",\"shape\":[{bytes / 4096},1024],\"data_offsets\":[0,{bytes}]}}}}";
        using FileStream file = File.Create(path);
        file.Write(BitConverter.GetBytes((long)header.Length));
        file.Write(System.Text.Encoding.ASCII.GetBytes(header));
        var random = new Random(1);
        byte[] block = new byte[1 << 20];
        random.NextBytes(block);
        for (int written = 0; written < bytes; written += block.Length)
        {
            block[written % block.Length]++;
            file.Write(block);
        }
    }
}
