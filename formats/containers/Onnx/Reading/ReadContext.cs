using ModelPack.Compiler;

namespace ModelPack.Containers.Onnx;

/// <summary>Where the bytes of a model come from while it is read.</summary>
/// <param name="Source">The serialised ModelProto.</param>
/// <param name="File">The file behind <paramref name="Source"/>, or null when it is in memory or in an artifact.</param>
/// <param name="External">Resolves external data; null for weightless graphs, whose external tensors become placeholders.</param>
/// <param name="Cancellation">Stops reading.</param>
internal sealed record ReadContext(TensorData Source, MappedFile? File, ExternalFiles? External, CancellationToken Cancellation)
{
    public string? Path => File?.Path;

    /// <summary>Told where each tensor lies that has its dense bytes in one piece: file, tensor, offset.</summary>
    public Action<MappedFile, Tensor, long>? Located { get; init; }

    public TensorData Region(long offsetBytes, long lengthBytes) =>
        File is not null ? File.Region(offsetBytes, lengthBytes) : Source.Slice(offsetBytes, lengthBytes);

    public ModelPackException Error(ErrorCode code, string detail, string? tensor = null) => new(code, detail, Path, tensor);
}
