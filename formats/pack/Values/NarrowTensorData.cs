using System.Buffers;

namespace ModelPack.Pack;

/// <summary>Dense bytes of 16-bit floats, decoded straight from an encoded tensor: whole rows into the caller's buffer, the rows at its ends through a buffer of one row.</summary>
internal sealed class NarrowTensorData(INarrowValueReader values, DType dtype, long lengthBytes) : TensorData(lengthBytes)
{
    private const int StepBytes = 128 << 10;

    private readonly long _rowBytes = values.Shape.Columns * sizeof(ushort);

    protected override void ReadCore(long offsetBytes, Span<byte> destination)
    {
        long row = offsetBytes / _rowBytes;
        int skip = (int)(offsetBytes % _rowBytes);
        int step = (int)Math.Max(1, StepBytes / _rowBytes);
        byte[]? single = null;
        try
        {
            while (!destination.IsEmpty)
            {
                int whole = skip > 0 ? 0 : (int)Math.Min(step, destination.Length / _rowBytes);
                int count;
                if (whole > 0)
                {
                    count = (int)(whole * _rowBytes);
                    values.ReadRows(row, whole, dtype, destination[..count]);
                    row += whole;
                }
                else
                {
                    single ??= ArrayPool<byte>.Shared.Rent(checked((int)_rowBytes));
                    values.ReadRows(row, 1, dtype, single);
                    count = (int)Math.Min(_rowBytes - skip, destination.Length);
                    single.AsSpan(skip, count).CopyTo(destination);
                    skip = 0;
                    row++;
                }

                destination = destination[count..];
            }
        }
        finally
        {
            if (single is not null)
            {
                ArrayPool<byte>.Shared.Return(single);
            }
        }
    }
}
