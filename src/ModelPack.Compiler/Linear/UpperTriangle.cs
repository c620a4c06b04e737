namespace ModelPack.Compiler.Linear;

/// <summary>The upper triangle of a square matrix, in strips of rows that begin at the column of their first row: half the memory of the whole, and rows of a strip evenly apart.</summary>
public sealed class UpperTriangle : IDisposable
{
    /// <summary>Rows of a strip.</summary>
    public const int Strip = 64;

    private readonly NativeArray<double> _values;

    /// <param name="size">Rows and columns.</param>
    public UpperTriangle(int size)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(size);
        Size = size;
        _values = new NativeArray<double>(Offset((size + Strip - 1) / Strip));
    }

    /// <summary>Rows and columns.</summary>
    public int Size { get; }

    /// <summary>A row from its diagonal element on.</summary>
    public Span<double> Row(int row)
    {
        int first = row / Strip * Strip;
        return Rows(row, 1)[(row - first)..];
    }

    /// <summary>Rows of one strip, each from the first column of the strip on.</summary>
    /// <param name="row">The first.</param>
    /// <param name="count">How many; all of one strip.</param>
    public Span<double> Rows(int row, int count) => _values.Slice(Offset(row / Strip) + ((long)(row % Strip) * Width(row)), checked(count * Width(row)));

    /// <summary>How far apart the rows of the strip are that holds a row.</summary>
    public int Width(int row) => Size - (row / Strip * Strip);

    public void Dispose() => _values.Dispose();

    /// <summary>Elements before a strip: each is <see cref="Strip"/> rows of what is left of the width.</summary>
    private long Offset(int strip)
    {
        long rows = Math.Min((long)strip * Strip, Size);
        long whole = rows / Strip;
        long offset = Strip * ((whole * Size) - (Strip * whole * (whole - 1) / 2));
        return offset + (rows % Strip * (Size - (whole * Strip)));
    }
}
