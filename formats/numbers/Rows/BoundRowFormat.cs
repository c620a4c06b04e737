using System.Runtime.InteropServices;

namespace ModelPack.Numbers;

/// <summary>What bound formats with independent rows share: their facts, and the checks of buffers before a kernel runs over them.</summary>
internal abstract class BoundRowFormat : IBoundNumberFormat
{
    protected BoundRowFormat(UnitSpec spec, Shape shape, params StreamLayout[] streams)
    {
        Spec = spec;
        Shape = shape;
        Columns = RowLimits.Columns(spec.Id, shape);
        Streams = streams;
        long bytes = 0;
        foreach (StreamLayout stream in streams)
        {
            RowLimits.CheckStream(spec.Id, shape, stream.BytesPerRow);
            bytes += stream.BytesPerRow;
        }

        BitsPerValue = Columns == 0 ? 0 : 8.0 * bytes / Columns;
    }

    public UnitSpec Spec { get; }

    public Shape Shape { get; }

    public IReadOnlyList<StreamLayout> Streams { get; }

    public double BitsPerValue { get; }

    /// <summary>Values per row.</summary>
    protected int Columns { get; }

    public void EncodeRows(ReadOnlySpan<float> values, int rows, ReadOnlySpan<Memory<byte>> streams)
    {
        CheckCounts(values.Length, rows, streams.Length);
        for (int s = 0; s < streams.Length; s++)
        {
            CheckLength(s, rows, streams[s].Length);
        }

        if (rows > 0)
        {
            EncodeTile(values, rows, streams);
        }
    }

    public void DecodeRows(ReadOnlySpan<ReadOnlyMemory<byte>> streams, int rows, Span<float> values)
    {
        CheckCounts(values.Length, rows, streams.Length);
        for (int s = 0; s < streams.Length; s++)
        {
            CheckLength(s, rows, streams[s].Length);
        }

        if (rows > 0)
        {
            DecodeTile(streams, rows, values);
        }
    }

    public void DecodeRows(ReadOnlySpan<ReadOnlyMemory<byte>> streams, int rows, DType dtype, Span<byte> values)
    {
        CheckCounts(NarrowDecoding.Count(dtype, values.Length), rows, streams.Length);
        for (int s = 0; s < streams.Length; s++)
        {
            CheckLength(s, rows, streams[s].Length);
        }

        if (rows == 0)
        {
            return;
        }

        if (dtype == DType.F32)
        {
            DecodeTile(streams, rows, MemoryMarshal.Cast<byte, float>(values));
        }
        else
        {
            DecodeTile(streams, rows, dtype, values);
        }
    }

    /// <summary>Encodes rows whose buffers have the right lengths; overwrites every byte of the streams.</summary>
    protected abstract void EncodeTile(ReadOnlySpan<float> values, int rows, ReadOnlySpan<Memory<byte>> streams);

    /// <summary>Decodes rows whose buffers have the right lengths.</summary>
    protected abstract void DecodeTile(ReadOnlySpan<ReadOnlyMemory<byte>> streams, int rows, Span<float> values);

    /// <summary>Decodes rows whose buffers have the right lengths to BF16 or F16; overridden where there is a shorter way than through f32.</summary>
    protected virtual void DecodeTile(ReadOnlySpan<ReadOnlyMemory<byte>> streams, int rows, DType dtype, Span<byte> values) =>
        NarrowDecoding.Run(this, Columns, streams, rows, dtype, values, SimdTiers.Current);

    /// <summary>Bytes of a stream per row.</summary>
    protected int RowBytes(int stream) => (int)Streams[stream].BytesPerRow;

    /// <summary>The error for the first NaN or infinity of a tile that has one.</summary>
    protected ModelPackException NotFinite(ReadOnlySpan<float> values)
    {
        int at = 0;
        while (at < values.Length - 1 && float.IsFinite(values[at]))
        {
            at++;
        }

        return Unrepresentable(values, at);
    }

    /// <summary>The error for a value of a tile that the format cannot hold.</summary>
    protected ModelPackException Unrepresentable(ReadOnlySpan<float> values, int at) => new(
        ErrorCodes.UnrepresentableValue,
        FormattableString.Invariant($"value {values[at]} at row {at / Columns}, column {at % Columns} of the tile cannot be stored as {Spec.Id}"));

    /// <summary>Rejects negative values where elements have no sign.</summary>
    protected void RefuseNegative(ReadOnlySpan<float> values, ElementFormat element)
    {
        for (int i = 0; !element.Signed && i < values.Length; i++)
        {
            if (values[i] < 0)
            {
                throw new ModelPackException(
                    ErrorCodes.UnrepresentableValue,
                    FormattableString.Invariant($"value {values[i]} at row {i / Columns}, column {i % Columns} of the tile is negative, and {Spec} has no sign"));
            }
        }
    }

    /// <summary>The error for a scale that no encoder writes.</summary>
    protected ModelPackException BadScale(int block) =>
        new(ErrorCodes.BadStream, FormattableString.Invariant($"'{Spec.Id}': scale {block} of the tile is not finite"));

    /// <summary>Rejects infinite and NaN f32 scales.</summary>
    protected void CheckFinite(ReadOnlySpan<float> scales)
    {
        for (int i = 0; i < scales.Length; i++)
        {
            if (!float.IsFinite(scales[i]))
            {
                throw BadScale(i);
            }
        }
    }

    private void CheckCounts(int valueCount, int rows, int streamCount)
    {
        if (rows < 0 || streamCount != Streams.Count || valueCount != (long)rows * Columns)
        {
            throw new ArgumentException($"{Spec}: {rows} rows of {Shape} need {(long)rows * Columns} values in {Streams.Count} streams, not {valueCount} in {streamCount}");
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
