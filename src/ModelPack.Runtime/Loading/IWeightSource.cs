namespace ModelPack.Runtime.Loading;

/// <summary>What the runtime needs of an artifact. Reads are thread-safe and verify checksums.</summary>
internal interface IWeightSource
{
    /// <summary>32 bytes that are others for any other content; null where what decoding gives is not to be kept.</summary>
    byte[]? Identity { get; }

    /// <summary>A named blob, or null when the artifact has none of that name.</summary>
    TensorData? Blob(string name);

    /// <summary>A stored tensor, or null when the artifact has none of that name.</summary>
    IStoredWeight? Find(string tensor);
}

/// <summary>A tensor of an artifact.</summary>
internal interface IStoredWeight
{
    /// <summary>Element type its users see.</summary>
    DType DType { get; }

    /// <summary>Shape its users see.</summary>
    Shape Shape { get; }

    /// <summary>The dense matrix that is stored, when the tensor is one or the transpose of one; else null.</summary>
    DenseEncoding? Matrix { get; }

    /// <summary>The matrix that is stored block-sparse, N:M, bank-balanced or with a bitmap, when the tensor is one or the transpose of one; else null.</summary>
    StructuredEncoding? Sparse { get; }

    /// <summary>Decodes the values.</summary>
    /// <param name="target">Element type wanted.</param>
    /// <param name="destination">Start of as many bytes as a dense tensor of <paramref name="target"/> has.</param>
    /// <param name="lengthBytes">Their number.</param>
    /// <param name="threads">Threads to use.</param>
    void ReadDense(DType target, nint destination, long lengthBytes, int threads);

    /// <summary>Element type and length of the stream of that role; null when there is none, or more than one.</summary>
    (DType DType, long LengthBytes)? Stream(string role);

    /// <summary>Decodes a stream as it is.</summary>
    /// <param name="role">Its role.</param>
    /// <param name="destination">Start of exactly its length in bytes.</param>
    /// <param name="lengthBytes">The length.</param>
    /// <param name="threads">Threads to use.</param>
    void ReadStream(string role, nint destination, long lengthBytes, int threads);

    /// <summary>Bytes of the parts of that stream that can be decoded by themselves, the last of which may have fewer; 0 where only all of it can.</summary>
    long PartBytes(string role) => 0;

    /// <summary>Decodes some parts of a stream as they are.</summary>
    /// <param name="role">Its role.</param>
    /// <param name="first">The first part.</param>
    /// <param name="count">Their number.</param>
    /// <param name="destination">Start of exactly their length in bytes.</param>
    /// <param name="threads">Threads to use.</param>
    void ReadParts(string role, long first, long count, nint destination, int threads) => throw new NotSupportedException();
}
