using System.Buffers.Binary;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace ModelPack.Codecs;

/// <summary>Upper bits of more than 8: the 256 values that follow each other and hold most of them; what is outside are outliers.</summary>
internal static unsafe class TopWindow
{
    private const int Window = 256;

    /// <summary>Finds the first value of the window.</summary>
    /// <param name="high">The highest byte of every element.</param>
    /// <param name="low">The second.</param>
    /// <param name="bits">Bits of the second that are below the upper bits.</param>
    /// <param name="topBits">Number of upper bits, 9 to 16.</param>
    /// <param name="count">Elements.</param>
    /// <param name="outliers">How many are outside.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static int Find(byte* high, byte* low, int bits, int topBits, int count, out int outliers)
    {
        (int smallest, int largest) = Range(high, low, bits, count);
        outliers = 0;
        if (largest - smallest < Window)
        {
            return smallest;
        }

        int* counts = stackalloc int[1 << 12];
        int values = 1 << topBits;
        if (topBits > 12)
        {
            outliers = count;
            return 0;
        }

        new Span<int>(counts, values).Clear();
        for (int i = 0; i < count; i++)
        {
            counts[((high[i] << 8) | low[i]) >> bits]++;
        }

        int inside = 0;
        int best = 0;
        int start = 0;
        for (int v = 0; v < values; v++)
        {
            inside += counts[v] - (v >= Window ? counts[v - Window] : 0);
            if (inside > best)
            {
                best = inside;
                start = Math.Max(0, v - Window + 1);
            }
        }

        outliers = count - best;
        return start;
    }

    /// <summary>Writes position and upper bits of every element outside the window.</summary>
    public static void WriteOutliers(byte* high, byte* low, int bits, int first, int count, Span<byte> destination)
    {
        for (int i = 0; i < count; i++)
        {
            int top = ((high[i] << 8) | low[i]) >> bits;
            if ((uint)(top - first) >= Window)
            {
                BinaryPrimitives.WriteInt32LittleEndian(destination, i);
                BinaryPrimitives.WriteUInt16LittleEndian(destination[4..], (ushort)top);
                destination = destination[RansLayout.OutlierBytes..];
            }
        }
    }

    private static (int Smallest, int Largest) Range(byte* high, byte* low, int bits, int count)
    {
        Vector512<ushort> min = Vector512<ushort>.AllBitsSet;
        Vector512<ushort> max = Vector512<ushort>.Zero;
        int i = 0;
        for (; i <= count - 64; i += 64)
        {
            (Vector512<ushort> h0, Vector512<ushort> h1) = Vector512.Widen(Vector512.Load(high + i));
            (Vector512<ushort> l0, Vector512<ushort> l1) = Vector512.Widen(Vector512.Load(low + i));
            Vector512<ushort> x0 = (h0 << 8) | l0;
            Vector512<ushort> x1 = (h1 << 8) | l1;
            min = Vector512.Min(min, Vector512.Min(x0, x1));
            max = Vector512.Max(max, Vector512.Max(x0, x1));
        }

        int smallest = ushort.MaxValue;
        int largest = 0;
        for (int lane = 0; lane < Vector512<ushort>.Count && i > 0; lane++)
        {
            smallest = Math.Min(smallest, min[lane]);
            largest = Math.Max(largest, max[lane]);
        }

        for (; i < count; i++)
        {
            int x = (high[i] << 8) | low[i];
            smallest = Math.Min(smallest, x);
            largest = Math.Max(largest, x);
        }

        return (smallest >> bits, largest >> bits);
    }
}
