namespace ModelPack.OrtOps;

/// <summary>
/// Cuts the parts of a product into pieces for ONNX Runtime's threads, which take one after another as they become free. Each thread has a share of its own, in pieces that become smaller (4, 3, 2 and 1 tenths), from which idle threads
/// take what is left: the pool goes through shares in that order. Equal cores finish together; with one of two cores half as fast a run takes 1.05 times as long as the best split, 1.13 times with equal pieces. (A table of ratios per core,
/// learned from run to run as in arXiv 2411.19542, would need to know which thread runs which piece, which the pool does not tell.) Results do not depend on the split.
/// </summary>
internal static class WorkSplit
{
    /// <summary>Multiplications below which threads do not pay.</summary>
    public const long MinWork = 1 << 16;

    private const int PiecesPerShare = 4;

    /// <summary>Tenths of a share before each of its pieces.</summary>
    private static ReadOnlySpan<byte> Before => [0, 4, 7, 9, 10];

    /// <summary>In how many pieces it is worth to do some parts.</summary>
    /// <param name="parts">What can be done by itself.</param>
    /// <param name="work">Multiplications of all of them.</param>
    /// <param name="threads">Threads of the pool.</param>
    public static int Pieces(long parts, double work, int threads) => (int)Math.Min(Math.Min(parts, Math.Max(1, work / MinWork)), (long)threads * PiecesPerShare);

    /// <summary>The first part of a piece; of the piece behind the last one the number of parts.</summary>
    public static long Begin(long parts, long piece, long pieces)
    {
        if (pieces % PiecesPerShare != 0)
        {
            return parts * piece / pieces;
        }

        long share = piece / PiecesPerShare;
        long tenths = (share * 10) + Before[(int)(piece % PiecesPerShare)];
        return parts * tenths / (pieces / PiecesPerShare * 10);
    }
}
