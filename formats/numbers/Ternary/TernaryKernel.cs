using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace ModelPack.Numbers;

/// <summary>
/// Ternary rows over 16 lanes. Encoding scales, clamps and rounds by adding 1.5 x 2^23; the low byte plus 1 is the code. Two-bit codes are packed as <see cref="CodePacking"/> does; base 3 joins
/// five groups of 16 codes by Horner's rule in bytes. Decoding looks codes up in a table of -g, 0, g. Partial groups at the end of a row go through <see cref="TernaryReference"/>.
/// </summary>
internal static class TernaryKernel<TLanes>
    where TLanes : struct, ILanes16<TLanes>
{
    public static void EncodeRow(ReadOnlySpan<float> row, TernaryScale scale, bool base3, Span<byte> codes)
    {
        var map = new TernaryMap<TLanes>(scale);
        ref float x = ref MemoryMarshal.GetReference(row);
        if (!base3)
        {
            int i = 0;
            for (; i + 16 <= row.Length; i += 16)
            {
                CodePacking.Pack16(map.Codes(ref Unsafe.Add(ref x, i)), 2, codes.Slice(i / 4, 4));
            }

            TernaryReference.EncodeRow(row[i..], scale, base3: false, codes[(i / 4)..]);
            return;
        }

        Span<byte> values = stackalloc byte[16];
        int at = 0;
        int first = 0;
        for (; first + 80 <= row.Length; first += 80, at += 16)
        {
            Vector128<byte> packed = map.Codes(ref Unsafe.Add(ref x, first));
            for (int k = 1; k < 5; k++)
            {
                packed = packed + packed + packed + map.Codes(ref Unsafe.Add(ref x, first + (16 * k)));
            }

            packed.CopyTo(values);
            Span<byte> to = codes.Slice(at, 16);
            for (int m = 0; m < 16; m++)
            {
                to[m] = Trits.Fractions[values[m]];
            }
        }

        TernaryReference.EncodeRow(row[first..], scale, base3: true, codes[at..]);
    }

    public static void DecodeRow(ReadOnlySpan<byte> codes, float value, bool base3, Span<float> row)
    {
        Span<float> entries = stackalloc float[16];
        entries.Clear();
        entries[0] = -value;
        entries[1] = 0 * value; // -0 for a negative magnitude, which only foreign encoders write.
        entries[2] = value;
        entries[3] = 2 * value;
        TLanes table = TLanes.Load(in MemoryMarshal.GetReference(entries));
        ref float to = ref MemoryMarshal.GetReference(row);
        if (!base3)
        {
            int i = 0;
            for (; i + 16 <= row.Length; i += 16)
            {
                TLanes.Store(TLanes.Lookup16(table, TLanes.FromBytes(CodePacking.Unpack16Of2(MemoryMarshal.Read<uint>(codes[(i / 4)..])))), ref Unsafe.Add(ref to, i));
            }

            TernaryReference.DecodeRow(codes[(i / 4)..], value, base3: false, row[i..]);
            return;
        }

        int at = 0;
        int first = 0;
        for (; first + 80 <= row.Length; first += 80, at += 16)
        {
            Vector128<byte> fractions = Vector128.Create<byte>(codes.Slice(at, 16));
            for (int k = 0; k < 5; k++)
            {
                TLanes.Store(TLanes.Lookup16(table, TLanes.FromBytes(Trits.Leading(fractions))), ref Unsafe.Add(ref to, first + (16 * k)));
                fractions = Trits.Next(fractions);
            }
        }

        TernaryReference.DecodeRow(codes[at..], value, base3: true, row[first..]);
    }
}
