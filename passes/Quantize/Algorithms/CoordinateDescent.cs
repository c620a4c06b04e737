using ModelPack.Compiler.Linear;

namespace ModelPack.Passes;

/// <summary>
/// Refines chosen codes and scales by what they do to the output: e H e^T, e being weight less quantised weight and H the second moments of the input. In turn every code takes the best value with all others
/// held, and every scale the best value with all codes held; the error never grows. Starts from the codes of any algorithm, and ends near a point that no single code or scale can improve.
/// </summary>
/// <remarks>
/// With g = H e, the error as a function of the quantised value q[k] alone is a parabola with its minimum at q[k] + g[k] / H[k,k]: its nearest value on the grid is the best one. As a function of the scale of a
/// block with values r it has its minimum at the scale times 1 + r g / r H r. Changes reach g within a unit of columns one by one, all other columns unit by unit.
/// Rounds are counted, not measured: rows must not depend on the rows that share their tile.
/// </remarks>
internal sealed class CoordinateDescent(DampedMoments moments, int rounds)
{
    /// <summary>Least columns whose changes are passed on together; whole blocks.</summary>
    private const int Lazy = 128;

    /// <summary>Scales move by at most this factor in a round.</summary>
    private const double MostGrowth = 1.5;
    private const double MostShrinkage = 0.5;

    /// <summary>Improves the codes of some rows.</summary>
    /// <param name="tile">The weights and the scales; scales are replaced.</param>
    /// <param name="decoded">[rows, K]: what the present codes decode to.</param>
    /// <param name="codes">[rows, K]: replaced.</param>
    /// <param name="losses">[rows] destination: the error of each row at the end, damping included.</param>
    /// <param name="streams">Where the scales are stored.</param>
    public void Run(WeightTile tile, ReadOnlySpan<float> decoded, Span<byte> codes, Span<double> losses, ReadOnlySpan<Memory<byte>> streams)
    {
        int unit = tile.Format.BlockColumns >= Lazy ? tile.Format.BlockColumns : Lazy / tile.Format.BlockColumns * tile.Format.BlockColumns;
        unit = Math.Min(unit, tile.Columns);
        using var state = new State(tile, moments, unit, decoded);
        for (int round = 0; round < rounds; round++)
        {
            for (int first = 0; first < tile.Columns; first += unit)
            {
                ImproveCodes(state, first, Math.Min(unit, tile.Columns - first), codes);
            }

            for (int first = 0; first < tile.Columns; first += unit)
            {
                ImproveScales(state, first, Math.Min(unit, tile.Columns - first), streams);
            }
        }

        tile.StoreScales(streams);
        state.Losses(losses);
    }

    private void ImproveCodes(State state, int first, int count, Span<byte> codes)
    {
        WeightTile tile = state.Tile;
        int rows = tile.Rows;
        byte[] column = new byte[rows];
        float[] rounded = new float[rows];
        Span<float> target = new float[rows];
        Span<float> inverse = stackalloc float[1];
        for (int i = 0; i < count; i++)
        {
            int at = first + i;
            Span<float> gradient = state.CurrentGradient(first, i, 1);
            Span<float> value = state.Values(at, 1);
            inverse[0] = (float)(1 / (double)state.Moments(first, at, 1)[at]);
            value.CopyTo(target);
            SumOfProducts.Run(inverse, 1, 1, gradient, rows, target, rows, 1, 1, rows, subtract: false);
            tile.Round(at, target, column, rounded);
            Span<float> change = state.Changes(i, 1);
            for (int r = 0; r < rows; r++)
            {
                change[r] = rounded[r] - value[r];
                value[r] = rounded[r];
                codes[(r * tile.Columns) + at] = column[r];
            }
        }

        state.PassOn(first, count);
    }

    private static void ImproveScales(State state, int first, int count, ReadOnlySpan<Memory<byte>> streams)
    {
        WeightTile tile = state.Tile;
        int rows = tile.Rows;
        int block = tile.Format.BlockColumns;
        int blocks = (count + block - 1) / block;
        float[][] before = new float[blocks][];
        double[][] curvature = new double[blocks][];
        for (int b = 0; b < blocks; b++)
        {
            int at = first + (b * block);
            int width = Math.Min(block, first + count - at);
            Span<float> scales = tile.Scales(at / block);
            before[b] = scales.ToArray();
            curvature[b] = state.Curvature(first, at, width);
            double[] slope = State.Products(state.Values(at, width), state.Gradient(at, width), rows);
            for (int r = 0; r < rows; r++)
            {
                double factor = curvature[b][r] > 0 ? 1 + (slope[r] / curvature[b][r]) : 1;
                scales[r] = (float)Math.Clamp(before[b][r] * Math.Clamp(factor, MostShrinkage, MostGrowth), float.Epsilon, float.MaxValue);
            }
        }

        tile.StoreScales(streams);
        byte[] codes = new byte[rows];
        float[] values = new float[rows];
        for (int b = 0; b < blocks; b++)
        {
            int offset = b * block;
            int at = first + offset;
            int width = Math.Min(block, count - offset);
            Span<float> scales = tile.Scales(at / block);
            double[] slope = State.Products(state.Values(at, width), state.CurrentGradient(first, offset, width), rows);
            for (int r = 0; r < rows; r++)
            {
                // What is stored is not what was wanted, and blocks before this one have changed: taken only if it is better still.
                double growth = ((double)scales[r] / before[b][r]) - 1;
                scales[r] = growth * ((growth * curvature[b][r]) - (2 * slope[r])) < 0 ? scales[r] : before[b][r];
            }

            for (int i = 0; i < width; i++)
            {
                Span<float> value = state.Values(at + i, 1);
                for (int r = 0; r < rows; r++)
                {
                    values[r] = value[r] / before[b][r] * scales[r];
                }

                tile.Round(at + i, values, codes, values);
                Span<float> change = state.Changes(offset + i, 1);
                for (int r = 0; r < rows; r++)
                {
                    float rounded = scales[r] == before[b][r] ? value[r] : values[r];
                    change[r] = rounded - value[r];
                    value[r] = rounded;
                }
            }
        }

        state.PassOn(first, count);
    }

    /// <summary>The quantised values and what the error does, column by column for all rows of a tile.</summary>
    private sealed class State : IDisposable
    {
        private readonly DampedMoments _moments;
        private readonly NativeArray<float> _values;
        private readonly NativeArray<float> _gradient;
        private readonly NativeArray<float> _changes;
        private readonly NativeArray<float> _scratch;
        private readonly NativeArray<float> _unit;
        private readonly int _unitColumns;
        private readonly int _rows;
        private int _loaded = -1;

        public State(WeightTile tile, DampedMoments moments, int unit, ReadOnlySpan<float> decoded)
        {
            Tile = tile;
            _moments = moments;
            _rows = tile.Rows;
            int size = tile.Columns;
            _values = new NativeArray<float>((long)size * _rows);
            _gradient = new NativeArray<float>((long)size * _rows);
            _changes = new NativeArray<float>((long)unit * _rows);
            _scratch = new NativeArray<float>((long)unit * _rows);
            _unit = new NativeArray<float>((long)unit * size);
            _unitColumns = unit;

            // The gradient of the error e = w - q is H w - H q: begin with q = 0, then set q, by the same way as all changes. Here both at once.
            for (int first = 0; first < size; first += unit)
            {
                int count = Math.Min(unit, size - first);
                for (int i = 0; i < count; i++)
                {
                    Span<float> value = Values(first + i, 1);
                    Span<float> change = Changes(i, 1);
                    ReadOnlySpan<float> weights = tile.Column(first + i);
                    for (int r = 0; r < _rows; r++)
                    {
                        value[r] = decoded[(r * size) + first + i];
                        change[r] = value[r] - weights[r];
                    }
                }

                PassOn(first, count);
            }
        }

        public WeightTile Tile { get; }

        /// <summary>Quantised values, [count, rows].</summary>
        public Span<float> Values(int column, int count) => _values.Slice((long)column * _rows, count * _rows);

        /// <summary>Rows of H, [count, K], of columns of the unit that begins at <paramref name="first"/>.</summary>
        public ReadOnlySpan<float> Moments(int first, int column, int count)
        {
            int size = Tile.Columns;
            if (_loaded != first)
            {
                int all = Math.Min(_unitColumns, size - first);
                _moments.Read(first, all, _unit.Slice(0, all * size));
                _loaded = first;
            }

            return _unit.Slice((long)(column - first) * size, count * size);
        }

        /// <summary>H e as of the last <see cref="PassOn"/>, [count, rows].</summary>
        public Span<float> Gradient(int column, int count) => _gradient.Slice((long)column * _rows, count * _rows);

        /// <summary>Changes of quantised values that were not passed on yet, [count, rows], from the first column of the unit on.</summary>
        public Span<float> Changes(int offset, int count) => _changes.Slice((long)offset * _rows, count * _rows);

        /// <summary>H e with the changes of the columns of the unit before these, [count, rows]; overwritten by the next call.</summary>
        public Span<float> CurrentGradient(int first, int offset, int count)
        {
            Span<float> current = _scratch.Slice(0, count * _rows);
            Gradient(first + offset, count).CopyTo(current);
            for (int i = 0; i < count && offset > 0; i++)
            {
                SumOfProducts.Run(Moments(first, first + offset + i, 1).Slice(first, offset), 1, 1, Changes(0, offset), _rows, current.Slice(i * _rows, _rows), _rows, offset, 1, _rows, subtract: true);
            }

            return current;
        }

        /// <summary>Brings the changes of a unit into the gradient of all columns.</summary>
        public void PassOn(int first, int count)
        {
            int size = Tile.Columns;
            SumOfProducts.Run(Moments(first, first, count), size, 1, Changes(0, count), _rows, _gradient.Slice(0, size * _rows), _rows, count, size, _rows, subtract: true);
        }

        /// <summary>r H r of the values of a block, [rows].</summary>
        public double[] Curvature(int first, int column, int count)
        {
            Span<float> products = _scratch.Slice(0, count * _rows);
            products.Clear();
            SumOfProducts.Run(Moments(first, column, count)[column..], Tile.Columns, 1, Values(column, count), _rows, products, _rows, count, count, _rows, subtract: false);
            return Products(Values(column, count), products, _rows);
        }

        /// <summary>Sums over the columns of products, [rows].</summary>
        public static double[] Products(ReadOnlySpan<float> a, ReadOnlySpan<float> b, int rows)
        {
            double[] sums = new double[rows];
            for (int at = 0; at < a.Length; at += rows)
            {
                for (int r = 0; r < sums.Length; r++)
                {
                    sums[r] += (double)a[at + r] * b[at + r];
                }
            }

            return sums;
        }

        /// <summary>e H e of each row.</summary>
        public void Losses(Span<double> losses)
        {
            losses.Clear();
            for (int column = 0; column < Tile.Columns; column++)
            {
                ReadOnlySpan<float> weights = Tile.Column(column);
                ReadOnlySpan<float> values = Values(column, 1);
                ReadOnlySpan<float> gradient = Gradient(column, 1);
                for (int r = 0; r < _rows; r++)
                {
                    losses[r] += ((double)weights[r] - values[r]) * gradient[r];
                }
            }
        }

        public void Dispose()
        {
            _values.Dispose();
            _gradient.Dispose();
            _changes.Dispose();
            _scratch.Dispose();
            _unit.Dispose();
        }
    }
}
