namespace ModelPack.Kernels.MatMul;

/// <summary>Which columns of the activations those of a panel are: runs of equal length.</summary>
/// <param name="starts">First column of each run.</param>
/// <param name="count">Runs.</param>
/// <param name="columns">Columns of each.</param>
internal readonly unsafe struct ColumnRuns(int* starts, int count, int columns)
{
    public readonly int* Starts = starts;
    public readonly int Count = count;
    public readonly int Columns = columns;
}
