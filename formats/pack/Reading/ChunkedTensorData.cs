namespace ModelPack.Pack;

/// <summary>The decoded bytes of a stored stream. A read decodes only the chunks it touches; whole chunks straight into the destination.</summary>
internal sealed class ChunkedTensorData(PackReader reader, PackStream stream) : TensorData(stream.LengthBytes)
{
    /// <summary>Pieces that are best read at once, from a multiple of this on.</summary>
    public int ChunkBytes => stream.ChunkBytes;

    protected override void ReadCore(long offsetBytes, Span<byte> destination)
    {
        while (!destination.IsEmpty)
        {
            long chunk = offsetBytes / stream.ChunkBytes;
            int inside = (int)(offsetBytes % stream.ChunkBytes);
            int length = stream.RawLength(chunk);
            int n = Math.Min(destination.Length, length - inside);
            if (n == length)
            {
                reader.DecodeChunk(stream, chunk, destination[..n]);
            }
            else
            {
                reader.ReadPart(stream, chunk, inside, destination[..n]);
            }

            offsetBytes += n;
            destination = destination[n..];
        }
    }

    protected override bool TryGetSpanCore(long offsetBytes, int lengthBytes, out ReadOnlySpan<byte> span)
    {
        span = default;
        if (!stream.IsStored)
        {
            return false;
        }

        if (lengthBytes > 0)
        {
            long last = (offsetBytes + lengthBytes - 1) / stream.ChunkBytes;
            for (long chunk = offsetBytes / stream.ChunkBytes; chunk <= last; chunk++)
            {
                reader.VerifyMapped(stream, chunk);
            }

            span = reader.File.Span(stream.BeginBytes + offsetBytes, lengthBytes);
        }

        return true;
    }
}
