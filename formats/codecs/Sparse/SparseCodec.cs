using System.Buffers;
using System.Buffers.Binary;
using System.Runtime.InteropServices;

namespace ModelPack.Codecs;

/// <summary>
/// Wire id 10: elements most of which are zero, as gaps and values, both in Huffman-coded planes. See SPEC.md in this folder.
/// </summary>
/// <remarks>
/// At 1.5 % density in 16 bits, a gap costs 7.5 bits and a change by one a single bit: 0.13 bits per element, where a Huffman code over the elements themselves cannot go below one.
/// </remarks>
internal sealed class SparseCodec : ICodec
{
    private const int FixedHeaderBytes = 11;

    public string Id => "sparse";

    public byte WireId => 10;

    public string Summary => "elements most of which are zero (differences, pruned weights): runs of zeros and the other values, each canonical Huffman";

    public bool TryEncode(ReadOnlySpan<byte> raw, DType elementType, Span<byte> destination, out int written)
    {
        (int width, int moved) = ElementPlanes.Of(elementType);
        return width switch
        {
            0 => TryEncode<byte>(raw, 0, destination, out written),
            2 => TryEncode<ushort>(raw, moved, destination, out written),
            4 => TryEncode<uint>(raw, moved, destination, out written),
            _ => TryEncode<ulong>(raw, moved, destination, out written),
        };
    }

    public bool TryDecode(ReadOnlySpan<byte> encoded, DType elementType, Span<byte> raw)
    {
        if (encoded.Length < FixedHeaderBytes || encoded[1] >= 8 * encoded[0])
        {
            return false;
        }

        return encoded[0] switch
        {
            1 when encoded[1] == 0 => TryDecode<byte>(encoded, raw),
            2 => TryDecode<ushort>(encoded, raw),
            4 => TryDecode<uint>(encoded, raw),
            8 => TryDecode<ulong>(encoded, raw),
            _ => false,
        };
    }

    private static unsafe bool TryEncode<T>(ReadOnlySpan<byte> raw, int moved, Span<byte> destination, out int written)
        where T : unmanaged, IEquatable<T>
    {
        written = 0;
        int width = sizeof(T);
        ReadOnlySpan<T> elements = MemoryMarshal.Cast<byte, T>(raw);
        int count = elements.Length - elements.Count(default(T));
        int tail = raw.Length - (elements.Length * width);
        if (elements.IsEmpty || count > elements.Length - (elements.Length / 4))
        {
            return false;
        }

        bool wide = 300L * count <= elements.Length;
        int gapBytes = wide ? 2 : 1;
        int room = count + 1 + ((elements.Length - count) / (wide ? ushort.MaxValue : byte.MaxValue));
        int valueBytes = count * width;
        int at = FixedHeaderBytes + (PlaneSection.HeaderBytes * (gapBytes + (count > 0 ? width : 0)));
        if (destination.Length < at + tail)
        {
            return false;
        }

        byte[] scratch = ArrayPool<byte>.Shared.Rent((2 * valueBytes) + (gapBytes * room));
        try
        {
            Span<byte> values = scratch.AsSpan(0, valueBytes);
            Span<byte> planes = scratch.AsSpan(valueBytes, valueBytes);
            Span<byte> gaps = scratch.AsSpan(2 * valueBytes, gapBytes * room);
            int words = SparseKernel.Collect(elements, gaps, room, wide, MemoryMarshal.Cast<byte, T>(values));
            destination[0] = (byte)width;
            destination[1] = (byte)moved;
            destination[2] = (byte)gapBytes;
            BinaryPrimitives.WriteInt32LittleEndian(destination[3..], words);
            BinaryPrimitives.WriteInt32LittleEndian(destination[7..], count);
            PlaneKernel.Split(values, width, new SignMove(8 * width, moved), count, planes);
            Span<byte> headers = destination[FixedHeaderBytes..];
            for (int p = gapBytes - 1; p >= 0; p--, headers = headers[PlaneSection.HeaderBytes..])
            {
                if (!TryPut(gaps.Slice(p * room, words), headers, destination[..^tail], ref at))
                {
                    return false;
                }
            }

            for (int p = width - 1; p >= 0 && count > 0; p--, headers = headers[PlaneSection.HeaderBytes..])
            {
                if (!TryPut(planes.Slice(p * count, count), headers, destination[..^tail], ref at))
                {
                    return false;
                }
            }

            raw[^tail..].CopyTo(destination[at..]);
            written = at + tail;
            return true;
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(scratch);
        }
    }

    private static bool TryPut(ReadOnlySpan<byte> plane, Span<byte> header, Span<byte> destination, ref int at)
    {
        bool fits = PlaneSection.TryWrite(plane, plane.Length - (plane.Length / 32) - 1, probe: false, header, destination[at..], out int length);
        at += length;
        return fits;
    }

    private static unsafe bool TryDecode<T>(ReadOnlySpan<byte> encoded, Span<byte> raw)
        where T : unmanaged
    {
        int width = sizeof(T);
        Span<T> elements = MemoryMarshal.Cast<byte, T>(raw);
        int tail = raw.Length - (elements.Length * width);
        int gapBytes = encoded[2];
        uint words = BinaryPrimitives.ReadUInt32LittleEndian(encoded[3..]);
        uint count = BinaryPrimitives.ReadUInt32LittleEndian(encoded[7..]);
        uint most = gapBytes == 1 ? byte.MaxValue : (uint)ushort.MaxValue;
        if (elements.IsEmpty || gapBytes is not (1 or 2) || count > elements.Length || words <= count || words - count - 1 > (elements.Length - count) / most)
        {
            return false;
        }

        // Everything is bounded by the decoded length from here on.
        (int e, int v) = ((int)words, (int)count);
        int at = FixedHeaderBytes + (PlaneSection.HeaderBytes * (gapBytes + (v > 0 ? width : 0)));
        if (encoded.Length - tail < at)
        {
            return false;
        }

        int valueBytes = v * width;
        byte[] scratch = ArrayPool<byte>.Shared.Rent((2 * valueBytes) + (gapBytes * e));
        try
        {
            Span<byte> values = scratch.AsSpan(0, valueBytes);
            Span<byte> planes = scratch.AsSpan(valueBytes, valueBytes);
            Span<byte> gaps = scratch.AsSpan(2 * valueBytes, gapBytes * e);
            ReadOnlySpan<byte> headers = encoded[FixedHeaderBytes..at];
            ReadOnlySpan<byte> body = encoded[at..^tail];
            for (int p = gapBytes - 1; p >= 0; p--, headers = headers[PlaneSection.HeaderBytes..])
            {
                if (!PlaneSection.TryRead(headers, ref body, gaps.Slice(p * e, e)))
                {
                    return false;
                }
            }

            for (int p = width - 1; p >= 0 && v > 0; p--, headers = headers[PlaneSection.HeaderBytes..])
            {
                if (!PlaneSection.TryRead(headers, ref body, (width == 1 ? values : planes).Slice(p * v, v)))
                {
                    return false;
                }
            }

            ReadOnlySpan<byte> low = gaps[..e];
            ReadOnlySpan<byte> high = gaps[e..];
            bool last = low[^1] == byte.MaxValue && (high.IsEmpty || high[^1] == byte.MaxValue);
            if (!body.IsEmpty || last || SparseKernel.Sum(low, high, out int ends) != elements.Length - v || ends != v + 1)
            {
                return false;
            }

            if (width > 1 && v > 0)
            {
                PlaneKernel.Merge(planes, width, new SignMove(8 * width, encoded[1]), v, values);
            }

            elements.Clear();
            SparseKernel.Scatter(low, high, MemoryMarshal.Cast<byte, T>(values), elements);
            encoded[^tail..].CopyTo(raw[^tail..]);
            return true;
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(scratch);
        }
    }
}
