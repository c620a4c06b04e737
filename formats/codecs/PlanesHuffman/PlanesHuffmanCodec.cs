using System.Buffers;
using System.Buffers.Binary;

namespace ModelPack.Codecs;

/// <summary>
/// Wire id 6: byte planes of fixed-width elements, each plane constant, a Huffman block or raw. See SPEC.md in this folder.
/// </summary>
internal sealed class PlanesHuffmanCodec : ICodec
{
    private const int FixedHeaderBytes = 2;
    private const int PlaneHeaderBytes = 5;

    public string Id => "planes-huffman";

    public byte WireId => 6;

    public string Summary => "byte planes of 2, 4 or 8-byte elements, the exponent in a plane of its own, each plane canonical Huffman or raw";

    public bool TryEncode(ReadOnlySpan<byte> raw, DType elementType, Span<byte> destination, out int written)
    {
        written = 0;
        (int width, int moved) = Layout(elementType);
        int elements = raw.Length / Math.Max(width, 1);
        int at = FixedHeaderBytes + (width * PlaneHeaderBytes);
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
                Span<byte> room = destination[at..^tail];
                if (!HuffmanPlane.TryEncode(plane, elements - (elements / 32) - 1, probe: p < width - 1, room, out byte mode, out int length))
                {
                    if (!plane.TryCopyTo(room))
                    {
                        return false;
                    }

                    (mode, length) = (HuffmanPlane.Raw, elements);
                }

                Span<byte> header = destination[(FixedHeaderBytes + ((width - 1 - p) * PlaneHeaderBytes))..];
                header[0] = mode;
                BinaryPrimitives.WriteInt32LittleEndian(header[1..], length);
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
        if (elements == 0 || encoded.Length < FixedHeaderBytes + (width * PlaneHeaderBytes) + tail)
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
        int at = FixedHeaderBytes + (width * PlaneHeaderBytes);
        ReadOnlySpan<byte> lowest = default;
        for (int p = width - 1; p >= 0; p--)
        {
            ReadOnlySpan<byte> header = encoded.Slice(FixedHeaderBytes + ((width - 1 - p) * PlaneHeaderBytes), PlaneHeaderBytes);
            int length = BinaryPrimitives.ReadInt32LittleEndian(header[1..]);
            if (length <= 0 || length > encoded.Length - at)
            {
                return false;
            }

            ReadOnlySpan<byte> stored = encoded.Slice(at, length);
            at += length;
            if (p == 0 && header[0] == HuffmanPlane.Raw && length == elements)
            {
                // The plane of sign and mantissa of 2-byte elements is used where it lies.
                lowest = stored;
                if (width == 2)
                {
                    continue;
                }
            }

            if (!HuffmanPlane.TryDecode(header[0], stored, scratch.Slice(p * elements, elements)))
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

    /// <summary>Bytes of an element, and by how many bits its sign moves down: below the exponent.</summary>
    private static (int Width, int Moved) Layout(DType elementType) => elementType switch
    {
        DType.BF16 => (2, 8),
        DType.F16 => (2, 5),
        DType.F32 or DType.C64 => (4, 8),
        DType.F64 or DType.C128 => (8, 11),
        DType.I16 or DType.U16 => (2, 0),
        DType.I32 or DType.U32 => (4, 0),
        DType.I64 or DType.U64 => (8, 0),
        _ => (0, 0),
    };
}
