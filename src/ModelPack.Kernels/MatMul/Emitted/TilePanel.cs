namespace ModelPack.Kernels.MatMul;

/// <summary>
/// Blocks of one or two tiles in the order in which <see cref="IntegerRowsCode"/> reads them: of every block the scales of each tile, the zero points of each where blocks have them, then for every group of four columns the 64
/// bytes of each tile.
/// </summary>
internal static unsafe class TilePanel
{
    /// <summary>Blocks are unpacked together up to this size, so that they stay in the first cache with the activations that are streamed past them.</summary>
    private const int TargetBytes = 16 << 10;

    private const int VectorBytes = TilePlanes.VectorBytes;

    /// <summary>Bytes of scales and zero points in front of a block.</summary>
    public static int HeaderBytes(int tiles, bool hasZeros) => tiles * VectorBytes * (hasZeros ? 2 : 1);

    /// <summary>Bytes of a whole block.</summary>
    public static int BlockBytes(int tiles, in TileWeight weight) => HeaderBytes(tiles, weight.HasZeros) + (tiles * TileLayout.TileRows * weight.BlockUnits * weight.UnitColumns);

    /// <summary>Blocks that are unpacked together.</summary>
    public static int Blocks(int tiles, in TileWeight weight) => Math.Clamp(TargetBytes / BlockBytes(tiles, weight), 1, TileScales.Blocks);

    /// <summary>Scales and zero points of a block of one tile.</summary>
    public static void Header(float* scales, int* zeros, bool hasZeros, int tiles, int tile, byte* to)
    {
        Buffer.MemoryCopy(scales, to + (tile * VectorBytes), VectorBytes, VectorBytes);
        if (hasZeros)
        {
            Buffer.MemoryCopy(zeros, to + ((tiles + tile) * VectorBytes), VectorBytes, VectorBytes);
        }
    }
}
