using System.Globalization;
using System.Runtime.Intrinsics;
using ModelPack.Compiler.Linear;

namespace ModelPack.Compiler.Calibration;

/// <summary>
/// Collects the statistics of one tap as its values stream by; nothing is kept of them. Results depend on how the values are cut into calls, not on the number of threads and the instruction set.
/// </summary>
public sealed class StatisticsCollector : IDisposable
{
    /// <summary>Vectors whose products are summed before they are added to the sums of all: keeps f32 sums short.</summary>
    private const int Chunk = 256;

    /// <summary>Rows of the moments that one task works on.</summary>
    private const int Strip = 64;

    private readonly CalibrationTap _tap;
    private readonly float[] _minimum;
    private readonly float[] _maximum;
    private readonly double[] _sums;
    private readonly double[] _squares;
    private readonly Histogram _histogram = new();
    private NativeArray<float>? _moments;
    private NativeArray<float>? _drift;
    private float[]? _difference;
    private long _rows;

    /// <summary>A collector that has seen nothing.</summary>
    public StatisticsCollector(CalibrationTap tap)
    {
        ArgumentNullException.ThrowIfNull(tap);
        _tap = tap;
        _minimum = new float[tap.Columns];
        _maximum = new float[tap.Columns];
        _sums = new double[tap.Columns];
        _squares = new double[tap.Columns];
        _minimum.AsSpan().Fill(float.PositiveInfinity);
        _maximum.AsSpan().Fill(float.NegativeInfinity);
        _moments = tap.SecondMoments ? new NativeArray<float>((long)tap.Columns * tap.Columns) : null;
        _drift = tap.Drift ? new NativeArray<float>((long)tap.Columns * tap.Columns) : null;
    }

    /// <summary>Adds vectors.</summary>
    /// <param name="values">[rows, K], row-major.</param>
    /// <param name="reference">What they are in the model without compressed layers, [rows, K]; empty where that is not asked for or nothing differs.</param>
    /// <param name="threads">Worker threads.</param>
    /// <exception cref="ModelPackException">MP2211: a value is NaN or infinite. MP2212: not whole vectors.</exception>
    public void Add(ReadOnlyMemory<float> values, ReadOnlyMemory<float> reference, int threads)
    {
        int columns = _tap.Columns;
        if (columns == 0 || values.Length % columns != 0 || (!reference.IsEmpty && reference.Length != values.Length))
        {
            throw new ModelPackException(ErrorCodes.CalibrationShape, string.Create(CultureInfo.InvariantCulture, $"value '{_tap.Value}' has {values.Length} elements, no whole number of vectors of {columns}"));
        }

        if (columns == 1)
        {
            AddRange(values.Span);
        }
        else
        {
            AddRanges(values.Span);
        }

        _histogram.Add(values.Span);
        _rows += values.Length / columns;
        if (_moments is not null)
        {
            for (int at = 0; at < values.Length; at += Chunk * columns)
            {
                ReadOnlyMemory<float> chunk = values.Slice(at, Math.Min(Chunk * columns, values.Length - at));
                AddProducts(chunk, chunk, _moments, upperOnly: true, threads);
            }
        }

        if (_drift is not null && !reference.IsEmpty)
        {
            float[] difference = _difference ??= new float[Chunk * columns];
            for (int at = 0; at < values.Length; at += Chunk * columns)
            {
                ReadOnlyMemory<float> chunk = values.Slice(at, Math.Min(Chunk * columns, values.Length - at));
                Subtract(reference.Span.Slice(at, chunk.Length), chunk.Span, difference);
                AddProducts(difference.AsMemory(0, chunk.Length), chunk, _drift, upperOnly: false, threads);
            }
        }
    }

    /// <summary>The statistics; the collector is used up and must be disposed only if this was not called.</summary>
    public ActivationStatistics Finish()
    {
        NativeArray<float>? moments = _moments;
        NativeArray<float>? drift = _drift;
        (_moments, _drift) = (null, null);
        if (moments is not null)
        {
            Mirror(moments, _tap.Columns);
        }

        return new ActivationStatistics(_tap, _rows, _minimum, _maximum, _sums, _squares, _histogram, moments is null ? null : new NativeTensorData(moments), drift is null ? null : new NativeTensorData(drift));
    }

    public void Dispose()
    {
        _moments?.Dispose();
        _drift?.Dispose();
    }

    private void AddRanges(ReadOnlySpan<float> values)
    {
        int columns = _tap.Columns;
        for (int at = 0; at < values.Length; at += columns)
        {
            ReadOnlySpan<float> row = values.Slice(at, columns);
            for (int c = 0; c < row.Length; c++)
            {
                float value = row[c];
                if (!float.IsFinite(value))
                {
                    throw NotFinite(value, c, _rows + (at / columns));
                }

                _minimum[c] = Math.Min(_minimum[c], value);
                _maximum[c] = Math.Max(_maximum[c], value);
                _sums[c] += value;
                _squares[c] += (double)value * value;
            }
        }
    }

    /// <summary>As <see cref="AddRanges"/> for values that are not told apart by channel.</summary>
    private void AddRange(ReadOnlySpan<float> values)
    {
        float least = _minimum[0];
        float greatest = _maximum[0];
        int i = 0;
        if (values.Length >= Vector256<float>.Count)
        {
            // One NaN or infinity makes the sum of the products with zero NaN.
            Vector256<float> low = Vector256.Create(least);
            Vector256<float> high = Vector256.Create(greatest);
            Vector256<float> odd = Vector256<float>.Zero;
            for (; i <= values.Length - Vector256<float>.Count; i += Vector256<float>.Count)
            {
                Vector256<float> v = Vector256.Create(values.Slice(i, Vector256<float>.Count));
                odd += v * Vector256<float>.Zero;
                low = Vector256.Min(low, v);
                high = Vector256.Max(high, v);
            }

            i = float.IsNaN(Vector256.Sum(odd)) ? 0 : i;
            for (int lane = 0; lane < Vector256<float>.Count && i > 0; lane++)
            {
                (least, greatest) = (Math.Min(least, low[lane]), Math.Max(greatest, high[lane]));
            }
        }

        for (; i < values.Length; i++)
        {
            if (!float.IsFinite(values[i]))
            {
                throw NotFinite(values[i], 0, _rows + i);
            }

            (least, greatest) = (Math.Min(least, values[i]), Math.Max(greatest, values[i]));
        }

        (_minimum[0], _maximum[0]) = (least, greatest);
        AddSums(values);
    }

    /// <summary>In eight partial sums each, in f64, the same on every instruction set.</summary>
    private void AddSums(ReadOnlySpan<float> values)
    {
        Vector512<double> sums = Vector512<double>.Zero;
        Vector512<double> squares = Vector512<double>.Zero;
        int i = 0;
        for (; i <= values.Length - Vector256<float>.Count; i += Vector256<float>.Count)
        {
            (Vector256<double> low, Vector256<double> high) = Vector256.Widen(Vector256.Create(values.Slice(i, Vector256<float>.Count)));
            Vector512<double> v = Vector512.Create(low, high);
            sums += v;
            squares += v * v;
        }

        for (int lane = 0; i < values.Length; i++, lane++)
        {
            double value = values[i];
            sums = sums.WithElement(lane, sums[lane] + value);
            squares = squares.WithElement(lane, squares[lane] + (value * value));
        }

        _sums[0] += Sum(sums);
        _squares[0] += Sum(squares);
    }

    private static double Sum(Vector512<double> v) => ((v[0] + v[4]) + (v[2] + v[6])) + ((v[1] + v[5]) + (v[3] + v[7]));

    private ModelPackException NotFinite(float value, int channel, long vector) => new(
        ErrorCodes.CalibrationNotFinite,
        string.Create(CultureInfo.InvariantCulture, $"value '{_tap.Value}' holds {value} at channel {channel} of vector {vector}: the model or the calibration data is not usable"));

    private static void Subtract(ReadOnlySpan<float> from, ReadOnlySpan<float> what, Span<float> difference)
    {
        for (int i = 0; i < from.Length; i++)
        {
            difference[i] = from[i] - what[i];
        }
    }

    /// <summary>left^T right in strips of rows. Of symmetric products the upper triangle only; within a strip what lies below the diagonal is computed and never read.</summary>
    private void AddProducts(ReadOnlyMemory<float> left, ReadOnlyMemory<float> right, NativeArray<float> to, bool upperOnly, int threads)
    {
        int columns = _tap.Columns;
        int depth = left.Length / columns;
        Parallel.For(0, (columns + Strip - 1) / Strip, new ParallelOptions { MaxDegreeOfParallelism = Math.Max(1, threads) }, strip =>
        {
            int first = strip * Strip;
            int rows = Math.Min(Strip, columns - first);
            int from = upperOnly ? first : 0;
            Span<float> sums = to.Slice(((long)first * columns) + from, ((rows - 1) * columns) + columns - from);
            SumOfProducts.Run(left.Span[first..], columns, 1, right.Span[from..], columns, sums, columns, depth, rows, columns - from, subtract: false);
        });
    }

    private static void Mirror(NativeArray<float> moments, int size)
    {
        for (int row = 1; row < size; row++)
        {
            Span<float> target = moments.Slice((long)row * size, row);
            for (int column = 0; column < row; column++)
            {
                target[column] = moments.Slice(((long)column * size) + row, 1)[0];
            }
        }
    }
}
