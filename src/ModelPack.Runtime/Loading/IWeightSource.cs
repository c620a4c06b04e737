namespace ModelPack.Runtime.Loading;

/// <summary>What the runtime needs of an artifact. Reads are thread-safe and verify checksums.</summary>
internal interface IWeightSource
{
    /// <summary>A named blob, or null when the artifact has none of that name.</summary>
    TensorData? Blob(string name);

    /// <summary>True when the artifact stores a tensor of that name.</summary>
    bool HasTensor(string tensor);

    /// <summary>The dense bytes of a stored tensor in <paramref name="dtype"/>, row-major, decoded when read.</summary>
    /// <exception cref="ModelPackException">MP5003: the tensor has no values of that type.</exception>
    WeightBytes Dense(string tensor, DType dtype);

    /// <summary>One stream of a stored tensor as it is.</summary>
    /// <exception cref="ModelPackException">MP5003: the tensor has no stream of that role, or several.</exception>
    WeightBytes Stream(string tensor, string role);
}

/// <summary>Bytes with their element type.</summary>
/// <param name="DType">What the bytes are.</param>
/// <param name="Data">The bytes.</param>
internal readonly record struct WeightBytes(DType DType, TensorData Data);
