using System.Buffers;
using System.Security.Cryptography;

namespace ModelPack.Pack;

/// <summary>The SHA-256 of a file's bytes.</summary>
internal static class FileHash
{
    private const int PieceBytes = 1 << 20;

    /// <summary>In lower-case hexadecimal.</summary>
    /// <exception cref="OperationCanceledException">Cancelled, between pieces of 1 MiB.</exception>
    public static string Sha256(TensorData data, CancellationToken cancellation)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        byte[] piece = ArrayPool<byte>.Shared.Rent(PieceBytes);
        try
        {
            for (long at = 0; at < data.LengthBytes; at += PieceBytes)
            {
                cancellation.ThrowIfCancellationRequested();
                Span<byte> bytes = piece.AsSpan(0, (int)Math.Min(PieceBytes, data.LengthBytes - at));
                data.Read(at, bytes);
                hash.AppendData(bytes);
            }
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(piece);
        }

        return Convert.ToHexStringLower(hash.GetHashAndReset());
    }
}
