using System.Buffers;

namespace ModelPack.Toolchain;

/// <summary>Bytes that are computed row by row as they are read. Rows are independent: any range may be read, from any thread.</summary>
/// <param name="rows">Number of rows.</param>
/// <param name="rowBytes">Bytes of each.</param>
/// <param name="fill">Computes a row: its index, and room for its bytes.</param>
internal sealed class RowData(long rows, long rowBytes, RowData.Fill fill) : TensorData(checked(rows * rowBytes))
{
    /// <summary>Computes one row.</summary>
    public delegate void Fill(long row, Span<byte> destination);

    /// <summary>Rows of data in another order.</summary>
    /// <param name="data">Rows one after the other.</param>
    /// <param name="rows">Their number.</param>
    /// <param name="source">Where a row comes from.</param>
    public static TensorData Reordered(TensorData data, long rows, Func<long, long> source)
    {
        long rowBytes = data.LengthBytes / rows;
        return new RowData(rows, rowBytes, (row, destination) => data.Read(source(row) * rowBytes, destination));
    }

    protected override void ReadCore(long offsetBytes, Span<byte> destination)
    {
        int width = checked((int)rowBytes);
        byte[]? part = null;
        while (!destination.IsEmpty)
        {
            (long row, long skip) = Math.DivRem(offsetBytes, rowBytes);
            int n = (int)Math.Min(width - skip, destination.Length);
            if (n == width)
            {
                fill(row, destination[..n]);
            }
            else
            {
                part ??= ArrayPool<byte>.Shared.Rent(width);
                fill(row, part.AsSpan(0, width));
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
