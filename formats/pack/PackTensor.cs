using System.Collections.Immutable;

namespace ModelPack.Pack;

/// <summary>A tensor of an opened artifact. Its encoding's streams are decoded when they are read.</summary>
/// <param name="Name">Its name.</param>
/// <param name="DType">Element type that users of the tensor see.</param>
/// <param name="Shape">Its shape.</param>
/// <param name="Encoding">How it is stored; never pending.</param>
/// <param name="Streams">The stored streams in tree order.</param>
public sealed record PackTensor(string Name, DType DType, Shape Shape, WeightEncoding Encoding, ImmutableArray<PackTensorStream> Streams)
{
    /// <summary>Bytes its streams take in the artifact (streams shared with other tensors count in each).</summary>
    public long StoredBytes => Streams.Sum(s => s.Stream.StoredBytes);
}

/// <summary>One stream of a tensor.</summary>
/// <param name="Role">Role in its number format.</param>
/// <param name="Stream">The stored stream.</param>
public sealed record PackTensorStream(string Role, PackStream Stream);

/// <summary>Something wrong in an artifact.</summary>
/// <param name="Code">The error code.</param>
/// <param name="Stream">Name of the stream, <c>tensor#role</c> or <c>mpk.blob</c>, or of the part of the file.</param>
/// <param name="Tensor">The first tensor that uses the stream; null for blobs and other parts.</param>
/// <param name="Chunk">Number of the chunk within the stream; -1 when it is not about one chunk.</param>
/// <param name="Message">What is wrong.</param>
public sealed record PackProblem(ErrorCode Code, string Stream, string? Tensor, long Chunk, string Message);
