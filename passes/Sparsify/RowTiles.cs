namespace ModelPack.Passes;

/// <summary>Rows of a matrix in tiles, several at once, each row by itself: results depend neither on tiles nor on threads.</summary>
internal static class RowTiles
{
    /// <summary>Rows of a tile.</summary>
    public const int Rows = 32;

    /// <param name="rows">Rows of the matrix.</param>
    /// <param name="multiple">Tiles begin at multiples of this.</param>
    /// <param name="threads">Worker threads.</param>
    /// <param name="tile">Given the first row of a tile and how many it has.</param>
    /// <param name="cancellation">Stops.</param>
    public static void Run(int rows, int multiple, int threads, Action<int, int> tile, CancellationToken cancellation)
    {
        int size = (Rows + multiple - 1) / multiple * multiple;
        Parallel.For(0, (rows + size - 1) / size, new ParallelOptions { MaxDegreeOfParallelism = Math.Max(1, threads), CancellationToken = cancellation }, t =>
        {
            int first = t * size;
            tile(first, Math.Min(size, rows - first));
        });
    }
}
