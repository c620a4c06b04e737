using System.Buffers;

namespace ModelPack;

/// <summary>Bytes of a matrix that are computed when they are read, several rows at a time. Rows are independent: any range may be read, from any thread.</summary>
/// <param name="rows">Number of rows.</param>
/// <param name="rowBytes">Bytes of each.</param>
/// <param name="compute">Computes rows that follow each other.</param>
public sealed class ComputedRows(long rows, long rowBytes, ComputedRows.Compute compute) : TensorData(checked(rows * rowBytes))
{
    /// <summary>Computes rows.</summary>
    /// <param name="firstRow">Index of the first.</param>
    /// <param name="rows">Their number, at least 1.</param>
    /// <param name="destination">Room for their bytes, with any content.</param>
    public delegate void Compute(long firstRow, int rows, Span<byte> destination);

    protected override void ReadCore(long offsetBytes, Span<byte> destination)
    {
        int width = checked((int)rowBytes);
        byte[]? part = null;
        while (!destination.IsEmpty)
        {
            (long row, long skip) = Math.DivRem(offsetBytes, rowBytes);
            int n;
            if (skip == 0 && destination.Length >= width)
            {
                int count = destination.Length / width;
                n = count * width;
                compute(row, count, destination[..n]);
            }
            else
            {
                n = (int)Math.Min(width - skip, destination.Length);
                part ??= ArrayPool<byte>.Shared.Rent(width);
                compute(row, 1, part.AsSpan(0, width));
                part.AsSpan((int)skip, n).CopyTo(destination);
            }

            offsetBytes += n;
            destination = destination[n..];
        }

        if (part is not null)
        {
            ArrayPool<byte>.Shared.Return(part);
        }
    }
}
