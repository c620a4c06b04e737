using System.Buffers;

namespace ModelPack.Passes;

/// <summary>A matrix whose rows are rotated: W R, computed in f64 row by row when read and rounded once to f32.</summary>
/// <param name="source">W.</param>
/// <param name="rotation">Over the columns.</param>
internal sealed class RowRotatedData(StoredFloats source, ChannelRotation rotation) : ComputedFloats(source.Rows * source.Columns)
{
    protected override void Compute(long from, Span<float> values)
    {
        int columns = source.Columns;
        double[] buffer = ArrayPool<double>.Shared.Rent(columns + rotation.Block.Core);
        Span<double> row = buffer.AsSpan(0, columns);
        Span<double> scratch = buffer.AsSpan(columns, rotation.Block.Core);
        int order = rotation.Block.Order;
        while (!values.IsEmpty)
        {
            // Whole blocks that hold what is wanted of this row.
            int skip = (int)(from % columns);
            int count = Math.Min(values.Length, columns - skip);
            int first = skip / order * order;
            Span<double> part = row[..(((skip + count + order - 1) / order * order) - first)];
            source.Read(from / columns, first, part);
            rotation.Apply(part, first, scratch);
            for (int i = 0; i < count; i++)
            {
                values[i] = (float)part[skip - first + i];
            }

            values = values[count..];
            from += count;
        }

        ArrayPool<double>.Shared.Return(buffer);
    }
}
