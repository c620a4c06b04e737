using System.Buffers;

namespace ModelPack.Codecs;

/// <summary>The binding that encodes a chunk in a given layout. See SPEC.md in this folder.</summary>
internal static unsafe class RansChunkEncoder
{
    /// <summary>More outliers than one in this many elements do not pay.</summary>
    private const int ElementsPerOutlier = 256;
    private const int Slack = 64;

    /// <summary>Encodes a chunk; false when the layout does not fit its elements or the destination is too short.</summary>
    public static bool TryEncode(ReadOnlySpan<byte> raw, in RansLayout layout, CodecLevel level, Span<byte> destination, out int written, bool fast = true)
    {
        written = 0;
        int elements = layout.Elements(raw.Length);
        int body = layout.Width == 0 ? raw.Length : elements * layout.Width;
        int tail = raw.Length - body;
        int headers = RansLayout.HeaderBytes + (layout.Planes * PlaneSection.HeaderBytes);
        if (elements == 0 || destination.Length <= headers + tail)
        {
            return false;
        }

        // The planes of whole bytes, then the symbols if they are not one of them.
        int planeBytes = layout.Width == 0 ? 0 : body;
        byte[] scratch = ArrayPool<byte>.Shared.Rent(planeBytes + elements + Slack);
        try
        {
            fixed (byte* r = raw)
            fixed (byte* s = scratch)
            {
                byte* symbols = s + planeBytes;
                Split(raw[..body], r, layout, elements, scratch.AsSpan(0, planeBytes), s, symbols);
                RansLayout used = layout;
                int outliers = 0;
                byte* top = s + ((long)Math.Max(0, layout.Width - 1) * elements);
                if (layout.TopBits > 8)
                {
                    used = layout with { Base = TopWindow.Find(top, top - elements, layout.PackedBits, layout.TopBits, elements, out outliers) };
                    if (outliers > elements / ElementsPerOutlier)
                    {
                        return false;
                    }

                    TopKernel.ShiftDown(top, top - elements, layout.PackedBits, used.Base, elements, symbols);
                }
                else if (layout.Width > 0 && layout.PackedBits > 0)
                {
                    TopKernel.ShiftDown(top, layout.PackedBits, elements, symbols);
                }
                else if (layout.Width > 0)
                {
                    symbols = top;
                }

                Span<byte> room = destination[..^tail];
                int at = headers;
                Span<byte> carried = stackalloc byte[RansStates.TailBytes];
                CleanPlane.Choice? clean = layout.BytePlanes > 0 ? Clean(new ReadOnlySpan<byte>(s, elements), level) : null;
                if (clean is not null || !TryCarry(layout, s, elements, room[at..], carried))
                {
                    carried = default;
                }

                if (!RansBlock.TryEncode(new ReadOnlySpan<byte>(symbols, elements), carried, level, room[at..], out int blockLength, fast))
                {
                    return false;
                }

                at += blockLength;
                if (room.Length - at < outliers * RansLayout.OutlierBytes)
                {
                    return false;
                }

                if (outliers > 0)
                {
                    TopWindow.WriteOutliers(top, top - elements, layout.PackedBits, used.Base, elements, room[at..]);
                    at += outliers * RansLayout.OutlierBytes;
                }

                used.Write(destination, outliers, blockLength);
                if (!TryWritePlanes(layout, elements, s, level, clean, !carried.IsEmpty, room, ref at))
                {
                    return false;
                }

                raw[body..].CopyTo(destination[at..]);
                written = at + tail;
                return true;
            }
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(scratch);
        }
    }

    private static void Split(ReadOnlySpan<byte> raw, byte* pinned, in RansLayout layout, int elements, Span<byte> planes, byte* pinnedPlanes, byte* symbols)
    {
        switch (layout.Width)
        {
            case 0:
                TopKernel.ToNibbles(pinned, raw.Length, symbols);
                break;
            case 1 when layout.ZigZag:
                TopKernel.ToZigZag(pinned, layout.Center, elements, pinnedPlanes);
                break;
            case 1:
                TopKernel.SignDown(pinned, new SignMove(8, layout.Moved), elements, pinnedPlanes);
                break;
            default:
                PlaneKernel.Split(raw, layout.Width, new SignMove(8 * layout.Width, layout.Moved), elements, planes);
                break;
        }
    }

    private static bool TryWritePlanes(in RansLayout layout, int elements, byte* planes, CodecLevel level, CleanPlane.Choice? lowest, bool carry, Span<byte> room, ref int at)
    {
        for (int i = 0; i < layout.Planes; i++)
        {
            int p = layout.Planes - 1 - i;
            byte* plane = planes + ((long)p * elements);
            Span<byte> header = room[(RansLayout.HeaderBytes + (i * PlaneSection.HeaderBytes))..];
            int length;
            if (p < layout.BytePlanes)
            {
                if (carry && i == layout.Planes - 1)
                {
                    length = elements;
                    if (!new ReadOnlySpan<byte>(plane, elements).TryCopyTo(room[at..]))
                    {
                        return false;
                    }
                }
                else if (!TryWritePlane(new ReadOnlySpan<byte>(plane, elements), p == 0 ? lowest : Clean(new ReadOnlySpan<byte>(plane, elements), level), header, room[at..], out length))
                {
                    return false;
                }
            }
            else if (!TryPack(plane, elements, layout.PackedBits, last: i == layout.Planes - 1, header, room[at..], out length))
            {
                return false;
            }

            if (carry && i == layout.Planes - 1)
            {
                length -= RansStates.TailBytes;
                PlaneSection.WriteHeader(header, RansLayout.CarriedTail, length);
            }

            at += length;
        }

        return true;
    }

    /// <summary>Stores a byte plane without its low bits if they are almost always zero, else coded or as it is.</summary>
    private static bool TryWritePlane(ReadOnlySpan<byte> plane, CleanPlane.Choice? clean, Span<byte> header, Span<byte> room, out int length)
    {
        if (clean is not { } choice)
        {
            return PlaneSection.TryWrite(plane, Limit(plane.Length), probe: true, header, room, out length);
        }

        length = choice.Length;
        PlaneSection.WriteHeader(header, CleanPlane.Mode, length);
        return CleanPlane.TryWrite(plane, choice, room);
    }

    private static CleanPlane.Choice? Clean(ReadOnlySpan<byte> plane, CodecLevel level) => CleanPlane.Measure(plane, Limit(plane.Length), level == CodecLevel.Max ? 128 : 64);

    /// <summary>A plane is coded if that makes it 1/32 smaller.</summary>
    private static int Limit(int elements) => elements - (elements / 32) - 1;

    /// <summary>Takes the last bytes of the last plane, for the states to carry, if it will be stored as it is.</summary>
    /// <param name="layout">The layout.</param>
    /// <param name="plane">The lowest plane, before it is packed.</param>
    /// <param name="elements">Elements.</param>
    /// <param name="room">Room to try in.</param>
    /// <param name="tail">The last bytes.</param>
    private static bool TryCarry(in RansLayout layout, byte* plane, int elements, Span<byte> room, Span<byte> tail)
    {
        if (layout.Planes == 0)
        {
            return false;
        }

        var bytes = new ReadOnlySpan<byte>(plane, elements);
        if (layout.BytePlanes > 0)
        {
            if (elements <= tail.Length || HuffmanPlane.TryEncode(bytes, Limit(elements), probe: true, room, out _, out _))
            {
                return false;
            }

            bytes[^tail.Length..].CopyTo(tail);
            return true;
        }

        int bits = layout.PackedBits;
        int packed = BitPlane.Bytes(elements, bits);
        if (packed <= tail.Length || IsConstant(bytes, bits))
        {
            return false;
        }

        // Eight elements end at whole bytes: pack from the group in which the tail begins.
        int group = (packed - tail.Length) / bits;
        byte* end = stackalloc byte[RansStates.TailBytes + 16];
        BitPlane.Pack(plane + (8 * group), elements - (8 * group), bits, end);
        new ReadOnlySpan<byte>(end + (packed - tail.Length) - (group * bits), tail.Length).CopyTo(tail);
        return true;
    }

    private static bool IsConstant(ReadOnlySpan<byte> plane, int bits)
    {
        int mask = (1 << bits) - 1;
        int differs = 1;
        while (differs < plane.Length && ((plane[differs] ^ plane[0]) & mask) == 0)
        {
            differs++;
        }

        return differs == plane.Length;
    }

    /// <summary>Stores the packed plane; above other planes, where it is the mantissa's beginning, coded if that is worth it.</summary>
    private static bool TryPack(byte* plane, int elements, int bits, bool last, Span<byte> header, Span<byte> room, out int length)
    {
        length = BitPlane.Bytes(elements, bits);
        TopKernel.KeepLow(plane, bits, elements);
        var values = new ReadOnlySpan<byte>(plane, elements);
        if (HuffmanPlane.TryEncode(values, last ? 1 : Limit(length), probe: true, room, out byte mode, out int coded, bits))
        {
            length = coded;
            PlaneSection.WriteHeader(header, mode, length);
            return true;
        }

        if (room.Length < length)
        {
            return false;
        }

        PlaneSection.WriteHeader(header, HuffmanPlane.Raw, length);
        fixed (byte* to = room)
        {
            BitPlane.Pack(plane, elements, bits, to);
        }

        return true;
    }
}
