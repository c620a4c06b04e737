using System.Buffers;
using System.Runtime.InteropServices;
using ModelPack.Compiler;

namespace ModelPack.Passes;

/// <summary>Puts what lies along one axis of a constant into another order, bit for bit. Nothing is read before the result is.</summary>
internal static class ChannelOrder
{
    /// <summary>Whether <see cref="Apply"/> can: floats stored plainly, or as the transpose of such a matrix, and the first or the last axis.</summary>
    public static bool CanApply(Tensor tensor, int axis) =>
        axis >= 0 && (axis == 0 || axis == tensor.Shape.Rank - 1) && Structured.IsRaw(tensor.Encoding, out DType stored) && stored is DType.F32 or DType.F16 or DType.BF16
        && (tensor.Encoding is DenseEncoding || (tensor.Shape.Rank == 2 && Structured.Transpose(tensor.Encoding) is DenseEncoding));

    /// <summary>The constant with what stood at <c>order[i]</c> of an axis at i.</summary>
    /// <param name="tensor">For which <see cref="CanApply"/> is true; keeps the way in which it is stored.</param>
    /// <param name="axis">0, or the last.</param>
    /// <param name="order">A permutation of the positions along the axis.</param>
    public static Tensor Apply(Tensor tensor, int axis, int[] order) => tensor with
    {
        Encoding = tensor.Encoding is DenseEncoding dense ? Ordered(dense, axis, order) : Structured.Transpose(Ordered((DenseEncoding)Structured.Transpose(tensor.Encoding), 1 - axis, order)),
    };

    private static DenseEncoding Ordered(DenseEncoding dense, int axis, int[] order)
    {
        _ = Structured.IsRaw(dense, out DType stored);
        TensorData source = dense.Streams[0].Data;
        int size = (int)stored.StorageBytes(1);
        long outer = dense.Shape.ElementCount / order.Length;
        bool last = axis == dense.Shape.Rank - 1;
        return DenseEncoding.Raw(stored, dense.Shape, last
            ? new ComputedRows(outer, (long)order.Length * size, (first, count, to) => Columns(source, order, size, first, count, to))
            : new ComputedRows(order.Length, outer * size, (first, count, to) => Rows(source, order, first, count, to)));
    }

    private static void Rows(TensorData source, int[] order, long first, int count, Span<byte> to)
    {
        int width = to.Length / count;
        for (int i = 0; i < count; i++)
        {
            source.Read((long)order[first + i] * width, to.Slice(i * width, width));
        }
    }

    private static void Columns(TensorData source, int[] order, int size, long first, int count, Span<byte> to)
    {
        int width = order.Length * size;
        byte[] rented = ArrayPool<byte>.Shared.Rent(width);
        for (int i = 0; i < count; i++)
        {
            source.Read((first + i) * width, rented.AsSpan(0, width));
            Span<byte> row = to.Slice(i * width, width);
            if (size == sizeof(float))
            {
                Gather<float>(rented, order, row);
            }
            else
            {
                Gather<ushort>(rented, order, row);
            }
        }

        ArrayPool<byte>.Shared.Return(rented);
    }

    private static void Gather<T>(ReadOnlySpan<byte> row, int[] order, Span<byte> to)
        where T : unmanaged
    {
        ReadOnlySpan<T> from = MemoryMarshal.Cast<byte, T>(row);
        Span<T> values = MemoryMarshal.Cast<byte, T>(to);
        for (int i = 0; i < order.Length; i++)
        {
            values[i] = from[order[i]];
        }
    }
}
