using ModelPack.Codecs;
using ModelPack.Structures;

namespace ModelPack.Pack;

/// <summary>The structure that says with the fewest bits where the elements are that are not zero.</summary>
/// <remarks>
/// All structures store the same values and differ in two costs: the entropy of which blocks, or which elements, are stored, and the zeros that are stored with them, of which codecs
/// leave about half the bits (mantissa and sign planes are not coded).
/// </remarks>
internal static class SparsityChoice
{
    /// <summary>Block layouts with more than this share of zeros inside are not what the matrix was made with.</summary>
    private const int MostFillPercent = 50;

    /// <summary>The best structure, or null when no structure leaves out an eighth of the elements.</summary>
    /// <param name="scan">What is known about the matrix.</param>
    /// <param name="width">Bytes per element.</param>
    /// <param name="fixedStride">Only structures whose values have the same place in every row or block: for values that are to be quantised.</param>
    public static UnitSpec? Best(SparsityScan scan, int width, bool fixedStride)
    {
        long total = scan.Rows * scan.Columns;
        if (scan.NonZero == 0 || scan.NonZero > total - (total / 8))
        {
            return null;
        }

        UnitSpec? best = null;
        long least = long.MaxValue;
        void Consider(UnitSpec spec, long indexBits, long stored, bool padded = false)
        {
            long fill = Math.Max(0, stored - scan.NonZero);
            if (stored > total - (total / 8) || (!padded && fill * 100 > stored * MostFillPercent))
            {
                return;
            }

            long bits = indexBits + (fill * 4 * width);
            if (bits < least)
            {
                (best, least) = (spec, bits);
            }
        }

        foreach ((int rows, int columns, long count) in scan.Blocks)
        {
            long blocks = (((scan.Rows - 1) / rows) + 1) * (((scan.Columns - 1) / columns) + 1);
            Consider(SparseMatrix.Blocks(rows, columns), Entropy(count, blocks), count * rows * columns);
        }

        foreach (int group in (ReadOnlySpan<int>)[4, 8, 16, 64])
        {
            int kept = scan.Fullest(group);
            long groups = scan.Rows * (((scan.Columns - 1) / group) + 1);
            if (kept > 0 && kept < group)
            {
                Consider(group <= 16 ? SparseMatrix.NM(kept, group) : SparseMatrix.BankBalanced(group, kept), groups * Choose(group, kept) / FixedLog2.One, groups * kept);
            }
        }

        if (!fixedStride)
        {
            Consider(SparseMatrix.Bitmap, Entropy(scan.NonZero, total), scan.NonZero);
        }

        return best;
    }

    /// <summary>Bits that say which <paramref name="set"/> of <paramref name="places"/> places.</summary>
    internal static long Entropy(long set, long places)
    {
        if (set == 0 || set == places)
        {
            return 0;
        }

        // Of matrices with more than 2^31 elements the proportions are kept.
        int shift = Math.Max(0, 64 - 31 - System.Numerics.BitOperations.LeadingZeroCount((ulong)places));
        (long k, long n) = (Math.Max(1, set >> shift), Math.Max(2, places >> shift));
        k = Math.Min(k, n - 1);
        var bits = (Int128)n * FixedLog2.Of((uint)n) - ((Int128)k * FixedLog2.Of((uint)k)) - ((Int128)(n - k) * FixedLog2.Of((uint)(n - k)));
        return (long)((bits << shift) >> FixedLog2.FractionBits);
    }

    /// <summary>log2 of the number of ways to choose <paramref name="kept"/> of <paramref name="group"/>, in units of 1 / <see cref="FixedLog2.One"/>.</summary>
    private static long Choose(int group, int kept)
    {
        long log = 0;
        for (int i = 1; i <= kept; i++)
        {
            log += FixedLog2.Of((uint)(group - kept + i)) - (long)FixedLog2.Of((uint)i);
        }

        return log;
    }
}
