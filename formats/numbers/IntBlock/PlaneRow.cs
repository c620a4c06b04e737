namespace ModelPack.Numbers;

/// <summary>One row whose codes are stored in bit planes: whole blocks through the kernel of a tier, what it leaves by way of packed codes.</summary>
internal static class PlaneRow
{
    /// <summary>Returns an index at or before the first NaN or infinity, in its block; -1 when all values are finite.</summary>
    /// <param name="row">Values.</param>
    /// <param name="layout">The layout of packed codes.</param>
    /// <param name="codes">Planes, blob by blob.</param>
    /// <param name="scales">Scales.</param>
    /// <param name="zeroPoints">Zero points.</param>
    /// <param name="packed">Scratch for the packed codes of the row and <see cref="BitPlanes.Slack"/> bytes.</param>
    /// <param name="tier">Which kernel.</param>
    public static int Encode(ReadOnlySpan<float> row, in IntBlockLayout layout, Span<byte> codes, Span<byte> scales, Span<byte> zeroPoints, Span<byte> packed, SimdTier tier)
    {
        int bad = IntBlockRow.EncodePlanes(row, layout, codes, scales, zeroPoints, tier, out int done);
        if (bad > 0 || done == layout.BlockCount)
        {
            return bad > 0 ? (bad - 1) * layout.Block : -1;
        }

        IntBlockLayout rest = After(layout, done);
        scoped Span<byte> restZeros = zeroPoints;
        Span<byte> oneZero = stackalloc byte[1];
        oneZero.Clear();
        if (done > 0)
        {
            restZeros = layout.FloatZero ? zeroPoints[(done * ScaleType.Bytes(layout.Scale))..] : oneZero[..rest.ZeroPointBytesPerRow];
        }

        int start = done * layout.Block;
        bad = IntBlockRow.Encode(row[start..], rest, packed[..rest.CodeBytesPerRow], scales[(done * ScaleType.Bytes(layout.Scale))..], restZeros, tier);
        if (bad >= 0)
        {
            return start + bad;
        }

        if (done > 0 && !layout.Symmetric && !layout.FloatZero)
        {
            CodePacking.Set(zeroPoints, done, layout.Bits, oneZero[0]);
        }

        int planeBlob = codes.Length / layout.BlockCount;
        for (int b = 0; b < rest.BlockCount; b++)
        {
            BitPlanes.Split(packed.Slice(b * layout.BlobBytes, layout.BlobBytes + BitPlanes.Slack), layout.Block, layout.Bits, codes.Slice((done + b) * planeBlob, planeBlob));
        }

        return -1;
    }

    /// <summary>The inverse of <see cref="Encode"/>.</summary>
    public static void Decode(ReadOnlySpan<byte> codes, ReadOnlySpan<byte> scales, ReadOnlySpan<byte> zeroPoints, in IntBlockLayout layout, Span<float> row, Span<byte> packed, SimdTier tier)
    {
        int done = IntBlockRow.DecodePlanes(codes, scales, zeroPoints, layout, row, tier);
        if (done == layout.BlockCount)
        {
            return;
        }

        IntBlockLayout rest = After(layout, done);
        int planeBlob = codes.Length / layout.BlockCount;
        for (int b = 0; b < rest.BlockCount; b++)
        {
            BitPlanes.Join(codes.Slice((done + b) * planeBlob, planeBlob), layout.Block, layout.Bits, packed.Slice(b * layout.BlobBytes, layout.BlobBytes + BitPlanes.Slack), layout.BlobBytes);
        }

        scoped ReadOnlySpan<byte> restZeros = zeroPoints;
        Span<byte> oneZero = stackalloc byte[1];
        if (done > 0 && layout.FloatZero)
        {
            restZeros = zeroPoints[(done * ScaleType.Bytes(layout.Scale))..];
        }
        else if (done > 0 && !layout.Symmetric)
        {
            oneZero[0] = (byte)CodePacking.Get(zeroPoints, done, layout.Bits);
            restZeros = oneZero;
        }

        IntBlockRow.Decode(packed[..rest.CodeBytesPerRow], scales[(done * ScaleType.Bytes(layout.Scale))..], restZeros, rest, row[(done * layout.Block)..], tier);
    }

    /// <summary>The layout of what follows the first blocks: of all blocks, or of the last, incomplete one, whose zero point is the first of its own stream.</summary>
    private static IntBlockLayout After(in IntBlockLayout layout, int done) =>
        layout with { Columns = layout.Columns - (done * layout.Block), BlockCount = layout.BlockCount - done };
}
