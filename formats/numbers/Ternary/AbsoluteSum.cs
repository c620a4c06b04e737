namespace ModelPack.Numbers;

/// <summary>Sums of magnitudes in f64, in eight interleaved sums: the same on every machine.</summary>
internal struct AbsoluteSum
{
    private double _total;

    /// <summary>Adds the magnitudes of a row.</summary>
    public void Add(ReadOnlySpan<float> row)
    {
        double a = 0, b = 0, c = 0, d = 0, e = 0, f = 0, g = 0, h = 0;
        int i = 0;
        for (; i + 8 <= row.Length; i += 8)
        {
            a += Math.Abs(row[i]);
            b += Math.Abs(row[i + 1]);
            c += Math.Abs(row[i + 2]);
            d += Math.Abs(row[i + 3]);
            e += Math.Abs(row[i + 4]);
            f += Math.Abs(row[i + 5]);
            g += Math.Abs(row[i + 6]);
            h += Math.Abs(row[i + 7]);
        }

        double sum = ((a + b) + (c + d)) + ((e + f) + (g + h));
        for (; i < row.Length; i++)
        {
            sum += Math.Abs(row[i]);
        }

        _total += sum;
    }

    /// <summary>The mean of all magnitudes, rounded to f32; 0 for none.</summary>
    public readonly float Mean(long count) => count == 0 ? 0 : (float)(_total / count);
}
