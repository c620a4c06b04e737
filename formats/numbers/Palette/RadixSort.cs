using System.Buffers;

namespace ModelPack.Numbers;

/// <summary>Sorts 32-bit integers in three passes over 11 bits each.</summary>
internal static class RadixSort
{
    private const int Digits = 1 << 11;

    public static void Sort(Span<int> keys)
    {
        if (keys.Length < 512)
        {
            keys.Sort();
            return;
        }

        int[] rented = ArrayPool<int>.Shared.Rent(keys.Length);
        Span<int> other = rented.AsSpan(0, keys.Length);
        Span<int> counts = stackalloc int[3 * Digits];
        counts.Clear();
        foreach (int key in keys)
        {
            uint u = (uint)key ^ 0x80000000;
            counts[(int)(u & (Digits - 1))]++;
            counts[Digits + (int)((u >> 11) & (Digits - 1))]++;
            counts[(2 * Digits) + (int)(u >> 22)]++;
        }

        Pass(keys, other, counts[..Digits], 0);
        Pass(other, keys, counts.Slice(Digits, Digits), 11);
        Pass(keys, other, counts[(2 * Digits)..], 22);
        other.CopyTo(keys);
        ArrayPool<int>.Shared.Return(rented);
    }

    private static void Pass(ReadOnlySpan<int> from, Span<int> to, Span<int> counts, int shift)
    {
        int sum = 0;
        foreach (ref int count in counts)
        {
            (count, sum) = (sum, sum + count);
        }

        foreach (int key in from)
        {
            int digit = (int)((((uint)key ^ 0x80000000) >> shift) & (Digits - 1));
            to[counts[digit]++] = key;
        }
    }
}
