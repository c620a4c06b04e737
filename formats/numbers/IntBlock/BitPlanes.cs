using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace ModelPack.Numbers;

/// <summary>
/// Blobs of packed codes to and from bit planes: plane p holds bit p of every code, code i at bit i mod 8 of byte i / 8; planes of a blob follow each other, lowest bit first.
/// </summary>
internal static class BitPlanes
{
    /// <summary>By width: bit 0 of 16 codes of up to 4 bits, or of 8 codes.</summary>
    private static readonly ulong[] GroupMasks = MakeGroupMasks();

    /// <summary>Bytes of one blob of <paramref name="block"/> codes: planes are whole 16-bit words.</summary>
    public static long BlobBytes(long block, int bits) => (block + 15) / 16 * 2 * bits;

    /// <summary>Bytes that may follow a blob for all its groups to go the fast way.</summary>
    public const int Slack = 8;

    private static ulong[] MakeGroupMasks()
    {
        ulong[] masks = new ulong[9];
        for (int bits = 0; bits < masks.Length; bits++)
        {
            for (int i = 0; i < (bits <= 4 ? 16 : 8); i++)
            {
                masks[bits] |= 1ul << (i * bits);
            }
        }

        return masks;
    }

    /// <summary>Splits one packed blob of <paramref name="count"/> codes; codes beyond it are 0. What follows the blob in <paramref name="packed"/> does not matter.</summary>
    public static void Split(ReadOnlySpan<byte> packed, int count, int bits, Span<byte> planes)
    {
        int planeBytes = planes.Length / bits;
        int done = Bmi2.X64.IsSupported ? SplitWhole(packed, count, bits, planes) : 0;
        Span<byte> group = stackalloc byte[16];
        for (int i = done; i < count; i += 16)
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

    /// <summary>The inverse of <see cref="Split"/>; writes the <paramref name="blobBytes"/> bytes of the blob, and anything to the <see cref="Slack"/> bytes that may follow.</summary>
    public static void Join(ReadOnlySpan<byte> planes, int count, int bits, Span<byte> packed, int blobBytes)
    {
        int planeBytes = planes.Length / bits;
        int done = Bmi2.X64.IsSupported ? JoinWhole(planes, count, bits, packed) : 0;
        if (done == count)
        {
            return;
        }

        Span<byte> group = stackalloc byte[16];
        Vector128<byte> spread = Vector128.Create((byte)0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1);
        Vector128<byte> bit = Vector128.Create(0x8040201008040201ul).AsByte();
        for (int i = done; i < count; i += 16)
        {
            Vector128<byte> codes = default;
            for (int p = 0; p < bits; p++)
            {
                Vector128<byte> word = Vector128.Create(MemoryMarshal.Read<ushort>(planes[((p * planeBytes) + (i / 8))..])).AsByte();
                Vector128<byte> set = Vector128.Equals(Vector128.Shuffle(word, spread) & bit, bit);
                codes |= set & Vector128.Create((byte)(1 << p));
            }

            int at = i / 8 * bits;
            int bytes = Math.Min(2 * bits, blobBytes - at);
            CodePacking.Pack16(codes, bits, group);
            group[..bytes].CopyTo(packed[at..]);
        }
    }

    /// <summary>
    /// Whole groups of 16 codes by bit extraction: up to 4 bits the group is one word of which every plane takes its bits, from 5 on two words of 8 codes. Returns how many codes were split.
    /// </summary>
    private static int SplitWhole(ReadOnlySpan<byte> packed, int count, int bits, Span<byte> planes)
    {
        nint planeBytes = planes.Length / bits;
        ref byte from = ref MemoryMarshal.GetReference(packed);
        ref byte to = ref MemoryMarshal.GetReference(planes);
        ulong mask = GroupMasks[bits];
        int i = 0;
        if (bits <= 4)
        {
            // Eight bytes are read of which 2 x bits count.
            for (int at = 0; i + 16 <= count && at + 8 <= packed.Length; i += 16, at += 2 * bits)
            {
                ulong word = Unsafe.ReadUnaligned<ulong>(ref Unsafe.Add(ref from, at));
                ref byte plane = ref Unsafe.Add(ref to, i / 8);
                for (int p = 0; p < bits; p++)
                {
                    Unsafe.WriteUnaligned(ref plane, (ushort)Bmi2.X64.ParallelBitExtract(word, mask << p));
                    plane = ref Unsafe.Add(ref plane, planeBytes);
                }
            }

            return i;
        }

        for (int at = 0; i + 16 <= count && at + bits + 8 <= packed.Length; i += 16, at += 2 * bits)
        {
            ulong low = Unsafe.ReadUnaligned<ulong>(ref Unsafe.Add(ref from, at));
            ulong high = Unsafe.ReadUnaligned<ulong>(ref Unsafe.Add(ref from, at + bits));
            ref byte plane = ref Unsafe.Add(ref to, i / 8);
            for (int p = 0; p < bits; p++)
            {
                ulong word = Bmi2.X64.ParallelBitExtract(low, mask << p) | (Bmi2.X64.ParallelBitExtract(high, mask << p) << 8);
                Unsafe.WriteUnaligned(ref plane, (ushort)word);
                plane = ref Unsafe.Add(ref plane, planeBytes);
            }
        }

        return i;
    }

    /// <summary>The inverse of <see cref="SplitWhole"/> by bit deposition. Groups are written in order with eight bytes each, what is too much being overwritten by the next.</summary>
    private static int JoinWhole(ReadOnlySpan<byte> planes, int count, int bits, Span<byte> packed)
    {
        nint planeBytes = planes.Length / bits;
        ref byte from = ref MemoryMarshal.GetReference(planes);
        ref byte to = ref MemoryMarshal.GetReference(packed);
        ulong mask = GroupMasks[bits];
        int i = 0;
        if (bits <= 4)
        {
            for (int at = 0; i + 16 <= count && at + 8 <= packed.Length; i += 16, at += 2 * bits)
            {
                ref byte plane = ref Unsafe.Add(ref from, i / 8);
                ulong word = 0;
                for (int p = 0; p < bits; p++)
                {
                    word |= Bmi2.X64.ParallelBitDeposit(Unsafe.ReadUnaligned<ushort>(ref plane), mask << p);
                    plane = ref Unsafe.Add(ref plane, planeBytes);
                }

                Unsafe.WriteUnaligned(ref Unsafe.Add(ref to, at), word);
            }

            return i;
        }

        for (int at = 0; i + 16 <= count && at + bits + 8 <= packed.Length; i += 16, at += 2 * bits)
        {
            ref byte plane = ref Unsafe.Add(ref from, i / 8);
            ulong low = 0;
            ulong high = 0;
            for (int p = 0; p < bits; p++)
            {
                ulong word = Unsafe.ReadUnaligned<ushort>(ref plane);
                low |= Bmi2.X64.ParallelBitDeposit(word, mask << p);
                high |= Bmi2.X64.ParallelBitDeposit(word >> 8, mask << p);
                plane = ref Unsafe.Add(ref plane, planeBytes);
            }

            Unsafe.WriteUnaligned(ref Unsafe.Add(ref to, at), low);
            Unsafe.WriteUnaligned(ref Unsafe.Add(ref to, at + bits), high);
        }

        return i;
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
