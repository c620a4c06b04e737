namespace ModelPack.Toolchain;

/// <summary>Several pieces of data, all but the last of equal length, as one.</summary>
internal sealed class JoinedTensorData(TensorData[] parts) : TensorData(parts.Sum(p => p.LengthBytes))
{
    protected override void ReadCore(long offsetBytes, Span<byte> destination)
    {
        long each = parts[0].LengthBytes;
        while (!destination.IsEmpty)
        {
            TensorData part = parts[offsetBytes / each];
            int count = (int)Math.Min(destination.Length, part.LengthBytes - (offsetBytes % each));
            part.Read(offsetBytes % each, destination[..count]);
            destination = destination[count..];
            offsetBytes += count;
        }
    }
}
