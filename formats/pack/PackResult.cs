using System.Collections.Immutable;

namespace ModelPack.Pack;

/// <summary>What was written.</summary>
/// <param name="OutputBytes">Length of the artifact.</param>
/// <param name="Tensors">One entry per tensor, in order.</param>
/// <param name="PeakBufferBytes">The most buffer memory held at once; at most <see cref="PackOptions.MaxMemoryBytes"/>.</param>
public sealed record PackResult(long OutputBytes, ImmutableArray<PackedTensor> Tensors, long PeakBufferBytes)
{
    /// <summary>Parts that an interrupted write had finished.</summary>
    public int ResumedParts { get; init; }

    /// <summary>What became of the others; null when there were none.</summary>
    public string? Discarded { get; init; }
}

/// <summary>What became of one tensor.</summary>
/// <param name="Name">Its name.</param>
/// <param name="DType">Element type that users of the tensor see.</param>
/// <param name="Shape">Its shape.</param>
/// <param name="Encoding">Its encoding in one line, defaults filled in.</param>
/// <param name="InputBytes">Dense bytes in <paramref name="DType"/> (for types without fixed width: the bytes of its streams).</param>
/// <param name="OutputBytes">Bytes its streams take in the artifact; 0 for streams already counted for an earlier, identical tensor.</param>
/// <param name="RelativeError">||W - W'|| / ||W|| in the Frobenius norm for tensors that were encoded here; null for tensors stored as they came.</param>
/// <param name="SharedWith">The earlier tensor whose streams it shares entirely, or null.</param>
public sealed record PackedTensor(string Name, DType DType, Shape Shape, string Encoding, long InputBytes, long OutputBytes, double? RelativeError, string? SharedWith);
