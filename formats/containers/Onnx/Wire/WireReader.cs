using System.Buffers;

namespace ModelPack.Containers.Onnx;

/// <summary>Forward reader over bytes of any length, through one small window. Every read is checked against the end that the caller gives.</summary>
internal sealed class WireReader : IDisposable
{
    private const int WindowBytes = 64 << 10;

    private readonly TensorData _source;
    private readonly string? _path;
    private readonly byte[] _window = ArrayPool<byte>.Shared.Rent(WindowBytes);
    private long _windowStart;
    private int _windowLength;

    public WireReader(TensorData source, string? path)
    {
        _source = source;
        _path = path;
    }

    /// <summary>Position of the next byte.</summary>
    public long Position { get; set; }

    public void Dispose() => ArrayPool<byte>.Shared.Return(_window);

    public ModelPackException Error(ErrorCode code, string detail) => new(code, detail, _path, offsetBytes: Position);

    public byte ReadByte(long end)
    {
        if (Position >= end)
        {
            throw Error(ErrorCodes.OnnxLength, "a value runs past the end of its message");
        }

        long inWindow = Position - _windowStart;
        if (inWindow < 0 || inWindow >= _windowLength)
        {
            Fill();
            inWindow = 0;
        }

        Position++;
        return _window[inWindow];
    }

    /// <summary>A varint of at most 64 bits in at most 10 bytes.</summary>
    public ulong ReadVarint(long end)
    {
        ulong value = 0;
        for (int shift = 0; shift < 70; shift += 7)
        {
            byte b = ReadByte(end);
            if (shift == 63 && b > 1)
            {
                break;
            }

            value |= (ulong)(b & 0x7F) << shift;
            if (b < 0x80)
            {
                return value;
            }
        }

        throw Error(ErrorCodes.OnnxWireFormat, "a varint has more than 64 bits");
    }

    /// <summary>A field number and wire type.</summary>
    public (int Field, WireType Type) ReadTag(long end)
    {
        ulong tag = ReadVarint(end);
        int field = (int)(tag >> 3);
        var type = (WireType)(tag & 7);
        if (tag > uint.MaxValue || field == 0 || (byte)type > (byte)WireType.Fixed32)
        {
            throw Error(ErrorCodes.OnnxWireFormat, $"invalid protobuf tag {tag}");
        }

        return (field, type);
    }

    /// <summary>A length that ends at or before <paramref name="end"/>.</summary>
    public long ReadLength(long end)
    {
        ulong length = ReadVarint(end);
        if (length > (ulong)(end - Position))
        {
            throw Error(ErrorCodes.OnnxLength, $"a length of {length} bytes, while the message has {end - Position} left");
        }

        return (long)length;
    }

    /// <summary>Moves over <paramref name="bytes"/> without reading them.</summary>
    public void Skip(long bytes, long end)
    {
        if (bytes > end - Position)
        {
            throw Error(ErrorCodes.OnnxLength, "a value runs past the end of its message");
        }

        Position += bytes;
    }

    public void Read(Span<byte> destination, long end)
    {
        if (destination.Length > end - Position)
        {
            throw Error(ErrorCodes.OnnxLength, "a value runs past the end of its message");
        }

        while (!destination.IsEmpty)
        {
            long inWindow = Position - _windowStart;
            if (inWindow < 0 || inWindow >= _windowLength)
            {
                if (destination.Length >= WindowBytes)
                {
                    _source.Read(Position, destination);
                    Position += destination.Length;
                    return;
                }

                Fill();
                inWindow = 0;
            }

            int n = Math.Min(destination.Length, _windowLength - (int)inWindow);
            _window.AsSpan((int)inWindow, n).CopyTo(destination);
            destination = destination[n..];
            Position += n;
        }
    }

    private void Fill()
    {
        _windowStart = Position;
        _windowLength = (int)Math.Min(WindowBytes, _source.LengthBytes - Position);
        _source.Read(Position, _window.AsSpan(0, _windowLength));
    }
}
