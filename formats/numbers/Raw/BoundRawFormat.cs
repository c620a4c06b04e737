using System.Buffers;
using System.Runtime.InteropServices;

namespace ModelPack.Numbers;

/// <summary>A raw format on a shape: checks lengths and values, then runs <see cref="RawDecoder"/> or <see cref="RawEncoder"/>.</summary>
internal sealed class BoundRawFormat : IBoundNumberFormat
{
    private readonly long _bytesPerRow;

    public BoundRawFormat(DType dtype, Shape shape)
    {
        DType = dtype;
        Shape = shape;
        Spec = new UnitSpec(dtype.Name());
        _bytesPerRow = dtype.HasFixedWidth() ? dtype.StorageBytes(shape.Columns) : StreamLayout.VariableLength;
        Streams = [new StreamLayout("values", _bytesPerRow, dtype)];
    }

    public DType DType { get; }

    public UnitSpec Spec { get; }

    public Shape Shape { get; }

    public IReadOnlyList<StreamLayout> Streams { get; }

    public double BitsPerValue => DType.BitsPerElement();

    public void EncodeRows(ReadOnlySpan<float> values, int rows, ReadOnlySpan<Memory<byte>> streams)
    {
        CheckReal();
        Check(values.Length, rows, streams.Length, streams.IsEmpty ? 0 : streams[0].Length);
        int bad = RawEncoder.FirstUnrepresentable(DType, values);
        if (bad >= 0)
        {
            throw new ModelPackException(
                ErrorCodes.UnrepresentableValue,
                FormattableString.Invariant($"value {values[bad]} at row {bad / Shape.Columns}, column {bad % Shape.Columns} of the tile cannot be stored as {Spec}"));
        }

        RawEncoder.Encode(DType, values, streams[0].Span);
    }

    public void DecodeRows(ReadOnlySpan<ReadOnlyMemory<byte>> streams, int rows, Span<float> values)
    {
        CheckReal();
        Check(values.Length, rows, streams.Length, streams.IsEmpty ? 0 : streams[0].Length);
        RawDecoder.Decode(DType, streams[0].Span, 0, values);
    }

    /// <summary>Values of a piece on its way through f32.</summary>
    private const int PieceValues = 8 << 10;

    public void DecodeRows(ReadOnlySpan<ReadOnlyMemory<byte>> streams, int rows, DType dtype, Span<byte> values)
    {
        CheckReal();
        int count = NarrowDecoding.Count(dtype, values.Length);
        Check(count, rows, streams.Length, streams.IsEmpty ? 0 : streams[0].Length);
        ReadOnlySpan<byte> bytes = streams[0].Span;
        if (dtype == DType)
        {
            bytes.CopyTo(values);
        }
        else if (dtype == DType.F32)
        {
            RawDecoder.Decode(DType, bytes, 0, MemoryMarshal.Cast<byte, float>(values));
        }
        else if (RawDecoder.Bytes(DType) is ByteTable table)
        {
            table.DecodeNarrow(bytes, dtype, MemoryMarshal.Cast<byte, ushort>(values), SimdTiers.Current);
        }
        else
        {
            // Any number of elements can be decoded alone; multiples of eight begin at a byte for packed types.
            float[] scratch = ArrayPool<float>.Shared.Rent(PieceValues);
            int bits = DType.BitsPerElement();
            for (int i = 0; i < count; i += PieceValues)
            {
                Span<float> piece = scratch.AsSpan(0, Math.Min(PieceValues, count - i));
                int first = (int)((long)i * bits / 8);
                RawDecoder.Decode(DType, bytes.Slice(first, (int)((((long)piece.Length * bits) + 7) / 8)), 0, piece);
                NarrowDecoding.Narrow(piece, dtype, values.Slice(i * sizeof(ushort), piece.Length * sizeof(ushort)), SimdTiers.Current);
            }

            ArrayPool<float>.Shared.Return(scratch);
        }
    }

    private void CheckReal()
    {
        if (!RawDecoder.IsReal(DType))
        {
            throw new ModelPackException(ErrorCodes.OpaqueValues, $"elements of type {Spec} cannot be read as real numbers");
        }
    }

    private void Check(int valueCount, int rows, int streamCount, int streamLength)
    {
        if (streamCount != 1 || valueCount != (long)rows * Shape.Columns || streamLength != rows * _bytesPerRow)
        {
            throw new ArgumentException($"{Spec}: {rows} rows of {Shape} need {(long)rows * Shape.Columns} values and {rows * _bytesPerRow} bytes, not {valueCount} and {streamLength}");
        }
    }
}
