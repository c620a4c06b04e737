namespace ModelPack.Kernels.MatMul;

/// <summary>Code for one row that keeps four sums of a tile in the first registers, however many tiles are done together: the same products are added in the same order.</summary>
/// <param name="tiles">Tiles that are done together.</param>
/// <param name="tileBytes">From one of them to the next.</param>
/// <param name="scale">Stored type of scales of blocks.</param>
/// <param name="windows">Calling convention.</param>
internal abstract class FourSumsRowCode(int tiles, long tileBytes, TileScale scale, bool windows) : RowCode(tiles, tileBytes, scale, windows)
{
    /// <summary>Sums of a tile.</summary>
    protected const int Sums = 4;

    /// <summary>First register that is neither a sum nor a total.</summary>
    protected const int Free = Totals + MaxTiles;

    private const int Totals = MaxTiles * Sums;

    protected sealed override int Total(int tile) => Totals + tile;

    protected sealed override void Begin()
    {
        for (int i = 0; i < Sums * Tiles; i++)
        {
            Code.Clear(i);
        }
    }

    /// <summary>The first sum of a tile = (first + second) + (third + fourth), as <see cref="FloatMatVec{TSimd, TCodes, TValues}"/> adds those of the columns of a group.</summary>
    protected void JoinColumns(int tile)
    {
        int first = tile * Sums;
        Code.AddSingles(first, first, first + 1);
        Code.AddSingles(first + 2, first + 2, first + 3);
        Code.AddSingles(first, first, first + 2);
    }
}
