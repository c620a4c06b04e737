using System.Buffers;
using System.IO.Hashing;
using System.Security.Cryptography;

namespace ModelPack.Pack;

/// <summary>Hashes of all bytes of some data, read in pieces of 1 MiB; cancellation is looked for between them.</summary>
internal static class DataHash
{
    private const int PieceBytes = 1 << 20;

    /// <summary>SHA-256 in lower-case hexadecimal.</summary>
    /// <exception cref="OperationCanceledException">Cancelled.</exception>
    public static string Sha256(TensorData data, CancellationToken cancellation)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        Feed(data, hash, static (piece, hash) => hash.AppendData(piece), cancellation);
        return Convert.ToHexStringLower(hash.GetHashAndReset());
    }

    /// <summary>XXH3 of 128 bits, for telling data apart.</summary>
    /// <exception cref="OperationCanceledException">Cancelled.</exception>
    public static UInt128 Xxh128(TensorData data, CancellationToken cancellation = default)
    {
        var hash = new XxHash128();
        Feed(data, hash, static (piece, hash) => hash.Append(piece), cancellation);
        return hash.GetCurrentHashAsUInt128();
    }

    private static void Feed<THash>(TensorData data, THash hash, ReadOnlySpanAction<byte, THash> append, CancellationToken cancellation)
    {
        byte[] piece = ArrayPool<byte>.Shared.Rent(PieceBytes);
        try
        {
            for (long at = 0; at < data.LengthBytes; at += PieceBytes)
            {
                cancellation.ThrowIfCancellationRequested();
                Span<byte> bytes = piece.AsSpan(0, (int)Math.Min(PieceBytes, data.LengthBytes - at));
                data.Read(at, bytes);
                append(bytes, hash);
            }
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(piece);
        }
    }
}
