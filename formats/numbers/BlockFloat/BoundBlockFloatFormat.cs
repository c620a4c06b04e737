namespace ModelPack.Numbers;

/// <summary>A block float format on a shape.</summary>
internal sealed partial class BoundBlockFloatFormat : BoundRowFormat, IFixedScaleFormat
{
    private readonly BlockFloatLayout _layout;
    private readonly BlockFloatRows _rows;

    public BoundBlockFloatFormat(UnitSpec spec, Shape shape, BlockFloatLayout layout, SimdTier tier)
        : base(spec, shape, StreamsOf(layout))
    {
        _layout = layout;
        _rows = BlockFloatRows.For(layout.Element, tier);
    }

    /// <summary>The arguments, resolved.</summary>
    internal BlockFloatLayout Layout => _layout;

    /// <summary>What codes mean.</summary>
    internal ElementFormat Element => _layout.Element;

    protected override void EncodeTile(ReadOnlySpan<float> values, int rows, ReadOnlySpan<Memory<byte>> streams)
    {
        Span<byte> codes = streams[0].Span;
        Span<byte> scales = streams.Length > 1 ? streams[1].Span : default;
        CheckValues(values);
        for (int r = 0; r < rows; r++)
        {
            Span<byte> rowScales = scales.IsEmpty ? scales : scales.Slice(r * RowBytes(1), RowBytes(1));
            if (_rows.EncodeRow(values.Slice(r * Columns, Columns), _layout, codes.Slice(r * RowBytes(0), RowBytes(0)), rowScales) >= 0)
            {
                throw NotFinite(values);
            }
        }
    }

    protected override void DecodeTile(ReadOnlySpan<ReadOnlyMemory<byte>> streams, int rows, Span<float> values)
    {
        ReadOnlySpan<byte> codes = streams[0].Span;
        ReadOnlySpan<byte> scales = streams.Length > 1 ? streams[1].Span : default;
        CheckScales(scales);
        for (int r = 0; r < rows; r++)
        {
            ReadOnlySpan<byte> rowScales = scales.IsEmpty ? scales : scales.Slice(r * RowBytes(1), RowBytes(1));
            _rows.DecodeRow(codes.Slice(r * RowBytes(0), RowBytes(0)), rowScales, _layout, values.Slice(r * Columns, Columns));
        }
    }

    /// <summary>The stream of codes.</summary>
    public static StreamLayout CodesOf(in BlockFloatLayout layout)
    {
        DType code = layout.Element switch
        {
            { IsInteger: true } => DType.I8,
            var e when e == ElementFormat.E4M3 => DType.F8E4M3FN,
            var e when e == ElementFormat.E5M2 => DType.F8E5M2,
            _ => DType.U8,
        };
        return new StreamLayout("codes", layout.CodeBytesPerRow, code);
    }

    private static StreamLayout[] StreamsOf(in BlockFloatLayout layout)
    {
        StreamLayout codes = CodesOf(layout);
        DType scale = layout.Scale switch
        {
            BlockScaleType.E8M0 => DType.F8E8M0,
            BlockScaleType.E4M3 => DType.F8E4M3FN,
            BlockScaleType.F16 => DType.F16,
            BlockScaleType.BF16 => DType.BF16,
            _ => DType.F32,
        };
        return layout.Scale == BlockScaleType.None ? [codes] : [codes, new StreamLayout("scales", (long)layout.BlockCount * layout.ScaleBytes, scale)];
    }

    /// <summary>Rejects what elements cannot express: NaN where neither they nor the scales have one, negative numbers without a sign.</summary>
    private void CheckValues(ReadOnlySpan<float> values)
    {
        ElementFormat element = _layout.Element;
        if (_layout.Scale == BlockScaleType.None && element.Specials == FloatSpecials.None && FiniteCheck.FirstNotFinite(values) >= 0)
        {
            throw NotFinite(values);
        }

        RefuseNegative(values, element);
    }

    private void CheckScales(ReadOnlySpan<byte> scales)
    {
        int bad = _layout.Scale switch
        {
            BlockScaleType.F32 => ScaleType.FirstNotFinite(scales, DType.F32),
            BlockScaleType.F16 => ScaleType.FirstNotFinite(scales, DType.F16),
            BlockScaleType.BF16 => ScaleType.FirstNotFinite(scales, DType.BF16),

            // E4M3's only codes that are no numbers.
            BlockScaleType.E4M3 => scales.IndexOfAny((byte)0x7F, (byte)0xFF),
            _ => -1,
        };
        if (bad >= 0)
        {
            throw BadScale(bad);
        }
    }
}
