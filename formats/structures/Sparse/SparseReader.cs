using System.Runtime.InteropServices;

namespace ModelPack.Structures;

/// <summary>Values of a sparse matrix as f32, through the reader of its values component.</summary>
internal sealed class SparseReader(Shape shape, SparseExpander<uint> expander) : IValueReader
{
    public Shape Shape => shape;

    public void ReadRows(long firstRow, int rows, Span<float> destination) =>
        expander.ReadRows(firstRow, rows, MemoryMarshal.Cast<float, uint>(destination[..checked((int)(rows * shape.Columns))]));
}

/// <summary>The bytes of a sparse matrix whose values are stored plainly: every bit as it was.</summary>
internal sealed class SparseTensorData<T> : TensorData
    where T : unmanaged
{
    private readonly SparseExpander<T> _expander;
    private readonly long _rowBytes;

    public SparseTensorData(Shape shape, SparseExpander<T> expander, int width)
        : base(shape.ElementCount * width)
    {
        _expander = expander;
        _rowBytes = shape[1] * width;
    }

    protected override void ReadCore(long offsetBytes, Span<byte> destination)
    {
        // Whole rows in place; rows that the range cuts, at its ends, through a row of their own.
        T[]? single = null;
        while (!destination.IsEmpty)
        {
            long row = offsetBytes / _rowBytes;
            int skip = (int)(offsetBytes % _rowBytes);
            int rows = skip == 0 ? (int)(destination.Length / _rowBytes) : 0;
            int count = (int)(rows * _rowBytes);
            if (rows > 0)
            {
                _expander.ReadRows(row, rows, MemoryMarshal.Cast<byte, T>(destination[..count]));
            }
            else
            {
                single ??= new T[_rowBytes / System.Runtime.CompilerServices.Unsafe.SizeOf<T>()];
                _expander.ReadRows(row, 1, single);
                count = (int)Math.Min(_rowBytes - skip, destination.Length);
                MemoryMarshal.AsBytes(single.AsSpan()).Slice(skip, count).CopyTo(destination);
            }

            destination = destination[count..];
            offsetBytes += count;
        }
    }
}
