using System.Runtime.InteropServices;

namespace ModelPack.Numbers;

/// <summary><c>float</c> with one scale for the whole tensor, which is in the spec: coded as rows of one block each, whose scale is not stored.</summary>
internal sealed class TensorFloatFormat : BoundRowFormat
{
    private readonly BlockFloatLayout _layout;
    private readonly BlockFloatRows _rows;
    private readonly float? _scale;

    /// <param name="spec">The full spec.</param>
    /// <param name="shape">The tensor's.</param>
    /// <param name="layout">Rows of one block, with the type of the scale.</param>
    /// <param name="scale">A value of that type, where it is known.</param>
    /// <param name="tier">Kernels to run.</param>
    public TensorFloatFormat(UnitSpec spec, Shape shape, BlockFloatLayout layout, float? scale, SimdTier tier)
        : base(spec, shape, BoundBlockFloatFormat.CodesOf(layout))
    {
        _layout = layout with { Scale = BlockScaleType.F32, Given = BlockMap.Of(scale ?? 1f, layout.Scale) };
        _rows = BlockFloatRows.For(layout.Element, tier);
        _scale = scale;
    }

    protected override void EncodeTile(ReadOnlySpan<float> values, int rows, ReadOnlySpan<Memory<byte>> streams)
    {
        if (_scale is null)
        {
            throw new ModelPackException(ErrorCodes.BadEncoding, $"'{Spec.Id}' with one scale per tensor needs that scale before rows can be encoded");
        }

        RefuseNegative(values, _layout.Element);
        for (int r = 0; r < rows; r++)
        {
            if (_rows.EncodeRow(values.Slice(r * Columns, Columns), _layout, streams[0].Span.Slice(r * RowBytes(0), RowBytes(0)), default) >= 0)
            {
                throw NotFinite(values);
            }
        }
    }

    protected override void DecodeTile(ReadOnlySpan<ReadOnlyMemory<byte>> streams, int rows, Span<float> values)
    {
        float scale = _scale ?? throw new ModelPackException(ErrorCodes.BadStream, $"'{Spec.Id}' has one scale per tensor and does not say which");
        ReadOnlySpan<byte> stored = MemoryMarshal.AsBytes(new ReadOnlySpan<float>(in scale));
        for (int r = 0; r < rows; r++)
        {
            _rows.DecodeRow(streams[0].Span.Slice(r * RowBytes(0), RowBytes(0)), stored, _layout, values.Slice(r * Columns, Columns));
        }
    }
}
