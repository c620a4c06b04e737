using ModelPack.Compiler;

namespace ModelPack.Passes;

/// <summary>Registers <c>share-tensors</c>.</summary>
internal sealed class ShareTensorsFactory : IPassFactory
{
    public string Name => "share-tensors";

    public string Summary => "Stores tensors with identical content once";

    public IReadOnlyList<PassOption> Options { get; } =
    [
        new("min_bytes", "integer", "0", "Smaller tensors are not compared"),
    ];

    public IPass Create(PassOptions options, TensorRules rules) => new ShareTensorsPass(options.Integer("min_bytes"));
}
