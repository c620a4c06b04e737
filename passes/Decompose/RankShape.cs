using ModelPack.Structures;

namespace ModelPack.Passes;

/// <summary>What ranks a matrix [rows, columns] may have in a structure, and what they cost.</summary>
/// <param name="Structure"><c>lowrank</c>, <c>pivotrank</c> or <c>mpo</c>.</param>
/// <param name="Rows">N.</param>
/// <param name="Columns">K.</param>
/// <param name="Sites">Cores of a tensor train.</param>
internal sealed record RankShape(string Structure, int Rows, int Columns, int Sites)
{
    /// <summary>More ranks than this are not looked at.</summary>
    private const int MostChoices = 256;

    /// <summary>Parameters of the matrix as it is.</summary>
    public long Dense => (long)Rows * Columns;

    /// <summary>True for tensor trains.</summary>
    public bool IsTrain => Structure == MpoShape.Id;

    /// <summary>The largest rank, at which nothing is lost.</summary>
    public int Full => IsTrain ? (int)Enumerable.Range(0, Sites - 1).Max(k => MpoShape.MaxRank(MpoShape.Factors(Rows, Sites), MpoShape.Factors(Columns, Sites), k)) : Math.Min(Rows, Columns);

    /// <summary>Parameters at a rank.</summary>
    public long Parameters(int rank) => Structure switch
    {
        LowRank.Id => rank * ((long)Rows + Columns),
        LowRank.PivotId => rank * ((long)Rows + Columns - rank),
        _ => Train(rank).Parameters,
    };

    /// <summary>Multiplications per row of activations.</summary>
    public long Multiplications(int rank) => IsTrain ? Train(rank).MultiplicationsPerRow : Parameters(rank);

    /// <summary>The tensor train with one bond dimension, less where that is more than the bond can have.</summary>
    public MpoShape Train(int rank)
    {
        int[] rows = MpoShape.Factors(Rows, Sites);
        int[] columns = MpoShape.Factors(Columns, Sites);
        return new MpoShape(rows, columns, [.. Enumerable.Range(0, Sites - 1).Select(k => (int)Math.Min(rank, MpoShape.MaxRank(rows, columns, k)))]);
    }

    /// <summary>The ranks with fewer parameters than the matrix has, ascending; none where every rank has more.</summary>
    /// <param name="multiple">Of this where the matrix is large enough for some.</param>
    public int[] Choices(int multiple)
    {
        int most = Full - (Structure == LowRank.PivotId && Full == Rows ? 1 : 0);
        int step = Math.Max(1, Math.Min(multiple, most / 8));
        step *= Math.Max(1, most / step / MostChoices);
        var ranks = new List<int>();
        for (int rank = step; rank <= most && Parameters(rank) < Dense; rank += step)
        {
            ranks.Add(rank);
        }

        return ranks.Count == 0 && most >= 1 && Parameters(1) < Dense ? [1] : [.. ranks];
    }
}
