namespace ModelPack.Pack;

/// <summary>Data one after the other.</summary>
internal sealed class JoinedData(TensorData[] parts) : TensorData(parts.Sum(p => p.LengthBytes))
{
    protected override void ReadCore(long offsetBytes, Span<byte> destination)
    {
        foreach (TensorData part in parts)
        {
            if (offsetBytes < part.LengthBytes && !destination.IsEmpty)
            {
                int n = (int)Math.Min(destination.Length, part.LengthBytes - offsetBytes);
                part.Read(offsetBytes, destination[..n]);
                destination = destination[n..];
                offsetBytes += n;
            }

            offsetBytes -= part.LengthBytes;
        }
    }
}
