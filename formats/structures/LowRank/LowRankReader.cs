using System.Buffers;

namespace ModelPack.Structures;

/// <summary>Reads rows or rectangles of a product of two matrices. The wide factor is read in strips of rows for every tile; nothing is kept.</summary>
/// <param name="shape">[rows, columns].</param>
/// <param name="left">[rows, rank].</param>
/// <param name="right">[rank, columns].</param>
internal sealed class LowRankReader(Shape shape, LeftFactor left, IValueReader right) : IRandomValueReader
{
    private const int StripElements = 64 << 10;

    public Shape Shape => shape;

    public void ReadRows(long firstRow, int rows, Span<float> destination) => ReadBlock(firstRow, rows, 0, checked((int)shape[1]), destination);

    public void ReadBlock(long firstRow, int rows, long firstColumn, int columns, Span<float> destination)
    {
        if (firstRow < 0 || rows < 0 || rows > shape[0] - firstRow || firstColumn < 0 || columns < 0 || columns > shape[1] - firstColumn)
        {
            throw new ArgumentOutOfRangeException(nameof(firstRow), $"rows {firstRow}+{rows}, columns {firstColumn}+{columns} are outside {shape}");
        }

        int rank = left.Rank;
        var random = right as IRandomValueReader;
        bool whole = columns == shape[1] || random is null;
        int width = whole ? (int)shape[1] : columns;
        int strip = Math.Clamp(StripElements / Math.Max(1, width), 1, rank);
        Span<float> to = destination[..checked(rows * columns)];
        to.Clear();
        float[] factors = ArrayPool<float>.Shared.Rent(checked(rows * rank));
        float[] values = ArrayPool<float>.Shared.Rent(checked(strip * width));
        left.Read(firstRow, rows, factors.AsSpan(0, rows * rank));
        for (int j = 0; j < rank; j += strip)
        {
            int count = Math.Min(strip, rank - j);
            Span<float> read = values.AsSpan(0, count * width);
            if (whole)
            {
                right.ReadRows(j, count, read);
            }
            else
            {
                random!.ReadBlock(j, count, firstColumn, columns, read);
            }

            ProductKernel.Add(factors.AsSpan(j), rank, read[(width == columns ? 0 : (int)firstColumn)..], width, to, rows, count, columns);
        }

        ArrayPool<float>.Shared.Return(factors);
        ArrayPool<float>.Shared.Return(values);
    }
}
