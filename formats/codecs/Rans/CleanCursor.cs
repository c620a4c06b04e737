using System.Buffers.Binary;

namespace ModelPack.Codecs;

/// <summary>The decoder of a plane of <see cref="CleanPlane"/>, tile by tile.</summary>
internal unsafe struct CleanCursor
{
    private byte* _packed;
    private byte* _exception;
    private byte* _end;
    private byte* _buffer;
    private int _zeros;
    private int _last;

    /// <summary>True after <see cref="TryOpen"/>.</summary>
    public readonly bool IsOpen => _zeros > 0;

    /// <summary>True when every exception was met.</summary>
    public readonly bool IsAtEnd => _exception == _end;

    /// <summary>Begins with a plane; false for anything that an encoder would not write so.</summary>
    /// <param name="stored">The stored plane; must not move while the cursor is used.</param>
    /// <param name="pinned">Where it is.</param>
    /// <param name="elements">Elements of the plane.</param>
    /// <param name="buffer">Room for a tile.</param>
    public bool TryOpen(ReadOnlySpan<byte> stored, byte* pinned, int elements, byte* buffer)
    {
        if (stored.Length < CleanPlane.HeaderBytes || stored[0] is < 1 or > 8)
        {
            return false;
        }

        int exceptions = BinaryPrimitives.ReadInt32LittleEndian(stored[1..]);
        int packed = CleanPlane.Packed(elements, stored[0]);
        if (exceptions < 0 || exceptions > elements || stored.Length != CleanPlane.HeaderBytes + packed + ((long)exceptions * CleanPlane.ExceptionBytes))
        {
            return false;
        }

        _zeros = stored[0];
        _last = -1;
        _packed = pinned + CleanPlane.HeaderBytes;
        _exception = _packed + packed;
        _end = pinned + stored.Length;
        _buffer = buffer;
        return true;
    }

    /// <summary>Restores the elements of a tile; false when the exceptions are out of order or carry other bits.</summary>
    /// <param name="at">The first element, a multiple of 8; tiles follow each other.</param>
    /// <param name="count">Elements.</param>
    /// <param name="tile">Where they are, until the next tile.</param>
    public bool TryTile(int at, int count, out byte* tile)
    {
        tile = _buffer;
        if (_zeros == 8)
        {
            new Span<byte>(_buffer, count).Clear();
        }
        else
        {
            BitPlane.UnpackUpper(_packed + ((long)at * (8 - _zeros) / 8), _end, 8 - _zeros, count, _buffer);
        }

        for (; _exception < _end; _exception += CleanPlane.ExceptionBytes)
        {
            int position = *(int*)_exception;
            byte bits = _exception[4];
            if (position >= at + count)
            {
                break;
            }

            if (position <= _last || bits == 0 || bits >> _zeros != 0)
            {
                return false;
            }

            _buffer[position - at] |= bits;
            _last = position;
        }

        return true;
    }
}
