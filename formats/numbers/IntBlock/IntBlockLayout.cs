namespace ModelPack.Numbers;

/// <summary>The arguments of an integer block format, resolved for one row length. See SPEC.md for the meaning of each.</summary>
/// <param name="Bits">2 to 8.</param>
/// <param name="Columns">Values per row.</param>
/// <param name="Block">Values per block: a multiple of 16, or the whole row.</param>
/// <param name="BlockCount">Blocks per row.</param>
/// <param name="BlobBytes">Bytes of the codes of one block.</param>
/// <param name="Scale">F32, F16 or BF16.</param>
/// <param name="Symmetric">True when the zero code is always 2^(bits-1).</param>
/// <param name="Search">True for the search of the clipping range with the least squared error.</param>
/// <param name="FloatZero">True when zero points are numbers of the scales' type instead of codes.</param>
internal readonly record struct IntBlockLayout(int Bits, int Columns, int Block, int BlockCount, int BlobBytes, DType Scale, bool Symmetric, bool Search, bool FloatZero = false)
{
    public int CodeBytesPerRow => checked(BlockCount * BlobBytes);

    public int ScaleBytesPerRow => checked(BlockCount * ScaleType.Bytes(Scale));

    public int ZeroPointBytesPerRow => Symmetric ? 0 : FloatZero ? ScaleBytesPerRow : (int)((((long)BlockCount * Bits) + 7) / 8);

    /// <summary>Largest code.</summary>
    public int MaxCode => (1 << Bits) - 1;

    /// <summary>The zero code of symmetric blocks.</summary>
    public int Offset => 1 << (Bits - 1);

    /// <summary>
    /// How many shrink factors the search tries. Few bits gain from clipping outliers far in; many bits only from shifting the grid a little.
    /// </summary>
    public int SearchSteps => Bits <= 3 ? 48 : Bits <= 5 ? 32 : 16;

    /// <summary>The shrink factor of a search step, exact in f32: 1, 63/64, ... or 1, 255/256, ... from 6 bits on.</summary>
    public float Shrink(int step) => 1f - (step / (Bits <= 5 ? 64f : 256f));
}
