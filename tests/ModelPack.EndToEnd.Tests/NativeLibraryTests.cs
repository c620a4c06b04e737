using System.Diagnostics;
using System.Globalization;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics.X86;
using ModelPack.Runtime;
using ModelPack.Testing;
using ModelPack.Toolchain;

namespace ModelPack.EndToEnd.Tests;

/// <summary>The operators as a shared library, loaded by a program in C that knows nothing of .NET.</summary>
public sealed class NativeLibraryTests
{
    private const int Cycles = 50;

    /// <summary>The same results as in process, bit for bit; opened and closed fifty times with collections in between, neither hanging nor growing.</summary>
    [SkippableFact]
    public void Host_in_c_runs_a_packed_model_as_dotnet_does_and_closes_it_without_leaving_memory_behind()
    {
        Skip.IfNot(LongTests.Wanted, "compiles the operators ahead of time, which takes a minute; runs in .ci/run");
        Skip.IfNot(OperatingSystem.IsLinux() && Has("gcc"), "needs Linux and gcc");
        Skip.If(Variant() is null, "needs AVX2");
        using var folder = new TempFolder();
        string libraries = folder["native"];
        Run("sh", Path.Combine(SamplePaths.Root, "src", "ModelPack.OrtOps", "native", "build.sh"), libraries, Variant()!);
        string host = Compile(folder);
        string tokens = folder["tokens.bin"];
        short[] ids = [.. MemoryMarshal.Cast<byte, short>(File.ReadAllBytes(SamplePaths.EvalTokens)).ToArray().Take(100)];
        File.WriteAllBytes(tokens, MemoryMarshal.AsBytes<short>(ids).ToArray());
        foreach ((string recipe, string accuracy) in new[] { ("int4", "exact"), ("mxfp4", "fast") })
        {
            string artifact = folder[recipe + ".mpack"];
            string model = folder[recipe + ".onnx"];
            ModelCompiler.Compile(new CompileRequest { Input = SamplePaths.Model, Output = artifact, Recipe = recipe, Accuracy = accuracy });
            ExportResult export = Exporting.Export(artifact, "onnx", model, ExportForm.Packed);
            Assert.Equal(2, export.Files.Count);
            string output = folder[recipe + ".f32"];
            string printed = Run(host, Path.Combine(libraries, "libmodelpack_ort.so"), model, tokens, output, Cycles.ToString(CultureInfo.InvariantCulture));

            Assert.Equal(Expected(artifact, ids), MemoryMarshal.Cast<byte, float>(File.ReadAllBytes(output)).ToArray());
            long[] resident = [.. printed.Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(line => long.Parse(line, CultureInfo.InvariantCulture))];
            Assert.Equal(Cycles, resident.Length);
            Assert.True(resident[^5..].Min() - resident[9] < 4096, $"resident KiB after 10 cycles {resident[9]}, at the end {string.Join(" ", resident[^5..])}");
        }
    }

    [SkippableFact]
    public void Library_beside_which_its_variants_are_missing_says_so()
    {
        Skip.IfNot(OperatingSystem.IsLinux() && Has("gcc"), "needs Linux and gcc");
        using var folder = new TempFolder();
        string library = folder["libmodelpack_ort.so"];
        Run("gcc", "-O2", "-fPIC", "-shared", Path.Combine(SamplePaths.Root, "src", "ModelPack.OrtOps", "native", "modelpack_ort.c"), "-o", library, "-ldl", "-lpthread");
        string host = Compile(folder);
        (int code, _, string error) = Start(host, library, SamplePaths.Model, SamplePaths.EvalTokens, folder["out"]);

        Assert.Equal(1, code);
        Assert.Contains("ModelPack operators: ", error, StringComparison.Ordinal);
        Assert.Contains(folder["libmodelpack_ort."], error, StringComparison.Ordinal);
    }

    /// <summary>Whether the library can be built here.</summary>
    internal static bool CanBuild => OperatingSystem.IsLinux() && Has("gcc") && Variant() is not null;

    private static string Compile(TempFolder folder)
    {
        // The package names the library without the version that its header asks the loader for.
        string native = Path.Combine(AppContext.BaseDirectory, "runtimes", RuntimeInformation.OSArchitecture == Architecture.Arm64 ? "linux-arm64" : "linux-x64", "native");
        string runtime = folder["libonnxruntime.so.1"];
        File.CreateSymbolicLink(runtime, Path.Combine(native, "libonnxruntime.so"));
        string host = folder["run_packed"];
        Run(
            "gcc", "-O2", "-Wall", "-Wextra", "-Werror", "-I", Path.Combine(AppContext.BaseDirectory, "onnxruntime"), Path.Combine(SamplePaths.Root, "samples", "c", "run_packed.c"), runtime, "-Wl,-rpath," + folder.Path, "-ldl", "-o", host);
        return host;
    }

    private static float[] Expected(string artifact, short[] ids)
    {
        using PackedModel model = PackedModel.Open(artifact);
        return model.Run(NamedTensor.Of("input_ids", [.. ids.Select(i => (long)i)], 1, ids.Length))[0].Values<float>().ToArray();
    }

    /// <summary>The variant that the library will choose on this processor; null where there is none.</summary>
    internal static string? Variant()
    {
        if (RuntimeInformation.OSArchitecture == Architecture.Arm64)
        {
            return "arm64";
        }

        return !Avx2.IsSupported || !Fma.IsSupported ? null : !Avx512Vbmi.IsSupported ? "avx2" : AvxVnni.IsSupported ? "avx512-vnni" : "avx512";
    }

    /// <summary>Libraries of a folder run a packed model in the program in C, once.</summary>
    internal static void RunOnce(string libraries)
    {
        using var folder = new TempFolder();
        string host = Compile(folder);
        string artifact = folder["m.mpack"];
        ModelCompiler.Compile(new CompileRequest { Input = SamplePaths.Model, Output = artifact, Recipe = "int4", Accuracy = "fast" });
        Exporting.Export(artifact, "onnx", folder["m.onnx"], ExportForm.Packed);
        short[] ids = [.. MemoryMarshal.Cast<byte, short>(File.ReadAllBytes(SamplePaths.EvalTokens)).ToArray().Take(40)];
        File.WriteAllBytes(folder["tokens.bin"], MemoryMarshal.AsBytes<short>(ids).ToArray());
        Run(host, Path.Combine(libraries, "libmodelpack_ort.so"), folder["m.onnx"], folder["tokens.bin"], folder["m.f32"], "1");
        Assert.Equal(Expected(artifact, ids), MemoryMarshal.Cast<byte, float>(File.ReadAllBytes(folder["m.f32"])).ToArray());
    }

    private static bool Has(string program)
    {
        try
        {
            return Start(program, "--version").Code == 0;
        }
        catch (System.ComponentModel.Win32Exception)
        {
            return false;
        }
    }

    private static string Run(string program, params string[] args)
    {
        (int code, string output, string error) = Start(program, args);
        Assert.True(code == 0, $"{program} ended with {code}: {output}{error}");
        return output;
    }

    private static (int Code, string Output, string Error) Start(string program, params string[] args)
    {
        var start = new ProcessStartInfo(program, args) { RedirectStandardOutput = true, RedirectStandardError = true };

        // What a build leaves running would keep the pipes open, and this test waiting for their ends until it goes, a quarter of an hour later.
        start.Environment["MSBUILDDISABLENODEREUSE"] = "1";
        start.Environment["UseSharedCompilation"] = "false";
        using Process process = Process.Start(start)!;
        Task<string> error = process.StandardError.ReadToEndAsync();
        string output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        return (process.ExitCode, output, error.GetAwaiter().GetResult());
    }
}
