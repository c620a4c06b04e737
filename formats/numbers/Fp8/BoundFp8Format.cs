using System.Runtime.InteropServices;

namespace ModelPack.Numbers;

/// <summary><c>fp8</c> on a shape.</summary>
/// <param name="spec">The full spec.</param>
/// <param name="shape">The shape whose rows are coded: with <c>scope=tile</c> a row of it is a matrix of the tensor's rows.</param>
/// <param name="element">Element type.</param>
/// <param name="rule">Rule of the encoder.</param>
/// <param name="grid">One coded row as a matrix of blocks; one block for a whole tensor.</param>
/// <param name="scale">The scale of the whole tensor with <c>scope=tensor</c>, where it is known.</param>
/// <param name="tier">Kernels to run.</param>
/// <param name="streams">Codes, and scales unless the whole tensor has one.</param>
internal sealed partial class BoundFp8Format(UnitSpec spec, Shape shape, Fp8Element element, Fp8Rule rule, Fp8Grid grid, float? scale, SimdTier tier, params StreamLayout[] streams)
    : BoundRowFormat(spec, shape, streams), IGroupedRowFormat, IFixedScaleFormat
{
    private bool HasScales => Streams.Count == 2;

    public (int OffsetBytes, int LengthBytes) Part(int stream, int firstRow, int rows)
    {
        if (stream == 0)
        {
            return (firstRow * grid.Columns, rows * grid.Columns);
        }

        int first = firstRow / grid.BlockRows;
        int last = (firstRow + rows - 1) / grid.BlockRows;
        return (first * grid.Across * sizeof(float), (last - first + 1) * grid.Across * sizeof(float));
    }

    public void DecodePart(ReadOnlySpan<ReadOnlyMemory<byte>> parts, int firstRow, int rows, Span<float> values)
    {
        ReadOnlySpan<float> scales = Scales(parts);
        Decode(parts[0].Span[..(rows * grid.Columns)], grid with { Rows = rows }, firstRow % grid.BlockRows, scales, values[..(rows * grid.Columns)]);
    }

    protected override void EncodeTile(ReadOnlySpan<float> values, int rows, ReadOnlySpan<Memory<byte>> streams)
    {
        if (!HasScales)
        {
            EncodeWithOneScale(values, streams[0].Span);
            return;
        }

        Span<float> scales = MemoryMarshal.Cast<byte, float>(streams[1].Span);
        if (values.IsEmpty)
        {
            scales.Fill(1);
            return;
        }

        bool finite = true;
        if (grid.BlockRows == 1 && grid.Rows == 1)
        {
            finite = Encode(values, grid with { Rows = rows }, scales, streams[0].Span);
        }
        else
        {
            int perRow = grid.Across * grid.Down;
            for (int r = 0; r < rows && finite; r++)
            {
                finite = Encode(values.Slice(r * Columns, Columns), grid, scales.Slice(r * perRow, perRow), streams[0].Span.Slice(r * Columns, Columns));
            }
        }

        if (!finite)
        {
            throw NotFinite(values);
        }
    }

    protected override void DecodeTile(ReadOnlySpan<ReadOnlyMemory<byte>> streams, int rows, Span<float> values)
    {
        ReadOnlySpan<float> scales = Scales(streams);
        if (grid.Rows == 1)
        {
            Decode(streams[0].Span, grid with { Rows = rows }, 0, scales, values);
            return;
        }

        int perRow = grid.Across * grid.Down;
        for (int r = 0; r < rows; r++)
        {
            Decode(streams[0].Span.Slice(r * Columns, Columns), grid, 0, scales.Slice(r * perRow, perRow), values.Slice(r * Columns, Columns));
        }
    }

    private bool Encode(ReadOnlySpan<float> values, in Fp8Grid blocks, Span<float> scales, Span<byte> codes) => tier switch
    {
        SimdTier.Vector512 => Fp8Kernel<Lanes512>.Encode(values, blocks, rule, scales, codes),
        SimdTier.Vector256 => Fp8Kernel<Lanes256>.Encode(values, blocks, rule, scales, codes),
        SimdTier.Vector128 => Fp8Kernel<Lanes128>.Encode(values, blocks, rule, scales, codes),
        _ => Fp8Reference.Encode(values, blocks, rule, scales, codes),
    };

    private void EncodeWithOneScale(ReadOnlySpan<float> values, Span<byte> codes)
    {
        if (scale is not float one)
        {
            throw new ModelPackException(ErrorCodes.BadEncoding, $"'{Spec.Id}' with one scale per tensor needs that scale before rows can be encoded");
        }

        if (FiniteCheck.FirstNotFinite(values) >= 0)
        {
            throw NotFinite(values);
        }

        switch (tier)
        {
            case SimdTier.Vector512:
                Fp8Kernel<Lanes512>.Encode(values, one, rule.Format, codes);
                break;
            case SimdTier.Vector256:
                Fp8Kernel<Lanes256>.Encode(values, one, rule.Format, codes);
                break;
            case SimdTier.Vector128:
                Fp8Kernel<Lanes128>.Encode(values, one, rule.Format, codes);
                break;
            default:
                Fp8Reference.EncodeBlock(values, 1, values.Length, values.Length, one, rule.Format, codes);
                break;
        }
    }

    private ReadOnlySpan<float> Scales(ReadOnlySpan<ReadOnlyMemory<byte>> parts)
    {
        if (!HasScales)
        {
            return scale is null ? throw new ModelPackException(ErrorCodes.BadStream, $"'{Spec.Id}' has one scale per tensor and does not say which") : [];
        }

        ReadOnlySpan<float> scales = MemoryMarshal.Cast<byte, float>(parts[1].Span);
        CheckFinite(scales);
        return scales;
    }

    /// <param name="codes">[blocks.Rows, blocks.Columns].</param>
    /// <param name="blocks">The blocks.</param>
    /// <param name="skippedRows">Rows of the first blocks that lie before the codes.</param>
    /// <param name="scales">[blocks down, blocks across], or none.</param>
    /// <param name="values">[blocks.Rows, blocks.Columns].</param>
    private void Decode(ReadOnlySpan<byte> codes, in Fp8Grid blocks, int skippedRows, ReadOnlySpan<float> scales, Span<float> values)
    {
        if (!HasScales)
        {
            element.Table.Decode(codes, scale!.Value, values, tier);
            return;
        }

        int across = blocks.Across;
        for (int r = 0; r < blocks.Rows; r++)
        {
            ReadOnlySpan<float> ofRow = scales.Slice((skippedRows + r) / blocks.BlockRows * across, across);
            for (int c = 0; c < blocks.Columns; c += blocks.BlockColumns)
            {
                int width = Math.Min(blocks.BlockColumns, blocks.Columns - c);
                int at = (r * blocks.Columns) + c;
                element.Table.Decode(codes.Slice(at, width), ofRow[c / blocks.BlockColumns], values.Slice(at, width), tier);
            }
        }
    }
}
