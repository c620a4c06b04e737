using System.Buffers;

namespace ModelPack.Structures;

/// <summary>Reads rows of a sum: those of the first component, then each other one is added.</summary>
internal class SumReader(Shape shape, IReadOnlyList<IValueReader> components) : IValueReader
{
    public Shape Shape => shape;

    public void ReadRows(long firstRow, int rows, Span<float> destination)
    {
        if (firstRow < 0 || rows < 0 || rows > shape.Rows - firstRow)
        {
            throw new ArgumentOutOfRangeException(nameof(firstRow), $"rows {firstRow}+{rows} are outside {shape}");
        }

        Add(checked((int)(rows * shape.Columns)), destination, (reader, to) => reader.ReadRows(firstRow, rows, to));
    }

    protected void Add(int count, Span<float> destination, ReadTile read)
    {
        destination = destination[..count];
        read(components[0], destination);
        float[] values = ArrayPool<float>.Shared.Rent(count);
        for (int i = 1; i < components.Count; i++)
        {
            Span<float> other = values.AsSpan(0, count);
            read(components[i], other);
            for (int at = 0; at < other.Length; at++)
            {
                destination[at] += other[at];
            }
        }

        ArrayPool<float>.Shared.Return(values);
    }

    protected delegate void ReadTile(IValueReader reader, Span<float> destination);
}

/// <summary>The same where all components can be read in rectangles.</summary>
internal sealed class RandomSumReader(Shape shape, IReadOnlyList<IValueReader> components) : SumReader(shape, components), IRandomValueReader
{
    public void ReadBlock(long firstRow, int rows, long firstColumn, int columns, Span<float> destination) =>
        Add(checked(rows * columns), destination, (reader, to) => ((IRandomValueReader)reader).ReadBlock(firstRow, rows, firstColumn, columns, to));
}
