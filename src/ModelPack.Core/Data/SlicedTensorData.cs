namespace ModelPack;

/// <summary>Part of another <see cref="TensorData"/>.</summary>
internal sealed class SlicedTensorData(TensorData parent, long startBytes, long lengthBytes) : TensorData(lengthBytes)
{
    protected override void ReadCore(long offsetBytes, Span<byte> destination) => parent.Read(startBytes + offsetBytes, destination);

    protected override bool TryGetSpanCore(long offsetBytes, int lengthBytes, out ReadOnlySpan<byte> span) =>
        parent.TryGetSpan(startBytes + offsetBytes, lengthBytes, out span);
}
