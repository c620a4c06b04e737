using System.Buffers.Binary;
using System.Text;

namespace ModelPack.Containers.Gguf;

/// <summary>Reads a GGUF header from front to back through a small window. Everything is checked against the file's end before it is read or allocated.</summary>
internal sealed class GgufCursor(MappedFile file)
{
    private const int WindowBytes = 64 << 10;

    private static readonly UTF8Encoding StrictUtf8 = new(encoderShouldEmitUTF8Identifier: false, throwOnInvalidBytes: true);

    private readonly byte[] _window = new byte[WindowBytes];
    private long _windowStart;
    private int _windowLength;

    /// <summary>Position of the next byte.</summary>
    public long Position { get; private set; }

    /// <summary>Bytes from here to the end of the file.</summary>
    public long Remaining => file.LengthBytes - Position;

    public byte U8() => Take(1)[0];

    public ushort U16() => BinaryPrimitives.ReadUInt16LittleEndian(Take(2));

    public uint U32() => BinaryPrimitives.ReadUInt32LittleEndian(Take(4));

    public ulong U64() => BinaryPrimitives.ReadUInt64LittleEndian(Take(8));

    /// <summary>A length that must leave that many bytes, each counting <paramref name="bytesEach"/>, in the file.</summary>
    /// <exception cref="ModelPackException">MP1403.</exception>
    public long Length(long bytesEach, string what)
    {
        long at = Position;
        ulong count = U64();
        return count <= (ulong)(Remaining / bytesEach)
            ? (long)count
            : throw new ModelPackException(ErrorCodes.GgufTruncated, $"{count} {what} do not fit in the {Remaining} bytes that are left", file.Path, offsetBytes: at);
    }

    /// <summary>A name: not empty, at most 65535 bytes of UTF-8.</summary>
    /// <exception cref="ModelPackException"><paramref name="code"/>; MP1403.</exception>
    public string Name(ErrorCode code, string what)
    {
        long at = Position;
        long length = Length(1, "bytes of text");
        if (length is 0 or > ushort.MaxValue)
        {
            throw new ModelPackException(code, $"{what} of {length} bytes", file.Path, offsetBytes: at);
        }

        try
        {
            return StrictUtf8.GetString(Bytes(length));
        }
        catch (DecoderFallbackException e)
        {
            throw new ModelPackException(code, $"{what} is not UTF-8", file.Path, offsetBytes: at, innerException: e);
        }
    }

    /// <summary>A text value, of which at most <paramref name="limit"/> bytes are kept.</summary>
    /// <exception cref="ModelPackException">MP1403.</exception>
    public string Text(int limit)
    {
        long length = Length(1, "bytes of text");
        string kept = Encoding.UTF8.GetString(Bytes(Math.Min(length, limit)));
        Skip(length - Math.Min(length, limit));
        return length > limit ? kept + "..." : kept;
    }

    /// <exception cref="ModelPackException">MP1403.</exception>
    public void Skip(long bytes)
    {
        Require(bytes);
        Position += bytes;
    }

    private byte[] Bytes(long length)
    {
        Require(length);
        byte[] bytes = new byte[length];
        file.Read(Position, bytes);
        Position += length;
        return bytes;
    }

    private ReadOnlySpan<byte> Take(int bytes)
    {
        Require(bytes);
        if (Position < _windowStart || Position + bytes > _windowStart + _windowLength)
        {
            _windowStart = Position;
            _windowLength = (int)Math.Min(WindowBytes, Remaining);
            file.Read(_windowStart, _window.AsSpan(0, _windowLength));
        }

        ReadOnlySpan<byte> taken = _window.AsSpan((int)(Position - _windowStart), bytes);
        Position += bytes;
        return taken;
    }

    private void Require(long bytes)
    {
        if (bytes > Remaining)
        {
            throw new ModelPackException(ErrorCodes.GgufTruncated, $"ends {bytes - Remaining} bytes inside its header", file.Path, offsetBytes: Position);
        }
    }
}
