using System.Buffers;

namespace ModelPack.Numbers;

/// <summary>
/// Chooses the palette of values that are added piece by piece; their order does not matter. Few values are kept and sorted. Many are counted in 2^18 bins by the upper bits of their key
/// (2^-9 of a binade each) with the sum of the lower bits as an integer, so means of bins are exact. A set of distinct values is kept beside it until it outgrows the palette.
/// </summary>
internal sealed class PaletteChooser : IDisposable
{
    private const long MaxKept = 1 << 17;
    private const int LowBits = 14;

    private readonly int _bits;
    private readonly ClusterEffort _effort;
    private readonly int[] _keys;
    private readonly bool _keep;
    private readonly long[] _counts;
    private readonly ulong[] _lows;
    private readonly DistinctKeys _distinct;
    private int _kept;

    /// <param name="bits">The palette has 2^bits entries.</param>
    /// <param name="count">How many values will be added.</param>
    /// <param name="effort">For the search.</param>
    public PaletteChooser(int bits, long count, ClusterEffort effort)
    {
        _bits = bits;
        _effort = effort;
        _keep = count <= MaxKept;
        _keys = _keep ? ArrayPool<int>.Shared.Rent((int)Math.Max(1, count)) : [];
        _counts = _keep ? [] : new long[1 << (32 - LowBits)];
        _lows = _keep ? [] : new ulong[_counts.Length];
        _distinct = new DistinctKeys(_keep ? 0 : 1 << bits);
    }

    /// <summary>Forgets all values.</summary>
    public void Clear()
    {
        _kept = 0;
        _counts.AsSpan().Clear();
        _lows.AsSpan().Clear();
        _distinct.Clear();
    }

    /// <summary>Adds finite values.</summary>
    public void Add(ReadOnlySpan<float> values)
    {
        if (_keep)
        {
            Span<int> keys = _keys.AsSpan(_kept, values.Length);
            for (int i = 0; i < values.Length; i++)
            {
                keys[i] = FloatKey.Of(values[i]);
            }

            _kept += values.Length;
            return;
        }

        if (!_distinct.IsFull)
        {
            foreach (float value in values)
            {
                _distinct.Add(FloatKey.Of(value));
            }
        }

        Span<long> counts = _counts;
        Span<ulong> lows = _lows;
        foreach (float value in values)
        {
            int bin = (int)(((uint)FloatKey.Of(value) ^ 0x80000000) >> LowBits);
            counts[bin]++;
            lows[bin] += BitConverter.SingleToUInt32Bits(value) & ((1 << LowBits) - 1);
        }
    }

    /// <summary>The 2^bits entries, ascending; where the values have no more distinct values, these, the largest repeated.</summary>
    public void Choose(Span<float> palette)
    {
        if (!_keep && !_distinct.IsFull)
        {
            Span<int> keys = stackalloc int[_distinct.Count];
            _distinct.CopyTo(keys);
            keys.Sort();
            Fill(palette, keys);
            return;
        }

        if (_keep)
        {
            RadixSort.Sort(_keys.AsSpan(0, _kept));
        }

        int most = _keep ? _kept : _counts.Length;
        double[] points = ArrayPool<double>.Shared.Rent(Math.Max(1, most));
        double[] weights = ArrayPool<double>.Shared.Rent(Math.Max(1, most));
        double[] centres = ArrayPool<double>.Shared.Rent(1 << _bits);
        try
        {
            int count = _keep ? FromKeys(points, weights) : FromBins(points, weights);
            if (_keep && count <= palette.Length)
            {
                // Only for kept values: with fewer distinct values than entries the set above is not full.
                Span<int> keys = stackalloc int[count];
                DistinctSorted(keys);
                Fill(palette, keys);
                return;
            }

            Span<double> solved = centres.AsSpan(0, palette.Length);
            Clusters.Solve(points.AsSpan(0, count), weights.AsSpan(0, count), _effort, solved);
            for (int i = 0; i < palette.Length; i++)
            {
                palette[i] = (float)solved[i];
            }
        }
        finally
        {
            ArrayPool<double>.Shared.Return(points);
            ArrayPool<double>.Shared.Return(weights);
            ArrayPool<double>.Shared.Return(centres);
        }
    }

    public void Dispose()
    {
        if (_keep)
        {
            ArrayPool<int>.Shared.Return(_keys);
        }
    }

    private static void Fill(Span<float> palette, ReadOnlySpan<int> keys)
    {
        for (int i = 0; i < palette.Length; i++)
        {
            palette[i] = keys.IsEmpty ? 0 : FloatKey.Value(keys[Math.Min(i, keys.Length - 1)]);
        }
    }

    /// <summary>Distinct kept values with their numbers.</summary>
    private int FromKeys(Span<double> points, Span<double> weights)
    {
        int count = 0;
        for (int i = 0; i < _kept; i++)
        {
            if (i > 0 && _keys[i] == _keys[i - 1])
            {
                weights[count - 1]++;
            }
            else
            {
                points[count] = FloatKey.Value(_keys[i]);
                weights[count++] = 1;
            }
        }

        return count;
    }

    private void DistinctSorted(Span<int> distinct)
    {
        int count = 0;
        for (int i = 0; i < _kept; i++)
        {
            if (i == 0 || _keys[i] != _keys[i - 1])
            {
                distinct[count++] = _keys[i];
            }
        }
    }

    /// <summary>Bins that have values: their means and numbers.</summary>
    private int FromBins(Span<double> points, Span<double> weights)
    {
        int count = 0;
        for (int bin = 0; bin < _counts.Length; bin++)
        {
            long n = _counts[bin];
            if (n > 0)
            {
                // All values of a bin have one sign and exponent: value = sign x (first + low x ulp), and the mean of the lows gives the mean.
                int key = (int)(((uint)bin << LowBits) ^ 0x80000000);
                uint bits = (uint)(key ^ ((key >> 31) & 0x7FFFFFFF)) & ~((1u << LowBits) - 1);
                uint exponent = Math.Max(1, (bits >> 23) & 0xFF);
                double ulp = BitConverter.UInt64BitsToDouble((ulong)(exponent - 150 + 1023) << 52);
                double magnitude = Math.Abs((double)BitConverter.UInt32BitsToSingle(bits)) + (_lows[bin] / (double)n * ulp);
                points[count] = bits >> 31 == 0 ? magnitude : -magnitude;
                weights[count++] = n;
            }
        }

        return count;
    }
}
