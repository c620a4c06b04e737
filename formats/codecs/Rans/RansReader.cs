
namespace ModelPack.Codecs;

/// <summary>
/// The binding around the decoders: opens a rANS block, gives its symbols piece by piece, checks its end. Lives on the stack of the codec, which fixes the memory.
/// </summary>
internal unsafe struct RansReader
{
    private const int Alignment = 64;
    private const int EscapeSlack = 128;
    private const int StateBytes = RansFormat.States * sizeof(uint);

    private uint* _states;
    private byte* _tables;
    private uint* _slots;
    private byte* _labels;
    private RansCursor _cursor;
    private uint _slotsBuilt;
    private int _escape;
    private int _blockBits;
    private int _row;

    /// <summary>Bytes of scratch for a block.</summary>
    public static int ScratchBytes(in RansHeader header) =>
        Alignment + StateBytes + (header.Classes * (RansTable.DecodeBytes + RansTable.SlotBytes)) + Padded(header.Blocks) + header.Escapes + EscapeSlack;

    /// <summary>Reads tables, labels, escapes and states; false for anything that is not a block of exactly this length.</summary>
    /// <param name="block">The block.</param>
    /// <param name="header">Its header, read already.</param>
    /// <param name="pinned">Where the block lies; its bytes and those up to <paramref name="readable"/> may be read as long as the reader is used.</param>
    /// <param name="readable">End of the memory that may be read.</param>
    /// <param name="scratch">Room for <see cref="ScratchBytes"/>.</param>
    public bool TryOpen(ReadOnlySpan<byte> block, in RansHeader header, byte* pinned, byte* readable, byte* scratch)
    {
        scratch += (nint)((Alignment - ((nuint)scratch % Alignment)) % Alignment);
        _states = (uint*)scratch;
        _tables = scratch + StateBytes;
        _slots = (uint*)(_tables + (header.Classes * RansTable.DecodeBytes));
        _labels = (byte*)_slots + (header.Classes * RansTable.SlotBytes);
        _cursor.Escape = _labels + Padded(header.Blocks);
        _cursor.EscapeEnd = _cursor.Escape + header.Escapes;
        _blockBits = header.BlockBits;
        _escape = header.Alphabet.Length;
        _slotsBuilt = 0;
        _row = 0;

        int headerAt = RansHeader.FixedBytes + header.Alphabet.Length;
        int at = headerAt + (RansHeader.Sections(header.Escapes) * PlaneSection.HeaderBytes);
        Span<byte> frequencies = stackalloc byte[RansFormat.MaxTables * RansFormat.MaxEntries];
        frequencies = frequencies[..(header.Classes * header.Entries)];
        if (!TrySection(block, ref headerAt, ref at, frequencies)
            || (header.Escapes > 0 && !TrySection(block, ref headerAt, ref at, new Span<byte>(_cursor.Escape, header.Escapes)))
            || !TryLabels(block, header, pinned, ref at)
            || !RansStates.TryRead(block[at..], _states, out int stateBytes)
            || block.Length - at - stateBytes != 2L * header.Words)
        {
            return false;
        }

        for (int k = 0; k < header.Classes; k++)
        {
            if (!RansTable.TryBuildDecode(frequencies.Slice(k * header.Entries, header.Entries), header.Alphabet, new Span<byte>(_tables + (k * RansTable.DecodeBytes), RansTable.DecodeBytes)))
            {
                return false;
            }
        }

        _cursor.Word = pinned + at + stateBytes;
        _cursor.WordEnd = pinned + block.Length;
        _cursor.WordReadable = readable;
        return true;
    }

    /// <summary>Decodes the next symbols: whole blocks of rows, but for the last piece.</summary>
    public bool TryDecode(byte* output, int count, bool fast)
    {
        int row = _row;
        int end = row + (count >> RansFormat.RowBits);
        if (fast && RansDecoder512.IsSupported)
        {
            row = RansDecoder512.Rows(_states, _tables, _labels, _blockBits, _escape, ref _cursor, row, end, new SymbolSink(output));
        }

        for (; row < end; row++)
        {
            if (!RansDecoder.TryRow(_states, Slots(row), ref _cursor, RansFormat.States, output + ((row - _row) << RansFormat.RowBits), fast))
            {
                return false;
            }
        }

        int rest = count & (RansFormat.States - 1);
        bool decoded = rest == 0 || RansDecoder.TryRow(_states, Slots(row), ref _cursor, rest, output + ((row - _row) << RansFormat.RowBits), fast);
        _row = row;
        return decoded;
    }

    /// <summary>Decodes the next symbols into a sink, as far as the fast loop goes.</summary>
    /// <param name="count">Elements; whole blocks of rows, but for the last piece.</param>
    /// <param name="sink">What joins them to elements.</param>
    /// <returns>The elements done, a multiple of 128.</returns>
    public int DecodeInto<TSink>(int count, TSink sink)
        where TSink : struct, IRansSink
    {
        int row = _row;
        if (RansDecoder512.IsSupported)
        {
            _row = RansDecoder512.Rows(_states, _tables, _labels, _blockBits, _escape, ref _cursor, row, row + (count >> RansFormat.RowBits), sink);
        }

        return (_row - row) << RansFormat.RowBits;
    }

    /// <summary>True when all words and escapes are used and every state is one that an encoder begins with.</summary>
    /// <param name="tail">Room for <see cref="RansStates.TailBytes"/> bytes that the states carry, or nothing if they carry none.</param>
    public readonly bool TryEnd(Span<byte> tail) =>
        _cursor.Word == _cursor.WordEnd && _cursor.Escape == _cursor.EscapeEnd && RansStates.TryEnd(_states, tail);

    private static int Padded(int bytes) => (bytes + Alignment - 1) / Alignment * Alignment;

    private static bool TrySection(ReadOnlySpan<byte> block, ref int headerAt, ref int at, Span<byte> target)
    {
        if (block.Length < at || !PlaneSection.TryReadHeader(block[headerAt..], block.Length - at, out byte mode, out int length))
        {
            return false;
        }

        headerAt += PlaneSection.HeaderBytes;
        at += length;
        return HuffmanPlane.TryDecode(mode, block.Slice(at - length, length), target);
    }

    private readonly bool TryLabels(ReadOnlySpan<byte> block, in RansHeader header, byte* pinned, ref int at)
    {
        int bits = RansFormat.LabelBits(header.Classes);
        int bytes = BitPlane.Bytes(header.Blocks, bits);
        var labels = new Span<byte>(_labels, header.Blocks);
        labels.Clear();
        if (bytes > block.Length - at)
        {
            return false;
        }

        if (bits > 0)
        {
            BitPlane.UnpackBelow(pinned + at, pinned + block.Length, bits, _labels, header.Blocks, _labels);
        }

        at += bytes;
        return !labels.ContainsAnyExceptInRange((byte)0, (byte)(header.Classes - 1));
    }

    private uint* Slots(int row)
    {
        int label = _labels[row >> _blockBits];
        uint* slots = _slots + (label * RansFormat.Slots);
        if ((_slotsBuilt & (1u << label)) == 0)
        {
            RansTable.BuildSlots(_tables + (label * RansTable.DecodeBytes), _escape, slots);
            _slotsBuilt |= 1u << label;
        }

        return slots;
    }
}
