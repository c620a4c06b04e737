using System.Buffers.Binary;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace ModelPack.Codecs;

/// <summary>The loops of the palette codec around <see cref="PaletteMap"/>.</summary>
internal static class PaletteKernel
{
    /// <summary>Most values of a palette.</summary>
    public const int MaxEntries = 256;

    private const int MostElementsPerByte = 8;
    private const int MostWidth = 8;

    /// <summary>Bits of an index: 1, 2, 4 or 8.</summary>
    public static int IndexBits(int entries) => entries <= 2 ? 1 : entries <= 4 ? 2 : entries <= 16 ? 4 : 8;

    /// <summary>Bytes of all indices.</summary>
    public static int IndexBytes(int elements, int bits) => (int)((((long)elements * bits) + 7) / 8);

    /// <summary>
    /// Brings a palette into ascending order, its indices with it, and packs these into the first bytes of their own place, the first element in the lowest bits; returns how many bytes.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static int SortAndPack(Span<ulong> palette, int bits, Span<byte> indices)
    {
        Span<byte> order = stackalloc byte[MaxEntries];
        Span<byte> rank = stackalloc byte[MaxEntries];
        for (int i = 0; i < palette.Length; i++)
        {
            order[i] = (byte)i;
        }

        palette.Sort(order[..palette.Length]);
        for (int i = 0; i < palette.Length; i++)
        {
            rank[order[i]] = (byte)i;
        }

        // Byte p of the packed indices takes indices that lie at p or later: nothing is overwritten before it is read.
        int packedBytes = IndexBytes(indices.Length, bits);
        int perByte = 8 / bits;
        for (int p = 0; p < packedBytes; p++)
        {
            int packed = 0;
            ReadOnlySpan<byte> own = indices[(p * perByte)..Math.Min(indices.Length, (p + 1) * perByte)];
            for (int e = 0; e < own.Length; e++)
            {
                packed |= rank[own[e]] << (e * bits);
            }

            indices[p] = (byte)packed;
        }

        return packedBytes;
    }

    private static ulong Read(ReadOnlySpan<byte> raw, int at, int width) => width switch
    {
        2 => BinaryPrimitives.ReadUInt16LittleEndian(raw[at..]),
        4 => BinaryPrimitives.ReadUInt32LittleEndian(raw[at..]),
        _ => BinaryPrimitives.ReadUInt64LittleEndian(raw[at..]),
    };

    /// <summary>Writes the palette.</summary>
    public static void WriteEntries(ReadOnlySpan<ulong> palette, int width, Span<byte> destination)
    {
        for (int i = 0; i < palette.Length; i++)
        {
            Write(palette[i], destination[(i * width)..], width);
        }
    }

    /// <summary>Reads a palette; false when it does not ascend.</summary>
    public static bool TryReadEntries(ReadOnlySpan<byte> source, int width, Span<ulong> palette)
    {
        for (int i = 0; i < palette.Length; i++)
        {
            palette[i] = Read(source, i * width, width);
            if (i > 0 && palette[i] <= palette[i - 1])
            {
                return false;
            }
        }

        return true;
    }

    /// <summary>True when all indices name an entry and the bits after the last are zero.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static bool AreInside(ReadOnlySpan<byte> indices, int elements, int bits, int entries)
    {
        int used = (int)((((long)elements * bits) - 1) % 8) + 1;
        if (indices[^1] >> used != 0)
        {
            return false;
        }

        if (bits == 8)
        {
            return entries == MaxEntries || indices.IndexOfAnyExceptInRange((byte)0, (byte)(entries - 1)) < 0;
        }

        if (entries == 1 << bits)
        {
            return true;
        }

        bool inside = true;
        foreach (byte packed in indices)
        {
            for (int shift = 0; shift < 8; shift += bits)
            {
                inside &= ((packed >> shift) & ((1 << bits) - 1)) < entries;
            }
        }

        return inside;
    }

    /// <summary>Indices, all of them inside, to elements: one look-up and one store for all elements of an index byte.</summary>
    [SkipLocalsInit]
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Expand(ReadOnlySpan<byte> indices, int bits, ReadOnlySpan<ulong> palette, int width, Span<byte> raw)
    {
        // scalar: raw[i] = palette[index i]
        Span<byte> table = stackalloc byte[256 * MostElementsPerByte * MostWidth];
        int perByte = 8 / bits;
        int entryBytes = perByte * width;
        for (int packed = 0; packed < 256; packed++)
        {
            for (int e = 0; e < perByte; e++)
            {
                int index = (packed >> (e * bits)) & ((1 << bits) - 1);
                Write(index < palette.Length ? palette[index] : 0, table[((packed * entryBytes) + (e * width))..], width);
            }
        }

        int whole = raw.Length / entryBytes;
        switch (entryBytes)
        {
            case 2:
                Expand<ushort>(indices[..whole], table, raw);
                break;
            case 4:
                Expand<uint>(indices[..whole], table, raw);
                break;
            case 8:
                Expand<ulong>(indices[..whole], table, raw);
                break;
            case 16:
                Expand<Vector128<byte>>(indices[..whole], table, raw);
                break;
            case 32:
                Expand<Vector256<byte>>(indices[..whole], table, raw);
                break;
            default:
                Expand<Vector512<byte>>(indices[..whole], table, raw);
                break;
        }

        Span<byte> rest = raw[(whole * entryBytes)..];
        if (!rest.IsEmpty)
        {
            table.Slice(indices[whole] * entryBytes, rest.Length).CopyTo(rest);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Expand<TEntry>(ReadOnlySpan<byte> indices, ReadOnlySpan<byte> table, Span<byte> raw)
        where TEntry : unmanaged
    {
        ref byte entry = ref MemoryMarshal.GetReference(table);
        ref byte target = ref MemoryMarshal.GetReference(raw);
        nint at = 0;
        for (int i = 0; i < indices.Length; i++, at += Unsafe.SizeOf<TEntry>())
        {
            TEntry elements = Unsafe.ReadUnaligned<TEntry>(ref Unsafe.Add(ref entry, (nint)indices[i] * Unsafe.SizeOf<TEntry>()));
            Unsafe.WriteUnaligned(ref Unsafe.Add(ref target, at), elements);
        }
    }

    private static void Write(ulong value, Span<byte> destination, int width)
    {
        switch (width)
        {
            case 2:
                BinaryPrimitives.WriteUInt16LittleEndian(destination, (ushort)value);
                break;
            case 4:
                BinaryPrimitives.WriteUInt32LittleEndian(destination, (uint)value);
                break;
            default:
                BinaryPrimitives.WriteUInt64LittleEndian(destination, value);
                break;
        }
    }
}
