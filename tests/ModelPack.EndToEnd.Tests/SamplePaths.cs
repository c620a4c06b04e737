namespace ModelPack.EndToEnd.Tests;

/// <summary>Files of the repository that tests use.</summary>
internal static class SamplePaths
{
    /// <summary>The repository's root folder.</summary>
    public static string Root { get; } = FindRoot();

    public static string Model { get; } = Path.Combine(Root, "samples", "models", "tinyllama", "model.onnx");

    public static string Checkpoint { get; } = Path.Combine(Root, "samples", "models", "tinyllama");

    public static string Weights { get; } = Path.Combine(Root, "samples", "models", "tinyllama", "model.safetensors");

    public static string EvalTokens { get; } = Path.Combine(Root, "samples", "models", "tinyllama", "eval_dev.tokens.bin");

    public static string CalibrationTokens { get; } = Path.Combine(Root, "samples", "models", "tinyllama", "calib.tokens.bin");

    private static string FindRoot()
    {
        string? folder = AppContext.BaseDirectory;
        while (folder is not null && !File.Exists(Path.Combine(folder, "ModelPack.sln")))
        {
            folder = Path.GetDirectoryName(folder);
        }

        return folder ?? throw new InvalidOperationException("the tests must run below the repository's root");
    }
}
