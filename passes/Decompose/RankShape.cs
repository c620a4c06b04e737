using ModelPack.Structures;

namespace ModelPack.Passes;

/// <summary>What ranks a matrix [rows, columns] may have in a structure, and what they cost.</summary>
/// <param name="Structure"><c>lowrank</c>, <c>pivotrank</c>, <c>mpo</c>, <c>tucker2</c> or <c>cp</c>. The rank of <c>tucker2</c> is that of the longer side of inputs and outputs; the other gets as large a part of its own, unless <see cref="Decomposer.Balances"/>.</param>
/// <param name="Rows">N; outputs of a convolution.</param>
/// <param name="Columns">K; inputs times kernel elements of a convolution.</param>
/// <param name="Sites">Cores of a tensor train.</param>
/// <param name="Kernel">Kernel elements of a convolution.</param>
internal sealed record RankShape(string Structure, int Rows, int Columns, int Sites, int Kernel = 1)
{
    /// <summary>More ranks than this are not looked at.</summary>
    private const int MostChoices = 256;

    /// <summary>Parameters of the matrix as it is.</summary>
    public long Dense => (long)Rows * Columns;

    /// <summary>True for tensor trains.</summary>
    public bool IsTrain => Structure == MpoShape.Id;

    /// <summary>True for convolutions.</summary>
    public bool IsConvolution => Structure is ConvolutionFactors.TuckerId or ConvolutionFactors.CpId;

    /// <summary>Inputs of a convolution.</summary>
    public int Inputs => Columns / Kernel;

    /// <summary>The largest rank, at which nothing is lost.</summary>
    public int Full => Structure == ConvolutionFactors.TuckerId ? Math.Max(MostOuter, MostInner)
        : Structure == ConvolutionFactors.CpId ? (int)Math.Min(Math.Min((long)Rows * Kernel, (long)Inputs * Kernel), (long)Rows * Inputs)
        : IsTrain ? (int)Enumerable.Range(0, Sites - 1).Max(k => MpoShape.MaxRank(MpoShape.Factors(Rows, Sites), MpoShape.Factors(Columns, Sites), k)) : Math.Min(Rows, Columns);

    /// <summary>Parameters at a rank.</summary>
    public long Parameters(int rank) => Structure switch
    {
        LowRank.Id => rank * ((long)Rows + Columns),
        LowRank.PivotId => rank * ((long)Rows + Columns - rank),
        ConvolutionFactors.TuckerId => ((long)Rows * Outer(rank)) + ((long)Outer(rank) * Inner(rank) * Kernel) + ((long)Inner(rank) * Inputs),
        ConvolutionFactors.CpId => rank * ((long)Rows + Kernel + Inputs),
        _ => Train(rank).Parameters,
    };

    /// <summary>Outputs of the kernel between, at a rank.</summary>
    public int Outer(int rank) => Structure == ConvolutionFactors.CpId ? rank : Part(rank, MostOuter);

    /// <summary>Inputs of the kernel between.</summary>
    public int Inner(int rank) => Structure == ConvolutionFactors.CpId ? rank : Part(rank, MostInner);

    /// <summary>Outputs beyond which nothing is left to gain.</summary>
    public int MostOuter => Math.Min(Rows, Columns);

    /// <summary>Inputs beyond which nothing is left to gain: few outputs see no more combinations of many inputs than they have kernels.</summary>
    public int MostInner => (int)Math.Min(Inputs, (long)Rows * Kernel);

    /// <summary>Inputs that a number of parameters leaves beside some outputs; 0 for none.</summary>
    public int MostInputs(long parameters, int outer) => (int)Math.Clamp((parameters - ((long)Rows * outer)) / (((long)outer * Kernel) + Inputs), 0, MostInner);

    private int Part(int rank, int side) => Math.Clamp((int)((((long)rank * side) + (Full / 2)) / Full), 1, side);

    /// <summary>Multiplications per row of activations; of a convolution per position, strides left aside.</summary>
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
