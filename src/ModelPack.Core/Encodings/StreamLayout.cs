namespace ModelPack;

/// <summary>
/// What a number format says about one of its streams: every row of the matrix view takes the same number of bytes, so a tile of
/// rows is a contiguous range of every stream.
/// </summary>
/// <param name="Role">Name of the stream, unique within the format: <c>codes</c>, <c>scales</c>, <c>zero-points</c>, ...</param>
/// <param name="BytesPerRow">Bytes of this stream for one row; 0 is allowed; <see cref="VariableLength"/> for opaque data.</param>
/// <param name="ElementType">What the bytes are, as a hint for codec choice (<c>U8</c> codes, <c>F16</c> scales, ...).</param>
public readonly record struct StreamLayout(string Role, long BytesPerRow, DType ElementType)
{
    /// <summary>The length of the stream does not follow from the shape: the raw format <c>string</c> only, which is carried as it is.</summary>
    public const long VariableLength = -1;

    /// <summary>True when the stream has rows x <see cref="BytesPerRow"/> bytes.</summary>
    public bool HasFixedLength => BytesPerRow >= 0;
}
