namespace ModelPack.Numbers;

/// <summary>NVFP4 on a shape.</summary>
internal sealed partial class BoundNvfp4Format(UnitSpec spec, Shape shape, float? global, SimdTier tier, params StreamLayout[] streams)
    : BoundRowFormat(spec, shape, streams), IFixedScaleFormat
{
    private readonly Nvfp4Scales? _table = global is float g ? new Nvfp4Scales(g) : null;

    protected override void EncodeTile(ReadOnlySpan<float> values, int rows, ReadOnlySpan<Memory<byte>> streams)
    {
        Nvfp4Scales table = _table ?? throw new ModelPackException(ErrorCodes.BadEncoding, $"'{Spec.Id}' needs its global scale before rows can be encoded");
        if (FiniteCheck.FirstNotFinite(values) >= 0)
        {
            throw NotFinite(values);
        }

        for (int r = 0; r < rows; r++)
        {
            ReadOnlySpan<float> row = values.Slice(r * Columns, Columns);
            Span<byte> codes = streams[0].Span.Slice(r * RowBytes(0), RowBytes(0));
            Span<byte> scales = streams[1].Span.Slice(r * RowBytes(1), RowBytes(1));
            switch (tier)
            {
                case SimdTier.Vector512:
                    Nvfp4Kernel<Lanes512>.EncodeRow(row, table, codes, scales);
                    break;
                case SimdTier.Vector256:
                    Nvfp4Kernel<Lanes256>.EncodeRow(row, table, codes, scales);
                    break;
                case SimdTier.Vector128:
                    Nvfp4Kernel<Lanes128>.EncodeRow(row, table, codes, scales);
                    break;
                default:
                    Nvfp4Reference.EncodeRow(row, table.Global, codes, scales);
                    break;
            }
        }
    }

    protected override void DecodeTile(ReadOnlySpan<ReadOnlyMemory<byte>> streams, int rows, Span<float> values)
    {
        float scale = _table?.Global ?? throw new ModelPackException(ErrorCodes.BadStream, $"'{Spec.Id}' does not say its global scale");
        for (int r = 0; r < rows; r++)
        {
            ReadOnlySpan<byte> codes = streams[0].Span.Slice(r * RowBytes(0), RowBytes(0));
            ReadOnlySpan<byte> scales = streams[1].Span.Slice(r * RowBytes(1), RowBytes(1));
            Span<float> row = values.Slice(r * Columns, Columns);
            switch (tier)
            {
                case SimdTier.Vector512:
                    Nvfp4Kernel<Lanes512>.DecodeRow(codes, scales, scale, row);
                    break;
                case SimdTier.Vector256:
                    Nvfp4Kernel<Lanes256>.DecodeRow(codes, scales, scale, row);
                    break;
                case SimdTier.Vector128:
                    Nvfp4Kernel<Lanes128>.DecodeRow(codes, scales, scale, row);
                    break;
                default:
                    Nvfp4Reference.DecodeRow(codes, scales, scale, row);
                    break;
            }
        }
    }
}
