using System.Buffers;

namespace ModelPack.Toolchain;

/// <summary>Streaming comparison of two tensors of the same shape, in tiles, with sums in double precision.</summary>
internal static class TensorDifference
{
    private const int TileElements = 1 << 18;

    /// <summary>Compares values read through two readers of equal shape.</summary>
    public static ComparedTensor Compare(string name, IValueReader a, IValueReader b, CancellationToken cancellation)
    {
        long columns = Math.Max(a.Shape.Columns, 1);
        int rowsPerTile = (int)Math.Clamp(TileElements / columns, 1, TileElements);
        int tile = checked((int)(rowsPerTile * columns));
        float[] x = ArrayPool<float>.Shared.Rent(tile);
        float[] y = ArrayPool<float>.Shared.Rent(tile);
        double signal = 0, noise = 0, worst = 0;
        try
        {
            for (long row = 0; row < a.Shape.Rows && a.Shape.ElementCount > 0; row += rowsPerTile)
            {
                cancellation.ThrowIfCancellationRequested();
                int rows = (int)Math.Min(rowsPerTile, a.Shape.Rows - row);
                int n = (int)(rows * columns);
                a.ReadRows(row, rows, x.AsSpan(0, n));
                b.ReadRows(row, rows, y.AsSpan(0, n));
                Accumulate(x.AsSpan(0, n), y.AsSpan(0, n), ref signal, ref noise, ref worst);
            }
        }
        finally
        {
            ArrayPool<float>.Shared.Return(x);
            ArrayPool<float>.Shared.Return(y);
        }

        return new ComparedTensor
        {
            Name = name,
            Identical = false,
            MaxAbsError = worst,
            RelativeError = noise == 0 ? 0 : signal == 0 ? double.PositiveInfinity : Math.Sqrt(noise / signal),
            SqnrDb = noise == 0 ? null : signal == 0 ? double.NegativeInfinity : 10 * Math.Log10(signal / noise),
        };
    }

    /// <summary>Adds one tile; NaN counts as equal to NaN.</summary>
    private static void Accumulate(ReadOnlySpan<float> a, ReadOnlySpan<float> b, ref double signal, ref double noise, ref double worst)
    {
        for (int i = 0; i < a.Length; i++)
        {
            if (a[i].Equals(b[i]))
            {
                signal += float.IsFinite(a[i]) ? (double)a[i] * a[i] : 0;
                continue;
            }

            double difference = (double)a[i] - b[i];
            signal += (double)a[i] * a[i];
            noise += difference * difference;
            worst = Math.Max(worst, Math.Abs(difference));
        }
    }
}
