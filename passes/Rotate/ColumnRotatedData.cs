using System.Buffers;
using System.Runtime.InteropServices;

namespace ModelPack.Passes;

/// <summary>
/// A matrix whose columns are rotated, and its rows too where that is asked for: L^T W R. A rotation down the columns needs whole blocks of rows, so the matrix is computed once, when it is first read, in strips of
/// columns that are handed to the pass's storage (memory, then disk); reading puts rows together from the strips.
/// </summary>
/// <param name="source">W.</param>
/// <param name="down">Over the rows of the matrix, along its columns.</param>
/// <param name="along">Over the columns of the matrix, along its rows; null for none.</param>
/// <param name="keep">Takes the strips.</param>
internal sealed class ColumnRotatedData(StoredFloats source, ChannelRotation down, ChannelRotation? along, Func<ReadOnlyMemory<byte>, TensorData> keep) : ComputedFloats(source.Rows * source.Columns)
{
    /// <summary>Numbers that are in memory while a strip is computed.</summary>
    private const int StripElements = 1 << 20;

    private readonly Lock _lock = new();
    private readonly int _width = Width(source.Columns, down.Block.Order, along?.Block.Order ?? 1);
    private TensorData[]? _strips;

    protected override void Compute(long from, Span<float> values)
    {
        TensorData[] strips = Strips();
        int order = down.Block.Order;
        int perBlock = (source.Columns + _width - 1) / _width;
        while (!values.IsEmpty)
        {
            long row = from / source.Columns;
            int column = (int)(from % source.Columns);
            int strip = column / _width;
            int begin = strip * _width;
            int width = Math.Min(_width, source.Columns - begin);
            int count = Math.Min(values.Length, begin + width - column);
            TensorData data = strips[(row / order * perBlock) + strip];
            data.Read((((row % order) * width) + column - begin) * sizeof(float), MemoryMarshal.AsBytes(values[..count]));
            values = values[count..];
            from += count;
        }
    }

    /// <summary>Columns of a strip: whole blocks of the rotation along the rows.</summary>
    private static int Width(int columns, int order, int block) => Math.Min(columns, Math.Max(1, StripElements / order / block) * block);

    private TensorData[] Strips()
    {
        if (Volatile.Read(ref _strips) is TensorData[] ready)
        {
            return ready;
        }

        lock (_lock)
        {
            if (_strips is null)
            {
                Volatile.Write(ref _strips, [.. All()]);
            }

            return _strips!;
        }
    }

    private IEnumerable<TensorData> All()
    {
        for (long row = 0; row < source.Rows; row += down.Block.Order)
        {
            for (int column = 0; column < source.Columns; column += _width)
            {
                yield return Strip(row, column, Math.Min(_width, source.Columns - column));
            }
        }
    }

    private TensorData Strip(long row, int column, int width)
    {
        int order = down.Block.Order;
        double[] buffer = ArrayPool<double>.Shared.Rent(order * width);
        double[] scratch = ArrayPool<double>.Shared.Rent(Math.Max(down.Block.Core * width, along?.Block.Core ?? 1));
        Span<double> values = buffer.AsSpan(0, order * width);
        for (int r = 0; r < order; r++)
        {
            Span<double> part = values.Slice(r * width, width);
            source.Read(row + r, column, part);
            along?.Apply(part, column, scratch);
        }

        for (ChannelRotation? rotation = down; rotation is not null; rotation = rotation.Then)
        {
            for (int r = 0; r < order; r++)
            {
                double factor = rotation.Factors[checked((int)row) + r];
                foreach (ref double value in values.Slice(r * width, width))
                {
                    value *= factor;
                }
            }

            rotation.Block.Multiply(values, width, scratch);
        }

        byte[] bytes = new byte[values.Length * sizeof(float)];
        Span<float> floats = MemoryMarshal.Cast<byte, float>(bytes.AsSpan());
        for (int i = 0; i < values.Length; i++)
        {
            floats[i] = (float)values[i];
        }

        ArrayPool<double>.Shared.Return(buffer);
        ArrayPool<double>.Shared.Return(scratch);
        return keep(bytes);
    }
}
