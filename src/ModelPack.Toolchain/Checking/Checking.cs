using System.Diagnostics;

namespace ModelPack.Toolchain;

/// <summary>Checks whether a runtime that is not ours can load a model as it lies there: our exports, and what other tools wrote.</summary>
public static class Checking
{
    /// <summary>The runtimes.</summary>
    public static IReadOnlyList<string> Targets { get; } = ["vllm", "transformers", "ort", "llamacpp"];

    /// <summary>Checks a model. Reads all scales; problems of the files themselves are findings too.</summary>
    /// <param name="path">A checkpoint folder (<c>vllm</c>, <c>transformers</c>), an .onnx file or a folder with genai_config.json (<c>ort</c>), or a .gguf file (<c>llamacpp</c>).</param>
    /// <param name="target">One of <see cref="Targets"/>.</param>
    /// <param name="cancellation">Stops.</param>
    /// <exception cref="ModelPackException">MP1001: there is no such file or folder.</exception>
    /// <exception cref="ArgumentException">An unknown target.</exception>
    public static CheckResult Check(string path, string target, CancellationToken cancellation = default)
    {
        long start = Stopwatch.GetTimestamp();
        if (!File.Exists(path) && !Directory.Exists(path))
        {
            throw new ModelPackException(ErrorCodes.FileNotFound, "no such file or folder", path);
        }

        var findings = new Findings();
        (string format, int tensors) = target switch
        {
            "vllm" or "transformers" => CheckpointCheck.Run(path, target, findings, cancellation),
            "ort" => OnnxCheck.Run(path, findings, cancellation),
            "llamacpp" => GgufCheck.Run(path, findings, cancellation),
            _ => throw new ArgumentException($"'{target}' is none of {string.Join(", ", Targets)}", nameof(target)),
        };
        return new CheckResult { Path = path, Target = target, Format = format, Findings = findings.All, TensorsChecked = tensors, Seconds = Stopwatch.GetElapsedTime(start).TotalSeconds };
    }
}
