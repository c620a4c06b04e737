using System.Diagnostics;
using ModelPack.Testing;
using ModelPack.Toolchain;

namespace ModelPack.EndToEnd.Tests;

/// <summary>The sample program runs as its first lines say.</summary>
public sealed class SampleProgramTests
{
    [Fact]
    public void RunModel_packedSample_continuesTheText()
    {
        using var folder = new TempFolder();
        string artifact = folder["tinyllama.mpack"];
        ModelCompiler.Compile(new CompileRequest { Input = SamplePaths.Model, Output = artifact, Recipe = "int4" });
        string program = Path.Combine(AppContext.BaseDirectory, "RunModel.dll");
        using Process process = Process.Start(new ProcessStartInfo("dotnet", [program, artifact, SamplePaths.Checkpoint]) { RedirectStandardOutput = true })!;
        string output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        Assert.Equal(0, process.ExitCode);
        Assert.Contains("logits: f32[batch,seq,4096]", output, StringComparison.Ordinal);
        Assert.Contains("Watson", output, StringComparison.Ordinal);
        string continuation = output[(output.IndexOf("...", StringComparison.Ordinal) + 3)..];
        Assert.True(continuation.Split(' ').Length > 10, output);
    }
}
