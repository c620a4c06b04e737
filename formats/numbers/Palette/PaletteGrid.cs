using System.Buffers;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace ModelPack.Numbers;

/// <summary>
/// Values of a group counted in equal bins between the smallest and the largest, which takes a fraction of the time of sorting them. Positions are integers of 24 bits, so the sums of a bin are exact and
/// their order does not matter. Groups whose values crowd in few bins, because of outliers or because few are distinct, are refused.
/// </summary>
internal sealed class PaletteGrid : IDisposable
{
    /// <summary>Fewest values worth it.</summary>
    public const int LeastValues = 1024;

    private const int PositionBits = 24;
    private const float LeastRange = 7.888609e-31f; // 2^-100

    private readonly int _binBits;
    private readonly int _crowdShift;
    private readonly int _entries;
    private readonly int[] _counts;
    private readonly long[] _sums;

    /// <param name="bits">The palette has 2^bits entries.</param>
    public PaletteGrid(int bits)
    {
        // Some 20 bins for a cluster of a bell-shaped distribution.
        _binBits = bits <= 5 ? 11 : 13;
        _crowdShift = bits <= 5 ? 7 : 11;
        _entries = 1 << bits;
        _counts = ArrayPool<int>.Shared.Rent(1 << _binBits);
        _sums = ArrayPool<long>.Shared.Rent(1 << _binBits);
    }

    /// <summary>The most points there can be.</summary>
    public int MaxPoints => 1 << _binBits;

    /// <summary>Means and numbers of the values of bins that have any, ascending; 0 for a group that is refused.</summary>
    public int Fill(ReadOnlySpan<float> values, Span<double> points, Span<double> weights)
    {
        if (values.Length < LeastValues)
        {
            return 0;
        }

        (float low, float high) = Range(values);
        float range = high - low;
        if (!(range >= LeastRange && range <= float.MaxValue))
        {
            return 0;
        }

        Span<int> counts = _counts.AsSpan(0, 1 << _binBits);
        Span<long> sums = _sums.AsSpan(0, 1 << _binBits);
        counts.Clear();
        sums.Clear();
        float toPosition = (1 << PositionBits) / range;
        foreach (float value in values)
        {
            int position = Math.Min(float.ConvertToIntegerNative<int>((value - low) * toPosition), (1 << PositionBits) - 1);
            int bin = position >> (PositionBits - _binBits);
            counts[bin]++;
            sums[bin] += position;
        }

        int crowd = (values.Length >> _crowdShift) + 8;
        double step = (double)range / (1 << PositionBits);
        int found = 0;
        for (int bin = 0; bin < counts.Length; bin++)
        {
            int count = counts[bin];
            if (count > crowd)
            {
                return 0;
            }

            if (count > 0)
            {
                points[found] = low + (((sums[bin] / (double)count) + 0.5) * step);
                weights[found++] = count;
            }
        }

        return found >= 4 * _entries ? found : 0;
    }

    public void Dispose()
    {
        ArrayPool<int>.Shared.Return(_counts);
        ArrayPool<long>.Shared.Return(_sums);
    }

    private static (float Low, float High) Range(ReadOnlySpan<float> values)
    {
        ref float x = ref MemoryMarshal.GetReference(values);
        Vector128<float> low = Vector128.LoadUnsafe(ref x);
        Vector128<float> high = low;
        int i = 4;
        for (; i + 4 <= values.Length; i += 4)
        {
            Vector128<float> v = Vector128.LoadUnsafe(ref x, (nuint)i);
            low = Vector128.MinNative(low, v);
            high = Vector128.MaxNative(high, v);
        }

        float least = Math.Min(Math.Min(low[0], low[1]), Math.Min(low[2], low[3]));
        float most = Math.Max(Math.Max(high[0], high[1]), Math.Max(high[2], high[3]));
        for (; i < values.Length; i++)
        {
            least = Math.Min(least, values[i]);
            most = Math.Max(most, values[i]);
        }

        // Either zero may come out as the smallest or the largest; +0 for both.
        return (least + 0f, most + 0f);
    }
}
