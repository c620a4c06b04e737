using System.CommandLine;

namespace ModelPack.Cli;

/// <summary>Command lines that work as they stand, shown at the end of a command's help.</summary>
internal static class Examples
{
    private static readonly Dictionary<string, string[]> ByCommand = new(StringComparer.Ordinal)
    {
        ["modelpack"] =
        [
            "modelpack compile model.onnx -o model.mpack --recipe int4",
            "modelpack inspect model.mpack",
            "modelpack run model.mpack --input input_ids=ids.npy --output results",
        ],
        ["modelpack completion"] =
        [
            "source <(modelpack completion bash)",
            "modelpack completion zsh > \"${fpath[1]}/_modelpack\"",
            "modelpack completion fish > ~/.config/fish/completions/modelpack.fish",
            "modelpack completion pwsh | Out-String | Invoke-Expression",
        ],
    };

    public static IReadOnlyList<string> Of(Command command) =>
        ByCommand.TryGetValue(UsageErrors.Path(command), out string[]? examples) ? examples : [];
}
