using System.Buffers.Binary;

namespace ModelPack.Codecs;

/// <summary>A run of bytes as a chunk stores it: a header of mode and stored length, and elsewhere the stored bytes, raw, Huffman or constant.</summary>
internal static class PlaneSection
{
    /// <summary>Mode (1 byte), stored length (i32, at least 1).</summary>
    public const int HeaderBytes = 5;

    /// <summary>Writes header and bytes; false when there is no room.</summary>
    /// <param name="plane">At least one byte.</param>
    /// <param name="limit">Most bytes at which coding is worth it; below, the plane is stored raw.</param>
    /// <param name="probe">The plane is likely to be noise: look at pieces of it first.</param>
    /// <param name="header">Where the header goes.</param>
    /// <param name="room">Where the bytes go.</param>
    /// <param name="length">Bytes stored.</param>
    public static bool TryWrite(ReadOnlySpan<byte> plane, int limit, bool probe, Span<byte> header, Span<byte> room, out int length)
    {
        if (!HuffmanPlane.TryStore(plane, limit, probe, room, out byte mode, out length))
        {
            return false;
        }

        WriteHeader(header, mode, length);
        return true;
    }

    /// <summary>Restores a plane from its header and the first bytes of <paramref name="body"/>, which moves behind them.</summary>
    public static bool TryRead(ReadOnlySpan<byte> header, ref ReadOnlySpan<byte> body, Span<byte> plane)
    {
        if (!TryReadHeader(header, body.Length, out byte mode, out int length) || !HuffmanPlane.TryDecode(mode, body[..length], plane))
        {
            return false;
        }

        body = body[length..];
        return true;
    }

    public static void WriteHeader(Span<byte> header, byte mode, int length)
    {
        header[0] = mode;
        BinaryPrimitives.WriteInt32LittleEndian(header[1..], length);
    }

    /// <summary>Reads a header; false when it is cut off or its bytes do not follow within <paramref name="available"/>.</summary>
    public static bool TryReadHeader(ReadOnlySpan<byte> header, int available, out byte mode, out int length)
    {
        (mode, length) = (0, 0);
        if (header.Length < HeaderBytes)
        {
            return false;
        }

        mode = header[0];
        length = BinaryPrimitives.ReadInt32LittleEndian(header[1..]);
        return length > 0 && length <= available;
    }
}
