using System.Buffers;
using System.Buffers.Binary;
using System.Runtime.CompilerServices;

namespace ModelPack.Codecs;

/// <summary>The binding that decodes a chunk of the rANS codecs: header, symbols, outliers, planes. See SPEC.md in this folder.</summary>
internal static unsafe class RansChunk
{
    /// <summary>Elements decoded at a time: symbols, planes and elements of a tile stay in the first-level cache.</summary>
    private const int TileElements = 4096;
    private const int WideTileElements = 1024;
    private const int Slack = 64;
    private const int MaxBytePlanes = 8;

    /// <summary>Decodes a chunk of exactly as many bytes; false for anything that an encoder would not write so.</summary>
    /// <param name="encoded">The chunk.</param>
    /// <param name="raw">Where to.</param>
    /// <param name="wide">Elements of 2 bytes and more, else of at most one.</param>
    /// <param name="fast">False to use the reference loop alone.</param>
    public static bool TryDecode(ReadOnlySpan<byte> encoded, Span<byte> raw, bool wide, bool fast = true)
    {
        var hash = default(RunningXxh3);
        return TryDecode(encoded, raw, wide, fast, ref hash);
    }

    /// <summary>As the other, and hashes the bytes tile by tile.</summary>
    public static bool TryDecode(ReadOnlySpan<byte> encoded, Span<byte> raw, bool wide, out ulong hash)
    {
        var running = new RunningXxh3(raw);
        bool decoded = TryDecode(encoded, raw, wide, fast: true, ref running);
        hash = decoded ? running.Finish() : 0;
        return decoded;
    }

    private static bool TryDecode(ReadOnlySpan<byte> encoded, Span<byte> raw, bool wide, bool fast, ref RunningXxh3 hash)
    {
        if (!RansLayout.TryRead(encoded, out RansLayout layout, out int outliers, out int blockLength) || wide != layout.Width >= 2)
        {
            return false;
        }

        int elements = layout.Elements(raw.Length);
        int tail = layout.Width == 0 ? 0 : raw.Length - (elements * layout.Width);
        int at = RansLayout.HeaderBytes + (layout.Planes * PlaneSection.HeaderBytes);
        if (elements == 0 || outliers > elements || encoded.Length - tail < at || blockLength > encoded.Length - tail - at
            || !RansHeader.TryRead(encoded.Slice(at, blockLength), elements, out RansHeader header))
        {
            return false;
        }

        int scratchBytes = RansReader.ScratchBytes(header);
        byte[] scratch = ArrayPool<byte>.Shared.Rent(scratchBytes + (layout.Planes * elements));
        try
        {
            fixed (byte* e = encoded)
            fixed (byte* s = scratch)
            fixed (byte* r = raw)
            {
                var reader = default(RansReader);
                byte** planes = stackalloc byte*[10];
                CleanCursor* clean = stackalloc CleanCursor[MaxBytePlanes];
                int outliersAt = at + blockLength;
                return reader.TryOpen(encoded.Slice(at, blockLength), header, e + at, e + encoded.Length, s)
                    && outliers * (long)RansLayout.OutlierBytes <= encoded.Length - tail - outliersAt
                    && TryLocate(encoded[..^tail], layout, elements, outliersAt + (outliers * RansLayout.OutlierBytes), e, s + scratchBytes, planes, clean)
                    && TryMerge(ref reader, layout, elements, planes, clean, e + encoded.Length - tail, r, fast, ref hash, outliers == 0)
                    && TryOutliers(encoded.Slice(outliersAt, outliers * RansLayout.OutlierBytes), layout, elements, raw)
                    && encoded[^tail..].TryCopyTo(raw[(elements * layout.Width)..(elements * layout.Width + tail)]);
            }
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(scratch);
        }
    }

    /// <summary>
    /// Finds the planes, decoding those that are coded. planes[p] is byte plane p, the packed plane is behind them. planes[8] is the end of the packed plane, null if it is coded: then its values stand
    /// in a byte each. Planes in <paramref name="clean"/> are made tile by tile instead. planes[9] is the end of a last plane whose tail the states carry, else null.
    /// </summary>
    private static bool TryLocate(ReadOnlySpan<byte> encoded, in RansLayout layout, int elements, int at, byte* pinned, byte* scratch, byte** planes, CleanCursor* clean)
    {
        planes[9] = null;
        for (int i = 0; i < layout.Planes; i++)
        {
            if (!PlaneSection.TryReadHeader(encoded[(RansLayout.HeaderBytes + (i * PlaneSection.HeaderBytes))..], encoded.Length - at, out byte mode, out int length))
            {
                return false;
            }

            int p = layout.Planes - 1 - i;
            planes[p] = pinned + at;
            if (mode == RansLayout.CarriedTail)
            {
                planes[8] = p == layout.BytePlanes ? pinned + at + length : planes[8];
                planes[9] = pinned + at + length;
                if (p != 0 || length != (layout.BytePlanes > 0 ? elements : BitPlane.Bytes(elements, layout.PackedBits)) - RansStates.TailBytes)
                {
                    return false;
                }
            }
            else if (mode == HuffmanPlane.Raw)
            {
                planes[8] = p == layout.BytePlanes ? pinned + at + length : planes[8];
                if (length != (p == layout.BytePlanes ? BitPlane.Bytes(elements, layout.PackedBits) : elements))
                {
                    return false;
                }
            }
            else
            {
                planes[p] = scratch + ((long)p * elements);
                planes[8] = p == layout.BytePlanes ? null : planes[8];
                var plane = new Span<byte>(planes[p], elements);
                bool found = mode == CleanPlane.Mode && p < layout.BytePlanes
                    ? clean[p].TryOpen(encoded.Slice(at, length), pinned + at, elements, planes[p])
                    : HuffmanPlane.TryDecode(mode, encoded.Slice(at, length), plane);
                if (!found
                    || (p == layout.BytePlanes && plane.ContainsAnyExceptInRange((byte)0, (byte)((1 << layout.PackedBits) - 1))))
                {
                    return false;
                }
            }

            at += length;
        }

        return at == encoded.Length;
    }

    [SkipLocalsInit]
    private static bool TryMerge(ref RansReader reader, in RansLayout layout, int elements, byte** planes, CleanCursor* clean, byte* end, byte* raw, bool fast, ref RunningXxh3 hash, bool final)
    {
        int tile = layout.Width == 8 ? WideTileElements : TileElements;
        byte* symbols = stackalloc byte[(2 * TileElements) + Slack];
        byte* high = stackalloc byte[(2 * TileElements) + Slack];
        byte* low = stackalloc byte[(2 * TileElements) + Slack];
        byte* last = stackalloc byte[(2 * TileElements) + Slack];
        byte* gathered = stackalloc byte[2 * 8 * WideTileElements];
        Span<byte> tail = stackalloc byte[RansStates.TailBytes];
        bool joins = fast && CanJoin(layout, planes);
        for (int at = 0, count; at < elements; at += count)
        {
            // The last tile takes the remainder, so that all that the states carry belongs to it.
            count = elements - at <= 2 * tile ? elements - at : tile;
            for (int p = 0; p < layout.BytePlanes; p++)
            {
                if (clean[p].IsOpen)
                {
                    if (!clean[p].TryTile(at, count, out byte* planeTile) || (at + count == elements && !clean[p].IsAtEnd))
                    {
                        return false;
                    }

                    planes[p] = planeTile - at;
                }
            }

            int done = joins && at + count < elements ? Join(ref reader, layout, planes, at, count, raw) : 0;
            if (!reader.TryDecode(symbols, count - done, fast))
            {
                return false;
            }

            if (at + count == elements)
            {
                if (!reader.TryEnd(planes[9] is null ? default : tail))
                {
                    return false;
                }

                if (planes[9] is not null)
                {
                    byte* lastEnd = AppendTail(layout, planes, at, tail, last);
                    end = layout.BytePlanes > 0 ? end : lastEnd;
                }
            }

            byte* top = symbols;
            if (layout.TopBits > 8)
            {
                TopKernel.AddFirst(symbols, layout.Base, layout.PackedBits, count, high, low);
                top = high;
                if (layout.PackedBits > 0)
                {
                    Unpack(layout, planes, end, at, low, count);
                }
            }
            else if (layout.PackedBits > 0)
            {
                Unpack(layout, planes, end, at + done, symbols, count - done);
            }

            Put(layout, planes, at + done, count - done, top, low, gathered, raw);
            if (final)
            {
                hash.Advance(layout.Width == 0 ? (at + count) / 2 : (at + count) * layout.Width);
            }
        }

        return true;
    }

    /// <summary>True for layouts whose elements are joined while the symbols are in registers: bf16, f16, and bytes with some bits stored as they are.</summary>
    private static bool CanJoin(in RansLayout layout, byte** planes) => layout switch
    {
        { Width: 2, TopBits: 8 } => new SignMove(16, layout.Moved).SwapsHighestBits,
        { Width: 1, PackedBits: > 0 } or { Width: 2, TopBits: < 8, PackedBits: > 0 } => planes[8] is not null,
        _ => false,
    };

    /// <summary>Decodes elements of a tile that is not the last, so that 64 bytes behind its planes may be read.</summary>
    /// <returns>The elements done.</returns>
    private static int Join(ref RansReader reader, in RansLayout layout, byte** planes, int at, int count, byte* raw)
    {
        byte* target = raw + ((long)layout.Width * at);
        byte* packed = planes[layout.BytePlanes] + ((long)at * layout.PackedBits / 8);
        return layout switch
        {
            { Width: 2, PackedBits: 0 } => reader.DecodeInto(count, new PairSink(planes[0] + at, target)),
            { Width: 2 } => reader.DecodeInto(count, new PackedPairSink(packed, layout.PackedBits, planes[0] + at, new SignMove(16, layout.Moved), target)),
            { ZigZag: true } => reader.DecodeInto(count, new ZigZagSink(packed, layout.PackedBits, layout.Center, target)),
            _ => reader.DecodeInto(count, new SignedByteSink(packed, layout.PackedBits, new SignMove(8, layout.Moved), target)),
        };
    }

    /// <summary>Makes the lowest plane whole for the tile that begins at an element: what is stored of it and what the states carried.</summary>
    /// <returns>The end of what may be read of it.</returns>
    private static byte* AppendTail(in RansLayout layout, byte** planes, int at, ReadOnlySpan<byte> tail, byte* buffer)
    {
        long start = layout.BytePlanes > 0 ? at : (long)at * layout.PackedBits / 8;
        int stored = (int)(planes[9] - (planes[0] + start));
        new ReadOnlySpan<byte>(planes[0] + start, stored).CopyTo(new Span<byte>(buffer, stored));
        tail.CopyTo(new Span<byte>(buffer + stored, tail.Length));
        planes[0] = buffer - start;
        return buffer + stored + tail.Length;
    }

    /// <summary>Puts the packed plane below the bits of a tile.</summary>
    private static void Unpack(in RansLayout layout, byte** planes, byte* end, int at, byte* tile, int count)
    {
        byte* plane = planes[layout.BytePlanes];
        byte* planeEnd = planes[8];
        if (planeEnd is null)
        {
            TopKernel.PutBelow(plane + at, layout.PackedBits, count, tile);
        }
        else
        {
            // Up to the end of the chunk may be read; what follows the plane does not get into its values.
            BitPlane.UnpackBelow(plane + ((long)at * layout.PackedBits / 8), end, layout.PackedBits, tile, count, tile);
        }
    }

    /// <summary>Joins the highest bytes and the byte planes of a tile to elements.</summary>
    private static void Put(in RansLayout layout, byte** planes, int at, int count, byte* high, byte* low, byte* gathered, byte* raw)
    {
        var move = new SignMove(Math.Max(8, 8 * layout.Width), layout.Moved);
        byte* second = layout.TopBits > 8 ? low : planes[Math.Max(0, layout.BytePlanes - 1)] + at;
        switch (layout.Width)
        {
            case 0:
                TopKernel.FromNibbles(high, count / 2, raw + (at / 2));
                break;
            case 1 when layout.ZigZag:
                TopKernel.FromZigZag(high, layout.Center, count, raw + at);
                break;
            case 1:
                TopKernel.SignUp(high, move, count, raw + at);
                break;
            case 2:
                PlaneKernel.Merge2(Tile(second, count), Tile(high, count), move, count, new Span<byte>(raw + (2L * at), 2 * count));
                break;
            case 4:
                PlaneKernel.Merge4(Tile(planes[0] + at, count), Tile(planes[1] + at, count), Tile(second, count), Tile(high, count), move, count, new Span<byte>(raw + (4L * at), 4 * count));
                break;
            default:
                for (int p = 0; p < layout.BytePlanes; p++)
                {
                    Tile(planes[p] + at, count).CopyTo(new Span<byte>(gathered + (p * count), count));
                }

                Tile(second, count).CopyTo(new Span<byte>(gathered + (6 * count), count));
                Tile(high, count).CopyTo(new Span<byte>(gathered + (7 * count), count));
                PlaneKernel.Merge8(new ReadOnlySpan<byte>(gathered, 8 * count), move, count, new Span<byte>(raw + (8L * at), 8 * count));
                break;
        }
    }

    /// <summary>Replaces the upper bits of elements whose symbol could not hold them.</summary>
    private static bool TryOutliers(ReadOnlySpan<byte> list, in RansLayout layout, int elements, Span<byte> raw)
    {
        var move = new SignMove(8 * Math.Max(1, layout.Width), layout.Moved);
        int last = -1;
        for (; !list.IsEmpty; list = list[RansLayout.OutlierBytes..])
        {
            int position = BinaryPrimitives.ReadInt32LittleEndian(list);
            uint top = BinaryPrimitives.ReadUInt16LittleEndian(list[4..]);
            if (position <= last || position >= elements || top >> layout.TopBits != 0)
            {
                return false;
            }

            last = position;
            Span<byte> element = raw.Slice(position * layout.Width, layout.Width);
            ulong x = 0;
            for (int b = 0; b < layout.Width; b++)
            {
                x |= (ulong)element[b] << (8 * b);
            }

            x = move.Up((move.Down(x) & ((1UL << layout.RestBits) - 1)) | ((ulong)top << layout.RestBits));
            for (int b = 0; b < layout.Width; b++)
            {
                element[b] = (byte)(x >> (8 * b));
            }
        }

        return true;
    }

    private static ReadOnlySpan<byte> Tile(byte* plane, int count) => new(plane, count);
}
