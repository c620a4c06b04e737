using System.Buffers;
using System.Runtime.InteropServices;

namespace ModelPack.Codecs;

/// <summary>
/// Wire id 8: elements of at most 256 different values, as indices into their list: fake-quantised weights, tables of scales. See SPEC.md in this folder.
/// </summary>
internal sealed class PaletteCodec : ICodec
{
    private const int HeaderBytes = 2;

    public string Id => "palette";

    public byte WireId => 8;

    public string Summary => "at most 256 different elements of 2, 4 or 8 bytes as indices of 1, 2, 4 or 8 bits, these canonical Huffman or raw";

    public bool TryEncode(ReadOnlySpan<byte> raw, DType elementType, Span<byte> destination, out int written)
    {
        written = 0;
        int width = (int)(elementType.BitsPerElement() / 8);
        int elements = width is 2 or 4 or 8 ? raw.Length / width : 0;
        if (elements < 2)
        {
            return false;
        }

        ReadOnlySpan<byte> body = raw[..(elements * width)];
        ReadOnlySpan<byte> tail = raw[body.Length..];
        Span<ulong> palette = stackalloc ulong[PaletteKernel.MaxEntries];
        byte[] scratch = ArrayPool<byte>.Shared.Rent(elements);
        try
        {
            Span<byte> indices = scratch.AsSpan(0, elements);
            if (!TryIndex(body, width, palette, indices, out int entries))
            {
                return false;
            }

            palette = palette[..entries];
            int bits = PaletteKernel.IndexBits(entries);
            indices = indices[..PaletteKernel.SortAndPack(palette, bits, indices)];
            int at = HeaderBytes + (entries * width);
            if (destination.Length <= at + tail.Length)
            {
                return false;
            }

            Span<byte> room = destination[(at + 1)..^tail.Length];
            if (!HuffmanPlane.TryStore(indices, indices.Length - (indices.Length / 32) - 1, probe: false, room, out byte mode, out int length))
            {
                return false;
            }

            destination[0] = (byte)width;
            destination[1] = (byte)(entries - 1);
            PaletteKernel.WriteEntries(palette, width, destination[HeaderBytes..]);
            destination[at] = mode;
            tail.CopyTo(destination[(at + 1 + length)..]);
            written = at + 1 + length + tail.Length;
            return true;
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(scratch);
        }
    }

    private static bool TryIndex(ReadOnlySpan<byte> body, int width, Span<ulong> palette, Span<byte> indices, out int entries)
    {
        var map = new PaletteMap(stackalloc ulong[PaletteMap.Slots], stackalloc ushort[PaletteMap.Slots]);
        return width switch
        {
            2 => map.TryIndex(MemoryMarshal.Cast<byte, ushort>(body), palette, indices, out entries),
            4 => map.TryIndex(MemoryMarshal.Cast<byte, uint>(body), palette, indices, out entries),
            _ => map.TryIndex(MemoryMarshal.Cast<byte, ulong>(body), palette, indices, out entries),
        };
    }

    public bool TryDecode(ReadOnlySpan<byte> encoded, DType elementType, Span<byte> raw)
    {
        int width = encoded.Length < HeaderBytes ? 0 : encoded[0];
        int elements = width is 2 or 4 or 8 ? raw.Length / width : 0;
        if (elements == 0)
        {
            return false;
        }

        int entries = encoded[1] + 1;
        int at = HeaderBytes + (entries * width);
        int tail = raw.Length - (elements * width);
        Span<ulong> palette = stackalloc ulong[PaletteKernel.MaxEntries];
        if (encoded.Length <= at + tail || !PaletteKernel.TryReadEntries(encoded[HeaderBytes..at], width, palette[..entries]))
        {
            return false;
        }

        int bits = PaletteKernel.IndexBits(entries);
        ReadOnlySpan<byte> stored = encoded[(at + 1)..^tail];
        int indexBytes = PaletteKernel.IndexBytes(elements, bits);
        byte[] scratch = ArrayPool<byte>.Shared.Rent(indexBytes);
        try
        {
            Span<byte> indices = scratch.AsSpan(0, indexBytes);
            if (!HuffmanPlane.TryDecode(encoded[at], stored, indices) || !PaletteKernel.AreInside(indices, elements, bits, entries))
            {
                return false;
            }

            PaletteKernel.Expand(indices, bits, palette[..entries], width, raw[..(elements * width)]);
            encoded[^tail..].CopyTo(raw[(elements * width)..]);
            return true;
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(scratch);
        }
    }
}
