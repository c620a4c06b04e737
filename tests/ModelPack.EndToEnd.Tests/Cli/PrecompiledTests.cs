using System.Reflection.PortableExecutable;
using System.Runtime.InteropServices;
using ModelPack.Testing;

namespace ModelPack.EndToEnd.Tests.Cli;

/// <summary>
/// The tool of a Release build is compiled ahead of time (<c>.build/Precompile.targets</c>). Nothing fails when it is not, commands only take twice as long:
/// so these tests look. And the code must be the right one on every processor.
/// </summary>
public sealed class PrecompiledTests(SampleModel sample) : IClassFixture<SampleModel>
{
    [SkippableFact]
    public void Assemblies_have_native_code()
    {
        RequireRelease();

        string[] without = [.. Directory.GetFiles(CliProcess.Folder, "*.dll").Where(f => !HasNativeCode(f)).Select(f => Path.GetFileName(f))];

        Assert.True(without.Length == 0, $"not precompiled: {string.Join(", ", without)}");
    }

    /// <summary>Measured with .NET 10.0.12: 25 methods, 600 without precompilation.</summary>
    [SkippableFact]
    public void Version_compiles_next_to_nothing()
    {
        RequireRelease();

        Assert.InRange(CompiledMethods("--version"), 0, 60);
    }

    /// <summary>Measured with .NET 10.0.12: 570 methods (generic ones of the framework for structs, and vector code), 1900 without precompilation.</summary>
    [SkippableFact]
    public void Verify_compiles_little()
    {
        RequireRelease();

        Assert.InRange(CompiledMethods("verify", sample.Artifact), 1, 900);
    }

    /// <summary>Precompiled code that does not fit the processor must be left aside: the same bytes with fewer instructions.</summary>
    [Fact]
    public void Fewer_instructions_give_the_same_bytes()
    {
        using var folder = new TempFolder();
        string model = SmallModel.Write(folder);
        foreach (string recipe in (string[])["int4", "mxfp4"])
        {
            Compile(recipe, "all.mpack", []);
            foreach (string off in (string[])["DOTNET_EnableAVX512", "DOTNET_EnableAVX2", "DOTNET_EnableHWIntrinsic"])
            {
                Compile(recipe, "fewer.mpack", [new(off, "0")]);
                CliRun verified = CliProcess.RunWith([new(off, "0")], "verify", folder["all.mpack"], "--quiet");

                Assert.True(verified.ExitCode == 0, $"{recipe} with {off}=0: {verified.Error}");
                Assert.True(File.ReadAllBytes(folder["all.mpack"]).AsSpan().SequenceEqual(File.ReadAllBytes(folder["fewer.mpack"])), $"{recipe} with {off}=0");
            }
        }

        void Compile(string recipe, string artifact, IEnumerable<KeyValuePair<string, string>> environment)
        {
            CliRun run = CliProcess.RunWith(environment, "compile", model, "-o", folder[artifact], "--recipe", recipe, "--quiet");
            Assert.True(run.ExitCode == 0, run.Error);
        }
    }

    /// <summary>How many methods the just-in-time compiler had to do.</summary>
    private static int CompiledMethods(params string[] args)
    {
        using var folder = new TempFolder();
        string list = folder["methods.txt"];
        CliRun run = CliProcess.RunWith([new("DOTNET_JitStdOutFile", list), new("DOTNET_JitDisasmSummary", "1")], args);
        Assert.Equal(0, run.ExitCode);
        return File.ReadLines(list).Count();
    }

    private static bool HasNativeCode(string assembly)
    {
        using var file = new PEReader(File.OpenRead(assembly));
        return file.PEHeaders.CorHeader is CorHeader header && header.ManagedNativeHeaderDirectory.Size > 0;
    }

    /// <summary>Only Release is precompiled, where the compiler exists and is wanted.</summary>
    private static void RequireRelease()
    {
        Skip.IfNot(CliProcess.Folder.Split(Path.DirectorySeparatorChar).Contains("Release"), "only Release is precompiled");
        Skip.IfNot(RuntimeInformation.ProcessArchitecture is Architecture.X64 or Architecture.Arm64, "no compiler for this platform");
        Skip.If(string.Equals(Environment.GetEnvironmentVariable("PrecompileTool"), "false", StringComparison.OrdinalIgnoreCase), "PrecompileTool=false");
    }
}
