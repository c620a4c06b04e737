using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace ModelPack.Codecs;

/// <summary>
/// The lowest k bits, 1 to 7, of bytes, packed without gaps: value i takes bits [k i, k (i + 1)) of the plane, bit 0 the lowest of the first byte. So every 8 values take k bytes.
/// </summary>
internal static unsafe class BitPlane
{
    private const ulong Ones = 0x0101_0101_0101_0101;

    // For every k: which byte of the plane goes where, and from which bit the values are taken.
    private static readonly Vector512<byte>[] Spreads = [.. Enumerable.Range(0, 8).Select(Spread)];
    private static readonly Vector512<byte>[] Shifts = [.. Enumerable.Range(0, 8).Select(Shift)];

    /// <summary>Which byte of 8 k holds the beginning of each of 64 values, and up to seven behind it: for a permute of bytes.</summary>
    public static Vector512<byte> Spread64(int bits) => Spreads[bits];

    /// <summary>From which bit each of 64 values is taken then: for a multishift.</summary>
    public static Vector512<byte> Shift64(int bits) => Shifts[bits];

    /// <summary>Bytes of a plane of <paramref name="count"/> values.</summary>
    public static int Bytes(int count, int bits) => (int)((((long)count * bits) + 7) / 8);

    /// <summary>Packs the lowest bits of every value; what is above is ignored. The unused bits of the last byte are 0.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Pack(byte* values, int count, int bits, byte* plane)
    {
        // Eight bytes are written for eight values, k of them count: the next eight values go over the others.
        int i = 0;
        byte* end = plane + Bytes(count, bits);
        ulong mask = Ones * ((1u << bits) - 1);
        for (; i <= count - 8 && end - plane >= 8; i += 8, plane += bits)
        {
            *(ulong*)plane = Bmi2.X64.IsSupported ? Bmi2.X64.ParallelBitExtract(*(ulong*)(values + i), mask) : Gather(*(ulong*)(values + i) & mask, bits);
        }

        for (; i < count; i += 8, plane += bits)
        {
            ulong x = 0;
            for (int j = 0; j < Math.Min(8, count - i); j++)
            {
                x |= (ulong)(values[i + j] & ((1u << bits) - 1)) << (j * bits);
            }

            for (int b = 0; b < bits && plane + b < end; b++)
            {
                plane[b] = (byte)(x >> (8 * b));
            }
        }
    }

    /// <summary>Puts the values of a plane below others: target = high &lt;&lt; k | value. <paramref name="count"/> is a multiple of 8 unless the plane ends there.</summary>
    /// <param name="plane">The first value's byte.</param>
    /// <param name="end">End of the plane.</param>
    /// <param name="bits">k.</param>
    /// <param name="high">What goes above.</param>
    /// <param name="count">How many.</param>
    /// <param name="target">Where to; may be <paramref name="high"/>.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void UnpackBelow(byte* plane, byte* end, int bits, byte* high, int count, byte* target)
    {
        int i = 0;
        Vector512<byte> low = Vector512.Create((byte)((1 << bits) - 1));
        if (Avx512Vbmi.IsSupported)
        {
            // 64 values from 8 k bytes: every 8 bytes get the k bytes of their values, a multishift moves each to the bottom of its byte. The shift of high goes over 16 bits: what
            // it carries into the next byte is where the values go.
            Vector512<byte> spread = Spreads[bits];
            Vector512<byte> shifts = Shifts[bits];
            for (; i <= count - 64 && end - plane >= 64; i += 64, plane += 8 * bits)
            {
                Vector512<byte> values = Avx512Vbmi.MultiShift(shifts, Avx512Vbmi.PermuteVar64x8(Vector512.Load(plane), spread).AsUInt64());
                Vector512<byte> above = (Vector512.Load(high + i).AsUInt16() << bits).AsByte();
                Vector512.ConditionalSelect(low, values, above).Store(target + i);
            }
        }

        ulong mask = Ones * ((1u << bits) - 1);
        for (; i <= count - 8 && end - plane >= 8; i += 8, plane += bits)
        {
            ulong values = Bmi2.X64.IsSupported ? Bmi2.X64.ParallelBitDeposit(*(ulong*)plane, mask) : Scatter(*(ulong*)plane, bits);
            *(ulong*)(target + i) = values | ((*(ulong*)(high + i) << bits) & ~mask);
        }

        for (int bit = 0; i < count; i++, bit += bits)
        {
            int at = bit >> 3;
            int two = plane[at] | (plane + at + 1 < end ? plane[at + 1] << 8 : 0);
            target[i] = (byte)((high[i] << bits) | ((two >> (bit & 7)) & ((1 << bits) - 1)));
        }
    }

    /// <summary>As <see cref="Pack"/>, of the highest bits of every value; what is below is ignored.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void PackUpper(byte* values, int count, int bits, byte* plane)
    {
        // Groups of values, moved down, on the stack: every group of 8 values ends with a whole byte.
        const int group = 256;
        byte* moved = stackalloc byte[group];
        for (int i = 0; i < count; i += group)
        {
            int n = Math.Min(group, count - i);
            TopKernel.ShiftDown(values + i, 8 - bits, n, moved);
            Pack(moved, n, bits, plane + ((long)i * bits / 8));
        }
    }

    /// <summary>The inverse of <see cref="PackUpper"/>: the bits below are zero.</summary>
    /// <param name="plane">The plane, from its first byte.</param>
    /// <param name="end">End of what may be read.</param>
    /// <param name="bits">k.</param>
    /// <param name="count">How many.</param>
    /// <param name="values">Where to.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void UnpackUpper(byte* plane, byte* end, int bits, int count, byte* values)
    {
        int i = 0;
        int zeros = 8 - bits;
        if (Avx512Vbmi.IsSupported)
        {
            // As in UnpackBelow, but every multishift begins as many bits earlier (it goes around within 64 bits): the values come out above as many others, which the mask takes away.
            Vector512<byte> spread = Spreads[bits];
            Vector512<byte> shifts = (Shifts[bits] - Vector512.Create((byte)zeros)) & Vector512.Create((byte)63);
            Vector512<byte> mask = Vector512.Create((byte)(0xff << zeros));
            for (; i <= count - 64 && end - plane >= 64; i += 64, plane += 8 * bits)
            {
                (Avx512Vbmi.MultiShift(shifts, Avx512Vbmi.PermuteVar64x8(Vector512.Load(plane), spread).AsUInt64()) & mask).Store(values + i);
            }
        }

        ulong ones = Ones * ((1u << bits) - 1);
        for (; i <= count - 8 && end - plane >= 8; i += 8, plane += bits)
        {
            *(ulong*)(values + i) = (Bmi2.X64.IsSupported ? Bmi2.X64.ParallelBitDeposit(*(ulong*)plane, ones) : Scatter(*(ulong*)plane, bits)) << zeros;
        }

        for (int bit = 0; i < count; i++, bit += bits)
        {
            int at = bit >> 3;
            int two = plane[at] | (plane + at + 1 < end ? plane[at + 1] << 8 : 0);
            values[i] = (byte)((two >> (bit & 7)) << zeros);
        }
    }

    private static Vector512<byte> Spread(int bits) => Vector512.Create([.. Enumerable.Range(0, 64).Select(i => (byte)((i / 8 * bits) + Math.Min(i % 8, Math.Max(bits, 1) - 1)))]);

    private static Vector512<byte> Shift(int bits) => Vector512.Create([.. Enumerable.Range(0, 64).Select(i => (byte)(i % 8 * bits))]);

    private static ulong Gather(ulong x, int bits)
    {
        ulong packed = 0;
        for (int j = 0; j < 8; j++)
        {
            packed |= ((x >> (8 * j)) & 0xff) << (bits * j);
        }

        return packed;
    }

    private static ulong Scatter(ulong x, int bits)
    {
        ulong mask = (1u << bits) - 1;
        ulong spread = 0;
        for (int j = 0; j < 8; j++)
        {
            spread |= ((x >> (bits * j)) & mask) << (8 * j);
        }

        return spread;
    }
}
