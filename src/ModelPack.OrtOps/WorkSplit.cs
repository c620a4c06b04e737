namespace ModelPack.OrtOps;

/// <summary>
/// Cuts the parts of a product into pieces for ONNX Runtime's threads, which take one after another as they become free. Each thread has a share of its own, in pieces that become smaller (4, 3, 2 and 1 tenths), from which idle threads
/// take what is left: the pool goes through shares in that order. Equal cores finish together; with one of two cores half as fast a run takes 1.05 times as long as the best split, 1.13 times with equal pieces. (A table of ratios per core,
/// learned from run to run as in arXiv 2411.19542, would need to know which thread runs which piece, which the pool does not tell.) Results do not depend on the split.
/// </summary>
internal static class WorkSplit
{
    /// <summary>
    /// Multiplications from which on threads pay, 20 to 30 us on one: handing work over takes some of them in a pool that waits actively, and slows down what one thread does. A decoder of 8.4 million parameters in int4, none of whose products but
    /// the head is larger, generates 1290 to 1320 tokens/s on two threads with products split from 2^16 on, 1440 with this (1600 on one thread; AMD EPYC, family 26 model 2, 2026-11-30).
    /// </summary>
    public const long LeastWork = 1 << 19;

    /// <summary>Multiplications of a piece, at least.</summary>
    public const long PieceWork = 1 << 17;

    private const int PiecesPerShare = 4;

    /// <summary>Tenths of a share before each of its pieces.</summary>
    private static ReadOnlySpan<byte> Before => [0, 4, 7, 9, 10];

    /// <summary>In how many pieces it is worth to do some parts.</summary>
    /// <param name="parts">What can be done by itself.</param>
    /// <param name="work">Multiplications of all of them.</param>
    /// <param name="threads">Threads of the pool.</param>
    public static int Pieces(long parts, double work, int threads) => work < LeastWork ? 1 : (int)Math.Min(Math.Min(parts, work / PieceWork), (long)threads * PiecesPerShare);

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
