namespace ModelPack.Containers.Onnx;

/// <summary>A growing buffer of protobuf bytes. Lengths of messages are filled in afterwards, as varints padded to five bytes.</summary>
internal sealed class WireBuffer
{
    /// <summary>Limit of a model's structure without weights. Also bounds what a hostile file can make the parser allocate.</summary>
    public const int LimitBytes = 1 << 30;

    private const int LengthBytes = 5;

    private byte[] _bytes = new byte[4096];

    public int Length { get; private set; }

    public ReadOnlyMemory<byte> Written => _bytes.AsMemory(0, Length);

    /// <summary>The next <paramref name="count"/> bytes, to be filled by the caller; null when the limit is reached.</summary>
    public bool TryReserve(long count, out Span<byte> span)
    {
        if (count > LimitBytes - Length)
        {
            span = default;
            return false;
        }

        int needed = Length + (int)count;
        if (needed > _bytes.Length)
        {
            Array.Resize(ref _bytes, (int)Math.Min(LimitBytes, Math.Max((long)needed, _bytes.Length * 2L)));
        }

        span = _bytes.AsSpan(Length, (int)count);
        Length = needed;
        return true;
    }

    public bool TryVarint(ulong value)
    {
        if (!TryReserve(WireSize.Varint(value), out Span<byte> span))
        {
            return false;
        }

        WireSize.WriteVarint(span, value);
        return true;
    }

    /// <summary>Leaves room for a length and returns where it is.</summary>
    public bool TryOpen(out int mark)
    {
        mark = Length;
        return TryReserve(LengthBytes, out _);
    }

    /// <summary>Fills in the length of everything written since <paramref name="mark"/>.</summary>
    public void Close(int mark)
    {
        uint length = (uint)(Length - mark - LengthBytes);
        for (int i = 0; i < LengthBytes; i++)
        {
            _bytes[mark + i] = (byte)((length & 0x7F) | (i < LengthBytes - 1 ? 0x80u : 0));
            length >>= 7;
        }
    }
}
