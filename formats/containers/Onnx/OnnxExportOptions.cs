namespace ModelPack.Containers.Onnx;

/// <summary>How an ONNX file is written.</summary>
public sealed record OnnxExportOptions
{
    /// <summary>Where weights go.</summary>
    public OnnxWeights Weights { get; init; } = OnnxWeights.Automatic;

    /// <summary>Largest .onnx file in <see cref="OnnxWeights.Automatic"/>: protobuf readers stop at 2 GiB, and need some room.</summary>
    public long InlineLimitBytes { get; init; } = 1_900_000_000;

    /// <summary>Tensors below this size stay in the .onnx file in any case: shape inference needs to see them.</summary>
    public long MinExternalBytes { get; init; } = 1024;
}
