namespace ModelPack;

/// <summary>Bytes held in managed memory; for small tensors only.</summary>
internal sealed class MemoryTensorData(ReadOnlyMemory<byte> bytes) : TensorData(bytes.Length)
{
    protected override void ReadCore(long offsetBytes, Span<byte> destination) =>
        bytes.Span.Slice((int)offsetBytes, destination.Length).CopyTo(destination);

    protected override bool TryGetSpanCore(long offsetBytes, int lengthBytes, out ReadOnlySpan<byte> span)
    {
        span = bytes.Span.Slice((int)offsetBytes, lengthBytes);
        return true;
    }
}
