namespace ModelPack.Compiler.Linear;

/// <summary>A dense matrix of doubles outside of the managed heap, row-major, zeroed when made.</summary>
public sealed class Matrix : IDisposable
{
    private readonly NativeArray<double> _values;

    /// <param name="rows">Rows; may be 0.</param>
    /// <param name="columns">Columns; may be 0.</param>
    public Matrix(int rows, int columns)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(rows);
        ArgumentOutOfRangeException.ThrowIfNegative(columns);
        (Rows, Columns) = (rows, columns);
        _values = new NativeArray<double>((long)rows * columns);
    }

    public int Rows { get; }

    public int Columns { get; }

    public ref double this[int row, int column] => ref Row(row)[column];

    /// <summary>One row.</summary>
    public Span<double> Row(int row) => _values.Slice((long)row * Columns, Columns);

    /// <summary>From an element to an element, across rows: at most 2^31 elements.</summary>
    /// <param name="row">Row of the first.</param>
    /// <param name="column">Column of the first.</param>
    /// <param name="lastRow">Row of the last.</param>
    /// <param name="end">Column after the last.</param>
    public Span<double> Part(int row, int column, int lastRow, int end) =>
        _values.Slice(((long)row * Columns) + column, checked((int)(((long)(lastRow - row) * Columns) + end - column)));

    /// <summary>The transpose, as a matrix of its own.</summary>
    public Matrix Transposed()
    {
        const int tile = 32;
        var result = new Matrix(Columns, Rows);
        for (int firstRow = 0; firstRow < Rows; firstRow += tile)
        {
            int endRow = Math.Min(Rows, firstRow + tile);
            for (int firstColumn = 0; firstColumn < Columns; firstColumn += tile)
            {
                int endColumn = Math.Min(Columns, firstColumn + tile);
                for (int row = firstRow; row < endRow; row++)
                {
                    ReadOnlySpan<double> from = Row(row);
                    for (int column = firstColumn; column < endColumn; column++)
                    {
                        result[column, row] = from[column];
                    }
                }
            }
        }

        return result;
    }

    /// <summary>The first rows, as a matrix of its own.</summary>
    public Matrix Top(int rows)
    {
        var result = new Matrix(rows, Columns);
        for (int row = 0; row < rows; row++)
        {
            Row(row).CopyTo(result.Row(row));
        }

        return result;
    }

    /// <summary>The sum of the squares of all elements, row by row.</summary>
    public double SumOfSquares()
    {
        double sum = 0;
        for (int row = 0; row < Rows; row++)
        {
            sum += VectorMath.Dot(Row(row), Row(row));
        }

        return sum;
    }

    public void Dispose() => _values.Dispose();
}
