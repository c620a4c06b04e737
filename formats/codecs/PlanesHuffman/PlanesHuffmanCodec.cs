using System.Buffers;

namespace ModelPack.Codecs;

/// <summary>
/// Wire id 6: byte planes of fixed-width elements, each plane constant, a Huffman block or raw. See SPEC.md in this folder.
/// </summary>
internal sealed class PlanesHuffmanCodec : ICodec
{
    private const int FixedHeaderBytes = 2;

    public string Id => "planes-huffman";

    public byte WireId => 6;

    public string Summary => "byte planes of 2, 4 or 8-byte elements, the exponent in a plane of its own, each plane canonical Huffman or raw";

    public bool TryEncode(ReadOnlySpan<byte> raw, DType elementType, Span<byte> destination, out int written)
    {
        written = 0;
        (int width, int moved) = ElementPlanes.Of(elementType);
        int elements = raw.Length / Math.Max(width, 1);
        int at = FixedHeaderBytes + (width * PlaneSection.HeaderBytes);
        int body = elements * width;
        int tail = raw.Length - body;
        if (width == 0 || elements == 0 || destination.Length < at + tail)
        {
            return false;
        }

        byte[] scratch = ArrayPool<byte>.Shared.Rent(body);
        try
        {
            Span<byte> planes = scratch.AsSpan(0, body);
            PlaneKernel.Split(raw[..body], width, new SignMove(8 * width, moved), elements, planes);
            destination[0] = (byte)width;
            destination[1] = (byte)moved;
            for (int p = width - 1; p >= 0; p--)
            {
                ReadOnlySpan<byte> plane = planes.Slice(p * elements, elements);
                Span<byte> header = destination[(FixedHeaderBytes + ((width - 1 - p) * PlaneSection.HeaderBytes))..];
                if (!PlaneSection.TryWrite(plane, elements - (elements / 32) - 1, probe: p < width - 1, header, destination[at..^tail], out int length))
                {
                    return false;
                }

                at += length;
            }

            raw[body..].CopyTo(destination[at..]);
            written = at + tail;
            return true;
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(scratch);
        }
    }

    public bool TryDecode(ReadOnlySpan<byte> encoded, DType elementType, Span<byte> raw)
    {
        int width = encoded.Length < FixedHeaderBytes ? 0 : encoded[0];
        if (width is not (2 or 4 or 8) || encoded[1] >= 8 * width)
        {
            return false;
        }

        int elements = raw.Length / width;
        int body = elements * width;
        int tail = raw.Length - body;
        if (elements == 0 || encoded.Length < FixedHeaderBytes + (width * PlaneSection.HeaderBytes) + tail)
        {
            return false;
        }

        byte[] scratch = ArrayPool<byte>.Shared.Rent(body);
        try
        {
            return TryDecodePlanes(encoded[..^tail], width, elements, scratch.AsSpan(0, body), raw[..body])
                && encoded[^tail..].TryCopyTo(raw[body..]);
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(scratch);
        }
    }

    private static bool TryDecodePlanes(ReadOnlySpan<byte> encoded, int width, int elements, Span<byte> scratch, Span<byte> raw)
    {
        int at = FixedHeaderBytes + (width * PlaneSection.HeaderBytes);
        ReadOnlySpan<byte> lowest = default;
        for (int p = width - 1; p >= 0; p--)
        {
            ReadOnlySpan<byte> header = encoded.Slice(FixedHeaderBytes + ((width - 1 - p) * PlaneSection.HeaderBytes), PlaneSection.HeaderBytes);
            if (!PlaneSection.TryReadHeader(header, encoded.Length - at, out byte mode, out int length))
            {
                return false;
            }

            ReadOnlySpan<byte> stored = encoded.Slice(at, length);
            at += length;
            if (p == 0 && mode == HuffmanPlane.Raw && length == elements)
            {
                // The plane of sign and mantissa of 2-byte elements is used where it lies.
                lowest = stored;
                if (width == 2)
                {
                    continue;
                }
            }

            if (!HuffmanPlane.TryDecode(mode, stored, scratch.Slice(p * elements, elements)))
            {
                return false;
            }
        }

        if (at != encoded.Length)
        {
            return false;
        }

        var move = new SignMove(8 * width, encoded[1]);
        if (width == 2 && !lowest.IsEmpty)
        {
            PlaneKernel.Merge2(lowest, scratch[elements..], move, elements, raw);
        }
        else
        {
            PlaneKernel.Merge(scratch, width, move, elements, raw);
        }

        return true;
    }
}
