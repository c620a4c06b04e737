using System.Buffers;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace ModelPack.Numbers;

/// <summary>TL1 or TL2 on a shape. A coded row is a block of BM rows; rows of the tensor can be decoded without the others of their block.</summary>
internal sealed class BoundBitNetTableFormat(UnitSpec spec, BitNetTableLayout layout, bool mean, float? scale, SimdTier tier)
    : BoundRowFormat(spec, layout.Shape, StreamsOf(layout)), IGroupedRowFormat
{
    private readonly Vector128<float>[] _quads = layout.PairColumns > 0 && scale is float s ? BitNetTableKernel.Quads(s) : [];
    private readonly Vector128<float>[] _triples = layout.TripleColumns > 0 && scale is float s ? BitNetTableKernel.Triples(s) : [];

    /// <summary>Bytes interleave rows: whatever rows are wanted, the bytes of the block are.</summary>
    public (int OffsetBytes, int LengthBytes) Part(int stream, int firstRow, int rows) => (0, RowBytes(stream));

    public void DecodePart(ReadOnlySpan<ReadOnlyMemory<byte>> parts, int firstRow, int rows, Span<float> values)
    {
        Check(parts, 1);
        Decode(parts, 0, firstRow, values[..(rows * layout.Columns)]);
    }

    protected override void EncodeTile(ReadOnlySpan<float> values, int rows, ReadOnlySpan<Memory<byte>> streams)
    {
        float gamma = BitNetFormat.ForEncoding(Spec, scale);
        if (FiniteCheck.FirstNotFinite(values) >= 0)
        {
            throw NotFinite(values);
        }

        TernaryScale rule = TernaryScale.Of(mean, gamma);
        int padded = layout.TripleColumns + layout.PairColumns;
        int perBlock = layout.Tiles.RowBlock * padded;
        byte[] trits = ArrayPool<byte>.Shared.Rent(perBlock);
        for (int r = 0; r < rows; r++)
        {
            ReadOnlySpan<float> group = values.Slice(r * Columns, Columns);
            for (int b = 0; b < layout.Blocks; b++)
            {
                trits.AsSpan(0, perBlock).Fill(1);
                int first = b * layout.Tiles.RowBlock;
                int count = Math.Min(layout.Tiles.RowBlock, layout.GroupRows - first);
                for (int m = 0; m < count; m++)
                {
                    Quantize(group.Slice((first + m) * layout.Columns, layout.Columns), rule, trits.AsSpan(m * padded, layout.Columns));
                }

                Span<byte> pairs = Block(streams[^1].Span, r, b, layout.PairBytes);
                BitNetTableKernel.EncodePairs(trits, layout, pairs);
                if (layout.Triples)
                {
                    BitNetTableKernel.EncodeTriples(trits, layout, Block(streams[0].Span, r, b, layout.MagnitudeBytes), Block(streams[1].Span, r, b, layout.SignBytes));
                }
            }
        }

        ArrayPool<byte>.Shared.Return(trits);
    }

    protected override void DecodeTile(ReadOnlySpan<ReadOnlyMemory<byte>> streams, int rows, Span<float> values)
    {
        Check(streams, rows);
        for (int r = 0; r < rows; r++)
        {
            Decode(streams, r, 0, values.Slice(r * Columns, Columns));
        }
    }

    private static StreamLayout[] StreamsOf(in BitNetTableLayout layout)
    {
        var pairs = new StreamLayout(layout.Triples ? "pairs" : "codes", (long)layout.Blocks * layout.PairBytes, DType.U8);
        return layout.Triples
            ? [new("magnitudes", (long)layout.Blocks * layout.MagnitudeBytes, DType.U8), new("signs", (long)layout.Blocks * layout.SignBytes, DType.U8), pairs]
            : [pairs];
    }

    private Span<byte> Block(Span<byte> stream, int group, int block, int bytes) => stream.Slice(((group * layout.Blocks) + block) * bytes, bytes);

    /// <summary>Indexes that stand for no trits have no value: they are looked for before the kernels run.</summary>
    private void Check(ReadOnlySpan<ReadOnlyMemory<byte>> streams, int rows)
    {
        _ = BitNetFormat.ForDecoding(Spec, scale);
        for (int s = 0; s < streams.Length; s++)
        {
            bool signs = layout.Triples && s == 1;
            int bad = signs ? -1 : streams[s].Span[..(rows * RowBytes(s))].IndexOfAnyExcept(layout.Triples && s == 0 ? BitNetTableKernel.MagnitudePairs : BitNetTableKernel.IndexPairs);
            if (bad >= 0)
            {
                throw new ModelPackException(ErrorCodes.BadStream, $"'{Spec.Id}': byte {bad} of '{Streams[s].Role}' in the tile holds an index, {streams[s].Span[bad]:X2}, that stands for no weights");
            }
        }
    }

    /// <summary>Rows of one coded row, the first of them <paramref name="firstRow"/>.</summary>
    private void Decode(ReadOnlySpan<ReadOnlyMemory<byte>> streams, int group, int firstRow, Span<float> values)
    {
        int rows = layout.Columns == 0 ? 0 : values.Length / layout.Columns;
        while (rows > 0)
        {
            int b = firstRow / layout.Tiles.RowBlock;
            int skip = firstRow % layout.Tiles.RowBlock;
            int count = Math.Min(rows, layout.Tiles.RowBlock - skip);
            int block = (group * layout.Blocks) + b;
            Span<float> part = values[..(count * layout.Columns)];
            if (layout.Triples)
            {
                ReadOnlySpan<byte> magnitudes = streams[0].Span.Slice(block * layout.MagnitudeBytes, layout.MagnitudeBytes);
                ReadOnlySpan<byte> signs = streams[1].Span.Slice(block * layout.SignBytes, layout.SignBytes);
                BitNetTableKernel.DecodeTriples(magnitudes, signs, layout, _triples, skip, part);
            }

            BitNetTableKernel.DecodePairs(streams[^1].Span.Slice(block * layout.PairBytes, layout.PairBytes), layout, _quads, skip, part);
            values = values[part.Length..];
            firstRow += count;
            rows -= count;
        }
    }

    private void Quantize(ReadOnlySpan<float> row, TernaryScale rule, Span<byte> codes)
    {
        int done = tier switch
        {
            SimdTier.Vector512 => Quantize<Lanes512>(row, rule, codes),
            SimdTier.Vector256 => Quantize<Lanes256>(row, rule, codes),
            SimdTier.Vector128 => Quantize<Lanes128>(row, rule, codes),
            _ => 0,
        };
        for (int i = done; i < row.Length; i++)
        {
            codes[i] = (byte)(rule.Trit(row[i]) + 1);
        }
    }

    private static int Quantize<TLanes>(ReadOnlySpan<float> row, TernaryScale rule, Span<byte> codes)
        where TLanes : struct, ILanes16<TLanes>
    {
        var map = new TernaryMap<TLanes>(rule);
        ref float x = ref MemoryMarshal.GetReference(row);
        ref byte to = ref MemoryMarshal.GetReference(codes);
        int i = 0;
        for (; i + 16 <= row.Length; i += 16)
        {
            map.Codes(ref Unsafe.Add(ref x, i)).StoreUnsafe(ref to, (nuint)i);
        }

        return i;
    }
}
