using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace ModelPack.Structures;

/// <summary>The loops between elements and masks of one bit per element. Nothing here allocates or fails; the caller has counted the bits.</summary>
internal static class MaskKernel
{
    /// <summary>Puts values where bits are set and zeros elsewhere; values of bits past the row's end are left out.</summary>
    /// <param name="mask">At least a bit per element.</param>
    /// <param name="values">As many as bits are set.</param>
    /// <param name="row">The elements.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Expand<T>(ReadOnlySpan<byte> mask, ReadOnlySpan<T> values, Span<T> row)
        where T : unmanaged
    {
        row.Clear();
        ref T from = ref MemoryMarshal.GetReference(values);
        ref T to = ref MemoryMarshal.GetReference(row);
        for (int at = 0; at < mask.Length; at += sizeof(ulong))
        {
            ulong word = RowMask.Word(mask, at);
            int count = BitOperations.PopCount(word);
            int left = row.Length - (8 * at);
            word = left >= 64 ? word : left <= 0 ? 0 : word & ((1UL << left) - 1);
            ref T value = ref from;
            for (ref T place = ref Unsafe.Add(ref to, 8 * at); word != 0; word &= word - 1)
            {
                Unsafe.Add(ref place, BitOperations.TrailingZeroCount(word)) = value;
                value = ref Unsafe.Add(ref value, 1);
            }

            from = ref Unsafe.Add(ref from, count);
        }
    }

    /// <summary>Collects the elements whose bits are set; bits past the row's end give zeros.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Gather<T>(ReadOnlySpan<byte> mask, ReadOnlySpan<T> row, Span<T> values)
        where T : unmanaged
    {
        int v = 0;
        for (int at = 0; at < mask.Length; at += sizeof(ulong))
        {
            for (ulong word = RowMask.Word(mask, at); word != 0; word &= word - 1)
            {
                int place = (8 * at) + BitOperations.TrailingZeroCount(word);
                values[v++] = place < row.Length ? row[place] : default;
            }
        }
    }

    /// <summary>A bit per element: whether any of its bits is set. -0 is not zero.</summary>
    /// <param name="elements">The elements.</param>
    /// <param name="mask">Room for a bit per element, padded to bytes.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void NonZero<T>(ReadOnlySpan<T> elements, Span<byte> mask)
        where T : unmanaged, IEquatable<T>
    {
        // Lanes are elements: Vector256<T>.Count of them give as many bits, which are 1, 2 or 4 bytes (8-byte elements: half a byte, left to the scalar loop).
        int i = 0;
        if (Vector256.IsHardwareAccelerated && Vector256<T>.Count >= 8)
        {
            ref T from = ref MemoryMarshal.GetReference(elements);
            int bytes = Vector256<T>.Count / 8;
            for (; i <= elements.Length - Vector256<T>.Count; i += Vector256<T>.Count)
            {
                uint bits = ~Vector256.Equals(Vector256.LoadUnsafe(ref from, (nuint)i), Vector256<T>.Zero).ExtractMostSignificantBits();
                ref byte to = ref mask[i / 8];
                if (bytes == 4)
                {
                    Unsafe.WriteUnaligned(ref to, bits);
                }
                else if (bytes == 2)
                {
                    Unsafe.WriteUnaligned(ref to, (ushort)bits);
                }
                else
                {
                    to = (byte)bits;
                }
            }
        }

        NonZeroScalar(elements, mask, i);
    }

    /// <summary>The reference of <see cref="NonZero{T}(ReadOnlySpan{T}, Span{byte})"/>, and the tail of its loop.</summary>
    internal static void NonZeroScalar<T>(ReadOnlySpan<T> elements, Span<byte> mask, int start)
        where T : unmanaged, IEquatable<T>
    {
        mask[(start / 8)..].Clear();
        for (int i = start; i < elements.Length; i++)
        {
            mask[i / 8] |= (byte)((elements[i].Equals(default) ? 0 : 1) << (i % 8));
        }
    }
}
