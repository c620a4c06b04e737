using System.Buffers;
using System.Runtime.InteropServices;

namespace ModelPack.Numbers;

/// <summary>An integer block format on a shape: checks buffers and values, then runs the kernel row by row.</summary>
internal sealed partial class BoundIntBlockFormat : IFixedScaleFormat
{
    private readonly SimdTier _tier;
    private readonly bool _planes;
    private readonly int _codeBytes;

    public BoundIntBlockFormat(Shape shape, IntBlockLayout layout, UnitSpec spec, bool planes, SimdTier tier)
    {
        Shape = shape;
        Layout = layout;
        Spec = spec;
        _tier = tier;
        _planes = planes;
        _codeBytes = planes ? checked((int)(layout.BlockCount * BitPlanes.BlobBytes(layout.Block, layout.Bits))) : layout.CodeBytesPerRow;
        var codes = new StreamLayout("codes", _codeBytes, DType.U8);
        var scales = new StreamLayout("scales", layout.ScaleBytesPerRow, layout.Scale);
        Streams = layout.Symmetric ? [codes, scales] : [codes, scales, new StreamLayout("zero-points", layout.ZeroPointBytesPerRow, layout.FloatZero ? layout.Scale : DType.U8)];
        long bytes = (long)_codeBytes + layout.ScaleBytesPerRow + layout.ZeroPointBytesPerRow;
        BitsPerValue = layout.Columns == 0 ? layout.Bits : 8.0 * bytes / layout.Columns;
    }

    public UnitSpec Spec { get; }

    public Shape Shape { get; }

    public IntBlockLayout Layout { get; }

    public IReadOnlyList<StreamLayout> Streams { get; }

    public double BitsPerValue { get; }

    public void EncodeRows(ReadOnlySpan<float> values, int rows, ReadOnlySpan<Memory<byte>> streams)
    {
        CheckCounts(values.Length, rows, streams.Length);
        for (int s = 0; s < streams.Length; s++)
        {
            CheckLength(s, rows, streams[s].Length);
        }

        IntBlockLayout layout = Layout;
        Span<byte> codes = streams[0].Span;
        Span<byte> scales = streams[1].Span;
        Span<byte> zeroPoints = layout.Symmetric ? default : streams[2].Span;
        byte[]? packed = _planes ? ArrayPool<byte>.Shared.Rent(layout.CodeBytesPerRow + BitPlanes.Slack) : null;
        for (int r = 0; r < rows; r++)
        {
            ReadOnlySpan<float> row = values.Slice(r * layout.Columns, layout.Columns);
            Span<byte> rowCodes = codes.Slice(r * _codeBytes, _codeBytes);
            Span<byte> rowScales = scales.Slice(r * layout.ScaleBytesPerRow, layout.ScaleBytesPerRow);
            Span<byte> rowZeroPoints = zeroPoints.Slice(r * layout.ZeroPointBytesPerRow, layout.ZeroPointBytesPerRow);
            int bad = packed is null
                ? IntBlockRow.Encode(row, layout, rowCodes, rowScales, rowZeroPoints, _tier)
                : PlaneRow.Encode(row, layout, rowCodes, rowScales, rowZeroPoints, packed, _tier);
            if (bad >= 0)
            {
                throw NotFinite(row, bad, r);
            }
        }

        if (packed is not null)
        {
            ArrayPool<byte>.Shared.Return(packed);
        }
    }

    public void DecodeRows(ReadOnlySpan<ReadOnlyMemory<byte>> streams, int rows, Span<float> values)
    {
        CheckCounts(values.Length, rows, streams.Length);
        for (int s = 0; s < streams.Length; s++)
        {
            CheckLength(s, rows, streams[s].Length);
        }

        IntBlockLayout layout = Layout;
        ReadOnlySpan<byte> codes = streams[0].Span;
        ReadOnlySpan<byte> scales = streams[1].Span;
        ReadOnlySpan<byte> zeroPoints = layout.Symmetric ? default : streams[2].Span;
        CheckScales(scales, rows * layout.BlockCount, "scale");
        if (layout.FloatZero)
        {
            CheckScales(zeroPoints, rows * layout.BlockCount, "zero point");
        }

        byte[]? packed = _planes ? ArrayPool<byte>.Shared.Rent(layout.CodeBytesPerRow + BitPlanes.Slack) : null;
        for (int r = 0; r < rows; r++)
        {
            ReadOnlySpan<byte> rowCodes = codes.Slice(r * _codeBytes, _codeBytes);
            ReadOnlySpan<byte> rowScales = scales.Slice(r * layout.ScaleBytesPerRow, layout.ScaleBytesPerRow);
            ReadOnlySpan<byte> rowZeroPoints = zeroPoints.Slice(r * layout.ZeroPointBytesPerRow, layout.ZeroPointBytesPerRow);
            Span<float> row = values.Slice(r * layout.Columns, layout.Columns);
            if (packed is null)
            {
                IntBlockRow.Decode(rowCodes, rowScales, rowZeroPoints, layout, row, _tier);
            }
            else
            {
                PlaneRow.Decode(rowCodes, rowScales, rowZeroPoints, layout, row, packed, _tier);
            }
        }

        if (packed is not null)
        {
            ArrayPool<byte>.Shared.Return(packed);
        }
    }

    public void DecodeRows(ReadOnlySpan<ReadOnlyMemory<byte>> streams, int rows, DType dtype, Span<byte> values)
    {
        CheckCounts(NarrowDecoding.Count(dtype, values.Length), rows, streams.Length);
        if (dtype == DType.F32)
        {
            DecodeRows(streams, rows, MemoryMarshal.Cast<byte, float>(values));
            return;
        }

        for (int s = 0; s < streams.Length; s++)
        {
            CheckLength(s, rows, streams[s].Length);
        }

        if (rows > 0)
        {
            NarrowDecoding.Run(this, Layout.Columns, streams, rows, dtype, values, _tier);
        }
    }

    /// <summary>Every code has a value, so only scales can be wrong: NaN and infinity are never written.</summary>
    private void CheckScales(ReadOnlySpan<byte> scales, int count, string what)
    {
        int bad = ScaleType.FirstNotFinite(scales[..(count * ScaleType.Bytes(Layout.Scale))], Layout.Scale);
        if (bad >= 0)
        {
            throw new ModelPackException(ErrorCodes.BadStream, $"'{Spec.Id}': the {what} of block {bad % Layout.BlockCount} in row {bad / Layout.BlockCount} of the tile is not finite");
        }
    }

    private ModelPackException NotFinite(ReadOnlySpan<float> row, int from, int rowIndex)
    {
        int column = from;
        while (float.IsFinite(row[column]))
        {
            column++;
        }

        return new ModelPackException(
            ErrorCodes.UnrepresentableValue,
            FormattableString.Invariant($"value {row[column]} at row {rowIndex}, column {column} of the tile cannot be stored as {Spec.Id}"));
    }

    private void CheckCounts(int valueCount, int rows, int streamCount)
    {
        if (rows < 0 || streamCount != Streams.Count || valueCount != (long)rows * Layout.Columns)
        {
            throw new ArgumentException($"{Spec}: {rows} rows of {Shape} need {(long)rows * Layout.Columns} values in {Streams.Count} streams, not {valueCount} in {streamCount}");
        }
    }

    private void CheckLength(int stream, int rows, int length)
    {
        if (length != rows * Streams[stream].BytesPerRow)
        {
            throw new ArgumentException($"{Spec}: stream '{Streams[stream].Role}' of {rows} rows needs {rows * Streams[stream].BytesPerRow} bytes, not {length}");
        }
    }
}
