using System.Diagnostics;
using System.Globalization;
using System.Runtime.InteropServices;
using ModelPack.Runtime;
using ModelPack.Testing;
using ModelPack.Toolchain;

namespace ModelPack.EndToEnd.Tests.LlamaCpp;

/// <summary>GGUF files of <c>export</c>, loaded by llama.cpp itself: it must predict what the artifact predicts.</summary>
public sealed class LlamaCppTests : IClassFixture<LlamaCppHost>
{
    private const int Window = 256;

    private const int Windows = 6;

    private readonly LlamaCppHost _host;

    public LlamaCppTests(LlamaCppHost host) => _host = host;

    /// <summary>
    /// llama.cpp keeps keys and values in f16 and rounds activations to 8 bits in blocks for quantized weights, so results are near, not equal: a wrong order of codes, rows or heads makes perplexities of hundreds.
    /// </summary>
    /// <param name="recipe">Recipe.</param>
    /// <param name="difference">Largest relative difference of perplexities.</param>
    /// <param name="agreement">Least share of positions with the same likeliest token.</param>
    [SkippableTheory]
    [InlineData("lossless", 0.001, 0.985)]
    [InlineData("gguf-q8_0", 0.002, 0.98)]
    [InlineData("gguf-q4_0", 0.004, 0.96)]
    [InlineData("gguf-q6_k", 0.004, 0.96)]
    [InlineData("int4(block=128,scale=f16)", 0.004, 0.96)]
    [InlineData("int5(scale=f16)", 0.004, 0.96)]
    [InlineData("mxfp4", 0.004, 0.96)]
    [InlineData("nvfp4", 0.004, 0.96)]
    public void Llama_cpp_predicts_what_the_artifact_predicts(string recipe, double difference, double agreement)
    {
        _host.Require();
        using var folder = new TempFolder();
        string artifact = folder["m.mpack"];
        ModelCompiler.Compile(new CompileRequest { Input = SamplePaths.Checkpoint, Output = artifact, Recipe = recipe });
        Exporting.Export(artifact, "gguf", folder["m.gguf"]);

        (double perplexity, int[] likeliest) = _host.Run(folder["m.gguf"], SamplePaths.EvalTokens, Window, Windows);

        (double expected, int[] tokens) = Predict(artifact);
        Assert.True(Math.Abs(perplexity - expected) <= difference * expected, $"llama.cpp {perplexity}, artifact {expected}");
        double same = likeliest.Zip(tokens, (a, b) => a == b ? 1.0 : 0).Average();
        Assert.True(same >= agreement, $"{same:0.000} of {tokens.Length} likeliest tokens agree");
    }

    private static (double Perplexity, int[] Likeliest) Predict(string artifact)
    {
        using PackedModel model = PackedModel.Open(artifact);
        long[] ids = [.. MemoryMarshal.Cast<byte, ushort>(File.ReadAllBytes(SamplePaths.EvalTokens).AsSpan(0, 2 * Window * Windows)).ToArray().Select(id => (long)id)];
        double loss = 0;
        var likeliest = new List<int>();
        for (int i = 0; i < Windows; i++)
        {
            long[] window = ids[(i * Window)..((i + 1) * Window)];
            float[] logits = model.Run(NamedTensor.Of("input_ids", window, 1, Window))[0].Values<float>().ToArray();
            int vocabulary = logits.Length / Window;
            for (int t = 0; t + 1 < Window; t++)
            {
                ReadOnlySpan<float> row = logits.AsSpan(t * vocabulary, vocabulary);
                double sum = 0;
                int best = 0;
                for (int v = 0; v < vocabulary; v++)
                {
                    best = row[v] > row[best] ? v : best;
                    sum += Math.Exp(row[v]);
                }

                loss += Math.Log(sum) - row[(int)window[t + 1]];
                if (i == 0)
                {
                    likeliest.Add(best);
                }
            }
        }

        return (Math.Exp(loss / (Windows * (Window - 1))), [.. likeliest]);
    }
}

/// <summary>A program with llama.cpp in it (LLamaSharp), built once for all tests when packages can be had.</summary>
public sealed class LlamaCppHost : IDisposable
{
    private static readonly TimeSpan Timeout = TimeSpan.FromMinutes(5);

    private readonly TempFolder _folder = new();
    private readonly Lazy<string> _failure;

    public LlamaCppHost() => _failure = new(Build);

    /// <summary>Skips the calling test where the program cannot be built, and in an ordinary run.</summary>
    public void Require()
    {
        Skip.IfNot(LongTests.Wanted, "builds a program with llama.cpp; runs in .ci/run");
        Skip.If(RuntimeInformation.ProcessArchitecture is not (Architecture.X64 or Architecture.Arm64), "LLamaSharp has no llama.cpp for this processor");
        Skip.If(_failure.Value.Length > 0, $"LLamaSharp cannot be had: {_failure.Value}");
    }

    /// <summary>Perplexity of windows of tokens, and the likeliest token after each of the first window but the last.</summary>
    public (double Perplexity, int[] Likeliest) Run(string gguf, string tokens, int window, int windows)
    {
        (int code, string output, string error) = Start(
            _folder["bin/LlamaCpp.dll"], gguf, tokens, window.ToString(CultureInfo.InvariantCulture), windows.ToString(CultureInfo.InvariantCulture));
        Assert.True(code == 0, $"llama.cpp ended with {code}: {error}{output}");
        string[] lines = output.Split('\n', StringSplitOptions.RemoveEmptyEntries);
        return (double.Parse(lines[0], CultureInfo.InvariantCulture), [.. lines[1].Split(' ').Select(t => int.Parse(t, CultureInfo.InvariantCulture))]);
    }

    public void Dispose() => _folder.Dispose();

    private string Build()
    {
        string source = Path.Combine(SamplePaths.Root, "tests", "ModelPack.EndToEnd.Tests", "LlamaCpp");
        File.Copy(Path.Combine(source, "Program.cs"), _folder["Program.cs"]);
        File.Copy(Path.Combine(source, "LlamaCpp.csproj.txt"), _folder["LlamaCpp.csproj"]);
        (int restored, string output, string _) = Start("restore", _folder["LlamaCpp.csproj"]);
        if (restored != 0)
        {
            return output.ReplaceLineEndings(" ").Trim();
        }

        (int built, output, string error) = Start("build", _folder["LlamaCpp.csproj"], "-c", "Release", "--no-restore", "-o", _folder["bin"]);
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
