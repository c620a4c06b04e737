using System.Buffers.Binary;

namespace ModelPack.Numbers;

/// <summary>The palette format on a shape whose rows are the groups that have a palette, or plain rows where the tensor has one palette.</summary>
internal sealed class BoundPaletteFormat : BoundRowFormat
{
    private readonly int _bits;
    private readonly DType _entries;
    private readonly Palette? _shared;
    private readonly SimdTier _tier;

    public BoundPaletteFormat(UnitSpec spec, Shape shape, int bits, DType entries, float[]? palette, SimdTier tier, params StreamLayout[] streams)
        : base(spec, shape, streams)
    {
        _bits = bits;
        _entries = entries;
        _tier = tier;
        if (palette is not null)
        {
            _shared = new Palette(bits, palette);
        }
    }

    private bool PerGroup => Streams.Count == 2;

    private int EntryBytes => PaletteText.Bytes(_entries);

    protected override void EncodeTile(ReadOnlySpan<float> values, int rows, ReadOnlySpan<Memory<byte>> streams)
    {
        if (FiniteCheck.FirstNotFinite(values) >= 0)
        {
            throw NotFinite(values);
        }

        if (!PerGroup)
        {
            Palette palette = _shared ?? throw new ModelPackException(ErrorCodes.BadEncoding, $"'{Spec.Id}' with one palette per tensor needs it before rows can be encoded");
            for (int r = 0; r < rows; r++)
            {
                EncodeRow(values.Slice(r * Columns, Columns), palette, streams[0].Span.Slice(r * RowBytes(0), RowBytes(0)));
            }

            return;
        }

        var own = new Palette(_bits);
        Span<float> chosen = stackalloc float[1 << _bits];
        using var palettes = new GroupPalettes(_bits, Columns);
        for (int r = 0; r < rows; r++)
        {
            ReadOnlySpan<float> row = values.Slice(r * Columns, Columns);
            palettes.Choose(row, chosen);
            PaletteText.Round(chosen, _entries);
            own.Fill(chosen);
            Store(chosen, streams[1].Span.Slice(r * RowBytes(1), RowBytes(1)));
            EncodeRow(row, own, streams[0].Span.Slice(r * RowBytes(0), RowBytes(0)));
        }
    }

    protected override void DecodeTile(ReadOnlySpan<ReadOnlyMemory<byte>> streams, int rows, Span<float> values)
    {
        Palette palette = _shared ?? (PerGroup ? new Palette(_bits) : throw new ModelPackException(ErrorCodes.BadStream, $"'{Spec.Id}' has one palette per tensor and does not say which"));
        Span<float> entries = stackalloc float[1 << _bits];
        for (int r = 0; r < rows; r++)
        {
            if (PerGroup)
            {
                Load(streams[1].Span.Slice(r * RowBytes(1), RowBytes(1)), entries);
                palette.Fill(entries);
            }

            ReadOnlySpan<byte> codes = streams[0].Span.Slice(r * RowBytes(0), RowBytes(0));
            Span<float> row = values.Slice(r * Columns, Columns);
            switch (_tier)
            {
                case SimdTier.Scalar:
                    PaletteReference.DecodeRow(codes, palette, row);
                    break;
                case var wide when _bits > 4:
                    PaletteWide.DecodeRow(codes, palette, row, wide);
                    break;
                case SimdTier.Vector512:
                    PaletteKernel<Lanes512>.DecodeRow(codes, palette, row);
                    break;
                case SimdTier.Vector256:
                    PaletteKernel<Lanes256>.DecodeRow(codes, palette, row);
                    break;
                default:
                    PaletteKernel<Lanes128>.DecodeRow(codes, palette, row);
                    break;
            }
        }
    }

    private void EncodeRow(ReadOnlySpan<float> row, Palette palette, Span<byte> codes)
    {
        switch (_tier)
        {
            case SimdTier.Scalar:
                PaletteReference.EncodeRow(row, palette, codes);
                break;
            case var _ when _bits > 4:
                PaletteWide.EncodeRow(row, palette, codes);
                break;
            case SimdTier.Vector512:
                PaletteKernel<Lanes512>.EncodeRow(row, palette, codes);
                break;
            case SimdTier.Vector256:
                PaletteKernel<Lanes256>.EncodeRow(row, palette, codes);
                break;
            default:
                PaletteKernel<Lanes128>.EncodeRow(row, palette, codes);
                break;
        }
    }

    private void Store(ReadOnlySpan<float> palette, Span<byte> bytes)
    {
        for (int i = 0; i < palette.Length; i++)
        {
            uint bits = PaletteText.ToBits(palette[i], _entries);
            if (EntryBytes == 4)
            {
                BinaryPrimitives.WriteUInt32LittleEndian(bytes[(4 * i)..], bits);
            }
            else
            {
                BinaryPrimitives.WriteUInt16LittleEndian(bytes[(2 * i)..], (ushort)bits);
            }
        }
    }

    private void Load(ReadOnlySpan<byte> bytes, Span<float> palette)
    {
        for (int i = 0; i < palette.Length; i++)
        {
            uint bits = EntryBytes == 4 ? BinaryPrimitives.ReadUInt32LittleEndian(bytes[(4 * i)..]) : BinaryPrimitives.ReadUInt16LittleEndian(bytes[(2 * i)..]);
            palette[i] = PaletteText.FromBits(bits, _entries);
            if (!float.IsFinite(palette[i]))
            {
                throw new ModelPackException(ErrorCodes.BadStream, $"'{Spec.Id}': entry {i} of a palette of the tile is not finite");
            }
        }
    }
}
