using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace ModelPack.Numbers;

/// <summary>
/// Blobs of packed codes to and from bit planes: plane p holds bit p of every code, code i at bit i mod 8 of byte i / 8; planes of a blob follow each other, lowest bit first.
/// </summary>
internal static class BitPlanes
{
    /// <summary>Bytes of one blob of <paramref name="block"/> codes: planes are whole 16-bit words.</summary>
    public static long BlobBytes(long block, int bits) => (block + 15) / 16 * 2 * bits;

    /// <summary>Splits one packed blob of <paramref name="count"/> codes; codes beyond it are 0.</summary>
    public static void Split(ReadOnlySpan<byte> packed, int count, int bits, Span<byte> planes)
    {
        int planeBytes = planes.Length / bits;
        Span<byte> group = stackalloc byte[16];
        for (int i = 0; i < count; i += 16)
        {
            Vector128<byte> codes = Load(packed, i, count, bits, group);
            for (int p = 0; p < bits; p++)
            {
                // The bit wanted becomes the highest of its byte; what crosses from byte to byte stays below it.
                uint mask = (codes.AsUInt16() << (7 - p)).AsByte().ExtractMostSignificantBits();
                MemoryMarshal.Write(planes.Slice((p * planeBytes) + (i / 8), 2), (ushort)mask);
            }
        }
    }

    /// <summary>The inverse of <see cref="Split"/>; writes all of <paramref name="packed"/>.</summary>
    public static void Join(ReadOnlySpan<byte> planes, int count, int bits, Span<byte> packed)
    {
        int planeBytes = planes.Length / bits;
        Span<byte> group = stackalloc byte[16];
        Vector128<byte> spread = Vector128.Create((byte)0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1);
        Vector128<byte> bit = Vector128.Create(0x8040201008040201ul).AsByte();
        for (int i = 0; i < count; i += 16)
        {
            Vector128<byte> codes = default;
            for (int p = 0; p < bits; p++)
            {
                Vector128<byte> word = Vector128.Create(MemoryMarshal.Read<ushort>(planes[((p * planeBytes) + (i / 8))..])).AsByte();
                Vector128<byte> set = Vector128.Equals(Vector128.Shuffle(word, spread) & bit, bit);
                codes |= set & Vector128.Create((byte)(1 << p));
            }

            int at = i / 8 * bits;
            int bytes = Math.Min(2 * bits, packed.Length - at);
            CodePacking.Pack16(codes, bits, group);
            group[..bytes].CopyTo(packed[at..]);
        }
    }

    private static Vector128<byte> Load(ReadOnlySpan<byte> packed, int first, int count, int bits, Span<byte> group)
    {
        int at = first / 8 * bits;
        if (count - first >= 16)
        {
            return CodePacking.Unpack16(packed.Slice(at, 2 * bits), bits);
        }

        group.Clear();
        for (int i = 0; i < count - first; i++)
        {
            group[i] = (byte)CodePacking.Get(packed, first + i, bits);
        }

        return Vector128.Create<byte>(group);
    }
}
