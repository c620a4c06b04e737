using ModelPack.Testing;

namespace ModelPack.EndToEnd.Tests.Cli;

/// <summary>The sample language model that README compiles, and an artifact compiled from it once for all tests of the class.</summary>
public sealed class SampleModel : IDisposable
{
    private readonly TempFolder _folder = new();

    public SampleModel()
    {
        Artifact = _folder["sample.mpack"];
        Packed = _folder["packed.mpack"];
        TokenIds = _folder["ids.npy"];
        NpyFile.WriteInt64(TokenIds, [1, 8], [1, 17, 300, 4, 5, 4000, 7, 8]);
        Require(CliProcess.Run("compile", Graph, "-o", Artifact, "--recipe", "int8", "--quiet"));
        Require(CliProcess.Run("pack", Weights, "-o", Packed, "--quiet"));
    }

    public static string Folder { get; } = RepositoryTree.PathTo("samples", "models", "tinyllama");

    public static string Graph { get; } = Path.Combine(Folder, "model.onnx");

    public static string Weights { get; } = Path.Combine(Folder, "model.safetensors");

    public static string Tokens { get; } = Path.Combine(Folder, "eval_dev.tokens.bin");

    /// <summary>The graph compiled with the int8 recipe.</summary>
    public string Artifact { get; }

    /// <summary>The weights packed without loss.</summary>
    public string Packed { get; }

    /// <summary>A .npy file for the graph's input.</summary>
    public string TokenIds { get; }

    public void Dispose() => _folder.Dispose();

    private static void Require(CliRun run)
    {
        if (run.ExitCode != 0 || run.Out.Length + run.Error.Length > 0)
        {
            throw new InvalidOperationException($"exit code {run.ExitCode}: {run.Out}{run.Error}");
        }
    }
}
