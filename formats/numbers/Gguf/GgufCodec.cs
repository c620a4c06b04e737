namespace ModelPack.Numbers;

/// <summary>Rows of blocks of one type; a virtual call per row.</summary>
internal abstract class GgufCodec
{
    /// <summary>Values per block.</summary>
    public abstract int Values { get; }

    /// <summary>Bytes per block.</summary>
    public abstract int Bytes { get; }

    /// <summary>Encodes a row, its last block padded with zeros; false when a block cannot hold its values.</summary>
    public abstract bool EncodeRow(ReadOnlySpan<float> row, Span<byte> blocks, SimdTier tier);

    public abstract void DecodeRow(ReadOnlySpan<byte> blocks, Span<float> row, SimdTier tier);
}

/// <inheritdoc/>
internal sealed class GgufCodec<TBlock> : GgufCodec
    where TBlock : struct, IGgufBlock
{
    public override int Values => TBlock.Values;

    public override int Bytes => TBlock.Bytes;

    public override bool EncodeRow(ReadOnlySpan<float> row, Span<byte> blocks, SimdTier tier)
    {
        blocks.Clear();
        return tier switch
        {
            SimdTier.Vector512 => EncodeRow<Lanes512>(row, blocks),
            SimdTier.Vector256 => EncodeRow<Lanes256>(row, blocks),
            SimdTier.Vector128 => EncodeRow<Lanes128>(row, blocks),
            _ => EncodeRowReference(row, blocks),
        };
    }

    public override void DecodeRow(ReadOnlySpan<byte> blocks, Span<float> row, SimdTier tier)
    {
        Span<float> last = stackalloc float[TBlock.Values];
        int whole = row.Length / TBlock.Values;
        for (int b = 0; b < whole; b++)
        {
            DecodeBlock(blocks.Slice(b * TBlock.Bytes, TBlock.Bytes), row.Slice(b * TBlock.Values, TBlock.Values), tier);
        }

        if (whole * TBlock.Values < row.Length)
        {
            DecodeBlock(blocks.Slice(whole * TBlock.Bytes, TBlock.Bytes), last, tier);
            last[..(row.Length - (whole * TBlock.Values))].CopyTo(row[(whole * TBlock.Values)..]);
        }
    }

    private static void DecodeBlock(ReadOnlySpan<byte> block, Span<float> values, SimdTier tier)
    {
        switch (tier)
        {
            case SimdTier.Vector512:
                TBlock.Decode<Lanes512>(block, values);
                break;
            case SimdTier.Vector256:
                TBlock.Decode<Lanes256>(block, values);
                break;
            case SimdTier.Vector128:
                TBlock.Decode<Lanes128>(block, values);
                break;
            default:
                TBlock.DecodeReference(block, values);
                break;
        }
    }

    /// <summary>Groups of blocks in place; what is left of the row in a copy padded with zeros.</summary>
    private static bool EncodeRow<TLanes>(ReadOnlySpan<float> row, Span<byte> blocks)
        where TLanes : struct, ILanes16<TLanes>
    {
        int values = TBlock.Together * TBlock.Values;
        int bytes = TBlock.Together * TBlock.Bytes;
        int at = 0;
        for (; row.Length >= values; row = row[values..], at += bytes)
        {
            if (!TBlock.Encode<TLanes>(row[..values], blocks.Slice(at, bytes)))
            {
                return false;
            }
        }

        if (row.IsEmpty)
        {
            return true;
        }

        Span<float> padded = stackalloc float[values];
        Span<byte> last = stackalloc byte[bytes];
        padded.Clear();
        last.Clear();
        row.CopyTo(padded);
        bool fits = TBlock.Encode<TLanes>(padded, last);
        last[..(blocks.Length - at)].CopyTo(blocks[at..]);
        return fits;
    }

    private static bool EncodeRowReference(ReadOnlySpan<float> row, Span<byte> blocks)
    {
        Span<float> padded = stackalloc float[TBlock.Values];
        for (int start = 0, at = 0; start < row.Length; start += TBlock.Values, at += TBlock.Bytes)
        {
            scoped ReadOnlySpan<float> values = row[start..Math.Min(start + TBlock.Values, row.Length)];
            if (values.Length < TBlock.Values)
            {
                padded.Clear();
                values.CopyTo(padded);
                values = padded;
            }

            if (!TBlock.EncodeReference(values, blocks.Slice(at, TBlock.Bytes)))
            {
                return false;
            }
        }

        return true;
    }
}
