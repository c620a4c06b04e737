using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace ModelPack.Numbers;

/// <summary>Palettes of more than 16 entries: codes one per byte in a small buffer between packing and tables, so that both run over many values at once.</summary>
internal static class PaletteWide
{
    /// <summary>Values per step; a multiple of 64.</summary>
    private const int Step = 1024;

    [SkipLocalsInit]
    public static void EncodeRow(ReadOnlySpan<float> row, Palette palette, Span<byte> codes)
    {
        if (palette.Bits == 8)
        {
            palette.Buckets.Encode(row, codes);
            return;
        }

        Span<byte> found = stackalloc byte[Step];
        int bits = palette.Bits;
        int at = 0;
        for (int first = 0; first < row.Length; first += Step)
        {
            ReadOnlySpan<float> part = row.Slice(first, Math.Min(Step, row.Length - first));
            palette.Buckets.Encode(part, found);
            int i = 0;
            for (; i + 16 <= part.Length; i += 16, at += 2 * bits)
            {
                CodePacking.Pack16(Vector128.Create<byte>(found.Slice(i, 16)), bits, codes[at..]);
            }

            if (i < part.Length)
            {
                codes[at..].Clear();
                for (int j = 0; i < part.Length; i++, j++)
                {
                    CodePacking.Set(codes[at..], j, bits, found[i]);
                }
            }
        }
    }

    [SkipLocalsInit]
    public static void DecodeRow(ReadOnlySpan<byte> codes, Palette palette, Span<float> row, SimdTier tier)
    {
        ByteTable table = palette.Table;
        if (palette.Bits == 8)
        {
            table.Decode(codes, row, tier);
            return;
        }

        Span<byte> found = stackalloc byte[Step];
        ref byte from = ref MemoryMarshal.GetReference(codes);
        ref byte to = ref MemoryMarshal.GetReference(found);
        int bits = palette.Bits;
        ulong mask = CodePacking.Mask(bits);
        int at = 0;
        for (int first = 0; first < row.Length; first += Step)
        {
            Span<float> part = row.Slice(first, Math.Min(Step, row.Length - first));
            int i = 0;
            if (Bmi2.X64.IsSupported)
            {
                for (; i + 16 <= part.Length && at + bits + sizeof(ulong) <= codes.Length; i += 16, at += 2 * bits)
                {
                    CodePacking.Unpack16Wide(ref Unsafe.Add(ref from, at), bits, mask).StoreUnsafe(ref to, (nuint)i);
                }
            }

            for (; i + 16 <= part.Length; i += 16, at += 2 * bits)
            {
                CodePacking.Unpack16(codes[at..], bits).StoreUnsafe(ref to, (nuint)i);
            }

            for (int j = 0; i < part.Length; i++, j++)
            {
                found[i] = (byte)CodePacking.Get(codes[at..], j, bits);
            }

            table.Decode(found[..part.Length], part, tier);
        }
    }
}
