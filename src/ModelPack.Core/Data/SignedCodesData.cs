using System.Buffers;

namespace ModelPack;

/// <summary>8-bit codes with zero at 128, seen as signed integers; possibly transposed.</summary>
/// <param name="codes">The stored codes.</param>
/// <param name="transposedColumns">Columns of what is seen when it is the transpose of the codes; 0 when it is not.</param>
public sealed class SignedCodesData(TensorData codes, long transposedColumns = 0) : TensorData(codes.LengthBytes)
{
    protected override void ReadCore(long offsetBytes, Span<byte> destination)
    {
        if (transposedColumns > 0)
        {
            ReadTransposed(offsetBytes, destination);
        }
        else
        {
            codes.Read(offsetBytes, destination);
        }

        foreach (ref byte code in destination)
        {
            code ^= 0x80;
        }
    }

    /// <summary>Element (k, n) of what is seen is element (n, k) of the codes: column after column, a piece of each.</summary>
    private void ReadTransposed(long offsetBytes, Span<byte> destination)
    {
        long rows = LengthBytes / transposedColumns;
        long first = offsetBytes / transposedColumns;
        long last = (offsetBytes + destination.Length - 1) / transposedColumns;
        byte[] column = ArrayPool<byte>.Shared.Rent(checked((int)(last - first + 1)));
        try
        {
            Span<byte> piece = column.AsSpan(0, (int)(last - first + 1));
            for (long n = 0; n < transposedColumns; n++)
            {
                codes.Read((n * rows) + first, piece);
                for (int k = 0; k < piece.Length; k++)
                {
                    long at = ((first + k) * transposedColumns) + n - offsetBytes;
                    if (at >= 0 && at < destination.Length)
                    {
                        destination[(int)at] = piece[k];
                    }
                }
            }
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(column);
        }
    }
}
