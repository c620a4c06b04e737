using System.Buffers;
using System.IO.Hashing;

namespace ModelPack.Passes;

/// <summary>The stored bytes of an encoding tree: hashed and compared in pieces, never as a whole.</summary>
internal static class Content
{
    private const int PieceBytes = 1 << 20;

    /// <summary>All streams of the tree, depth first.</summary>
    public static IReadOnlyList<TensorData> Of(WeightEncoding encoding) => encoding switch
    {
        DenseEncoding dense => [.. dense.Streams.Select(s => s.Data)],
        StructuredEncoding structured => [.. structured.Components.SelectMany(Of)],
        _ => [],
    };

    /// <summary>True when part of the tree is still to be computed.</summary>
    public static bool HasPending(WeightEncoding encoding) => encoding switch
    {
        DenseEncoding dense => dense.IsPending,
        StructuredEncoding structured => structured.Components.Any(HasPending),
        _ => true,
    };

    /// <summary>XXH3 of all bytes.</summary>
    public static UInt128 Hash(WeightEncoding encoding)
    {
        var hash = new XxHash128();
        byte[] buffer = ArrayPool<byte>.Shared.Rent(PieceBytes);
        try
        {
            foreach (TensorData data in Of(encoding))
            {
                for (long offset = 0; offset < data.LengthBytes; offset += PieceBytes)
                {
                    Span<byte> piece = buffer.AsSpan(0, (int)Math.Min(PieceBytes, data.LengthBytes - offset));
                    data.Read(offset, piece);
                    hash.Append(piece);
                }
            }
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }

        return hash.GetCurrentHashAsUInt128();
    }

    /// <summary>True when both have the same streams, byte by byte. Trees must have the same form.</summary>
    public static bool Equal(WeightEncoding a, WeightEncoding b)
    {
        IReadOnlyList<TensorData> left = Of(a);
        IReadOnlyList<TensorData> right = Of(b);
        return left.Count == right.Count && left.Zip(right).All(pair => Equal(pair.First, pair.Second));
    }

    private static bool Equal(TensorData a, TensorData b)
    {
        if (ReferenceEquals(a, b) || (a is FileTensorData x && b is FileTensorData y && ReferenceEquals(x.File, y.File) && x.OffsetBytes == y.OffsetBytes && x.LengthBytes == y.LengthBytes))
        {
            return true;
        }

        if (a.LengthBytes != b.LengthBytes)
        {
            return false;
        }

        byte[] left = ArrayPool<byte>.Shared.Rent(PieceBytes);
        byte[] right = ArrayPool<byte>.Shared.Rent(PieceBytes);
        try
        {
            for (long offset = 0; offset < a.LengthBytes; offset += PieceBytes)
            {
                int count = (int)Math.Min(PieceBytes, a.LengthBytes - offset);
                a.Read(offset, left.AsSpan(0, count));
                b.Read(offset, right.AsSpan(0, count));
                if (!left.AsSpan(0, count).SequenceEqual(right.AsSpan(0, count)))
                {
                    return false;
                }
            }

            return true;
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(left);
            ArrayPool<byte>.Shared.Return(right);
        }
    }
}
