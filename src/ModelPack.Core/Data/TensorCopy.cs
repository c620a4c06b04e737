using System.Buffers;

namespace ModelPack;

/// <summary>Copies the bytes of tensors into files that are being written.</summary>
public static class TensorCopy
{
    private const int TileBytes = 1 << 20;

    /// <summary>Writes all bytes of a tensor, in tiles of at most 1 MiB. In a file of <see cref="AtomicFiles"/> with a journal, bytes that an interrupted run has written are passed over, and what is written now is recorded.</summary>
    /// <param name="destination">Positioned where the bytes go.</param>
    /// <param name="name">The tensor's name in the file.</param>
    /// <param name="data">Its bytes.</param>
    /// <param name="cancellation">Checked once per tile.</param>
    public static void Write(Stream destination, string name, TensorData data, CancellationToken cancellation)
    {
        var journaled = destination as JournaledStream;
        if (journaled?.TryKeep(name, data.LengthBytes) == true)
        {
            return;
        }

        byte[] tile = ArrayPool<byte>.Shared.Rent(TileBytes);
        try
        {
            journaled?.Begin();
            for (long offset = 0; offset < data.LengthBytes; offset += TileBytes)
            {
                cancellation.ThrowIfCancellationRequested();
                Span<byte> part = tile.AsSpan(0, (int)Math.Min(TileBytes, data.LengthBytes - offset));
                data.Read(offset, part);
                destination.Write(part);
            }

            journaled?.Finish(name);
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(tile);
        }
    }
}
