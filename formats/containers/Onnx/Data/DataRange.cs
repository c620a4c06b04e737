namespace ModelPack.Containers.Onnx;

/// <summary>A stretch of the source that holds elements of one data field.</summary>
/// <param name="Packed">Elements follow each other without tags.</param>
/// <param name="OffsetBytes">Start in the source.</param>
/// <param name="LengthBytes">Length.</param>
internal readonly record struct DataRange(bool Packed, long OffsetBytes, long LengthBytes)
{
    public long EndBytes => OffsetBytes + LengthBytes;
}
