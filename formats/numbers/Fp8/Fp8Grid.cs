namespace ModelPack.Numbers;

/// <summary>A matrix cut into blocks of one scale each; the last blocks of a row and of a column may be smaller.</summary>
/// <param name="Rows">Rows of the matrix.</param>
/// <param name="Columns">Columns of the matrix.</param>
/// <param name="BlockRows">Rows of a block, at least 1.</param>
/// <param name="BlockColumns">Columns of a block, at least 1.</param>
internal readonly record struct Fp8Grid(int Rows, int Columns, int BlockRows, int BlockColumns)
{
    /// <summary>Blocks side by side.</summary>
    public int Across => Blocks(Columns, BlockColumns);

    /// <summary>Blocks above one another.</summary>
    public int Down => Blocks(Rows, BlockRows);

    public static int Blocks(int length, int block) => (int)(((long)length + block - 1) / block);
}
