using System.Buffers;
using System.Runtime.CompilerServices;
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

    /// <summary>While a run of values is counted, a bin is one integer: how many, above the sum of what their positions are past the start of the bin.</summary>
    private const int CountShift = 40;

    private const ulong One = 1ul << CountShift;
    private const int MaxRun = 1 << 16;

    private readonly int _binBits;
    private readonly int _crowdShift;
    private readonly int _entries;
    private readonly ulong[] _bins;
    private readonly int[] _counts;
    private readonly long[] _sums;

    /// <param name="bits">The palette has 2^bits entries.</param>
    public PaletteGrid(int bits)
    {
        // At least 16 bins for an average cluster, and no bin with more than 16 times the average.
        _binBits = bits <= 4 ? 8 : Math.Min(12, bits + 5);
        _crowdShift = _binBits - 4;
        _entries = 1 << bits;
        _bins = ArrayPool<ulong>.Shared.Rent(1 << _binBits);
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

        Span<ulong> bins = _bins.AsSpan(0, 1 << _binBits);
        Span<int> counts = _counts.AsSpan(0, bins.Length);
        Span<long> sums = _sums.AsSpan(0, bins.Length);
        counts.Clear();
        sums.Clear();
        for (int start = 0; start < values.Length; start += MaxRun)
        {
            Count(values.Slice(start, Math.Min(MaxRun, values.Length - start)), low, range, bins);
            Add(bins, counts, sums);
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
        ArrayPool<ulong>.Shared.Return(_bins);
        ArrayPool<int>.Shared.Return(_counts);
        ArrayPool<long>.Shared.Return(_sums);
    }

    /// <summary>Counts a run of values. Positions are clamped, so that no value whatever leads outside the bins.</summary>
    private void Count(ReadOnlySpan<float> values, float low, float range, Span<ulong> bins)
    {
        const int Lanes = 16;
        bins.Clear();
        int shift = PositionBits - _binBits;
        uint lowMask = (1u << shift) - 1;
        Span<int> positions = stackalloc int[Lanes];
        ref int first = ref MemoryMarshal.GetReference(positions);
        ref ulong bin = ref MemoryMarshal.GetReference(bins);
        ref float x = ref MemoryMarshal.GetReference(values);
        float toPosition = (1 << PositionBits) / range;
        var lows = Vector512.Create(low);
        var scale = Vector512.Create(toPosition);
        var most = Vector512.Create((1 << PositionBits) - 1);
        int i = 0;
        for (; i + Lanes <= values.Length; i += Lanes)
        {
            Vector512<int> p = Vector512.ConvertToInt32Native((Vector512.LoadUnsafe(ref x, (nuint)i) - lows) * scale);
            Vector512.Max(Vector512.Min(p, most), Vector512<int>.Zero).StoreUnsafe(ref first);
            for (int j = 0; j < Lanes; j++)
            {
                uint position = (uint)Unsafe.Add(ref first, j);
                Unsafe.Add(ref bin, position >> shift) += One | (position & lowMask);
            }
        }

        for (; i < values.Length; i++)
        {
            uint position = (uint)Math.Clamp(float.ConvertToIntegerNative<int>((values[i] - low) * toPosition), 0, (1 << PositionBits) - 1);
            bins[(int)(position >> shift)] += One | (position & lowMask);
        }
    }

    /// <summary>Adds a counted run to the whole numbers and sums of positions.</summary>
    private void Add(ReadOnlySpan<ulong> bins, Span<int> counts, Span<long> sums)
    {
        int shift = PositionBits - _binBits;
        for (int bin = 0; bin < bins.Length; bin++)
        {
            int count = (int)(bins[bin] >> CountShift);
            counts[bin] += count;
            sums[bin] += (long)(bins[bin] & (One - 1)) + ((long)count * bin << shift);
        }
    }

    private static (float Low, float High) Range(ReadOnlySpan<float> values)
    {
        ref float x = ref MemoryMarshal.GetReference(values);
        Vector512<float> low = Vector512.LoadUnsafe(ref x);
        Vector512<float> high = low;
        int i = 16;
        for (; i + 16 <= values.Length; i += 16)
        {
            Vector512<float> v = Vector512.LoadUnsafe(ref x, (nuint)i);
            low = Vector512.MinNative(low, v);
            high = Vector512.MaxNative(high, v);
        }

        float least = low[0];
        float most = high[0];
        for (int lane = 1; lane < 16; lane++)
        {
            least = Math.Min(least, low[lane]);
            most = Math.Max(most, high[lane]);
        }

        for (; i < values.Length; i++)
        {
            least = Math.Min(least, values[i]);
            most = Math.Max(most, values[i]);
        }

        // Either zero may come out as the smallest or the largest; +0 for both.
        return (least + 0f, most + 0f);
    }
}
