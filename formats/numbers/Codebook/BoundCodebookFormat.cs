using System.Buffers;
using System.Runtime.InteropServices;

namespace ModelPack.Numbers;

/// <summary>A codebook format on a shape.</summary>
internal sealed partial class BoundCodebookFormat(UnitSpec spec, Shape shape, Codebook book, int block, bool nested, SimdTier tier, params StreamLayout[] streams)
    : BoundRowFormat(spec, shape, streams), IFixedScaleFormat
{
    private int BlockCount => RowBytes(1) / (nested ? 1 : sizeof(float));

    protected override void EncodeTile(ReadOnlySpan<float> values, int rows, ReadOnlySpan<Memory<byte>> streams)
    {
        int blocks = BlockCount;
        float[]? rented = nested ? ArrayPool<float>.Shared.Rent(Math.Max(blocks, 1)) : null;
        try
        {
            for (int r = 0; r < rows; r++)
            {
                ReadOnlySpan<float> row = values.Slice(r * Columns, Columns);
                Span<byte> codes = streams[0].Span.Slice(r * RowBytes(0), RowBytes(0));
                Span<byte> stored = streams[1].Span.Slice(r * RowBytes(1), RowBytes(1));
                Span<float> scales = nested ? rented.AsSpan(0, blocks) : MemoryMarshal.Cast<byte, float>(stored);
                if (CodebookRow.Encode(row, block, book, codes, scales, tier) >= 0)
                {
                    throw NotFinite(values);
                }

                if (nested)
                {
                    float offset = NestedScales.Offset(scales);
                    NestedScales.Encode(scales, offset, stored, MemoryMarshal.Cast<byte, float>(streams[2].Span.Slice(r * RowBytes(2), RowBytes(2))), tier);
                    MemoryMarshal.Write(streams[3].Span.Slice(r * RowBytes(3), RowBytes(3)), offset);
                }
            }
        }
        finally
        {
            Return(rented);
        }
    }

    protected override void DecodeTile(ReadOnlySpan<ReadOnlyMemory<byte>> streams, int rows, Span<float> values)
    {
        CheckFinite(MemoryMarshal.Cast<byte, float>(streams[nested ? 2 : 1].Span));
        if (nested)
        {
            CheckFinite(MemoryMarshal.Cast<byte, float>(streams[3].Span));
        }

        int blocks = BlockCount;
        float[]? rented = nested ? ArrayPool<float>.Shared.Rent(Math.Max(blocks, 1)) : null;
        try
        {
            for (int r = 0; r < rows; r++)
            {
                ReadOnlySpan<byte> stored = streams[1].Span.Slice(r * RowBytes(1), RowBytes(1));
                ReadOnlySpan<float> scales = MemoryMarshal.Cast<byte, float>(nested ? default : stored);
                if (nested)
                {
                    NestedScales.Decode(stored, MemoryMarshal.Cast<byte, float>(streams[2].Span.Slice(r * RowBytes(2), RowBytes(2))), MemoryMarshal.Read<float>(streams[3].Span[(r * RowBytes(3))..]), rented.AsSpan(0, blocks), tier);
                    scales = rented.AsSpan(0, blocks);
                }

                CodebookRow.Decode(streams[0].Span.Slice(r * RowBytes(0), RowBytes(0)), block, book, scales, values.Slice(r * Columns, Columns), tier);
            }
        }
        finally
        {
            Return(rented);
        }
    }

    private static void Return(float[]? rented)
    {
        if (rented is not null)
        {
            ArrayPool<float>.Shared.Return(rented);
        }
    }
}
