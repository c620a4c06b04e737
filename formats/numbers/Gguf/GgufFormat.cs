namespace ModelPack.Numbers;

/// <summary>A block type of ggml as GGUF files hold it, under <c>gguf-</c> and its name. See SPEC.md.</summary>
internal class GgufFormat(string id, string summary, GgufCodec codec) : ITieredFormat
{
    public string Id { get; } = id;

    public string Summary { get; } = summary;

    public IBoundNumberFormat Bind(UnitSpec spec, Shape shape) => Bind(spec, shape, SimdTiers.Current);

    public IBoundNumberFormat Bind(UnitSpec spec, Shape shape, SimdTier tier)
    {
        spec.AllowOnly();
        long blocks = (shape.Columns + codec.Values - 1) / codec.Values;
        return new Bound(new UnitSpec(Id), shape, codec, checked(RowLimits.Columns(Id, shape) < 0 ? 0 : blocks * codec.Bytes), tier);
    }

    private sealed class Bound(UnitSpec spec, Shape shape, GgufCodec codec, long rowBytes, SimdTier tier)
        : BoundRowFormat(spec, shape, new StreamLayout("blocks", rowBytes, DType.U8))
    {
        protected override void EncodeTile(ReadOnlySpan<float> values, int rows, ReadOnlySpan<Memory<byte>> streams)
        {
            if (FiniteCheck.FirstNotFinite(values) >= 0)
            {
                throw NotFinite(values);
            }

            // Rows of whole blocks follow each other like blocks of one row: encoders that take several blocks together then find them.
            bool whole = Columns > 0 && Columns % codec.Values == 0;
            if (whole && codec.EncodeRow(values, streams[0].Span, tier))
            {
                return;
            }

            for (int r = 0; r < rows; r++)
            {
                if (!codec.EncodeRow(values.Slice(r * Columns, Columns), streams[0].Span.Slice(r * RowBytes(0), RowBytes(0)), tier))
                {
                    throw new ModelPackException(
                        ErrorCodes.UnrepresentableValue,
                        FormattableString.Invariant($"row {r} of the tile, column 0 to {Columns - 1}, holds values too large for the f16 scales of {Spec.Id}"));
                }
            }
        }

        protected override void DecodeTile(ReadOnlySpan<ReadOnlyMemory<byte>> streams, int rows, Span<float> values)
        {
            ReadOnlySpan<byte> blocks = streams[0].Span;
            for (int r = 0; r < rows; r++)
            {
                codec.DecodeRow(blocks.Slice(r * RowBytes(0), RowBytes(0)), values.Slice(r * Columns, Columns), tier);
            }
        }
    }
}
