namespace ModelPack.Structures;

/// <summary>Rows of the tall factor, [rows, rank].</summary>
internal abstract class LeftFactor
{
    /// <summary>Numbers in a row.</summary>
    public abstract int Rank { get; }

    /// <summary>Reads rows.</summary>
    public abstract void Read(long firstRow, int rows, Span<float> destination);
}

/// <summary>A stored factor.</summary>
internal sealed class DenseFactor(IValueReader reader) : LeftFactor
{
    public override int Rank => (int)reader.Shape.Columns;

    public override void Read(long firstRow, int rows, Span<float> destination) => reader.ReadRows(firstRow, rows, destination);
}

/// <summary>A factor of which rank rows are unit vectors.</summary>
internal sealed class PivotFactor(PivotRows pivots, int rank, IValueReader others) : LeftFactor
{
    public override int Rank => rank;

    public override void Read(long firstRow, int rows, Span<float> destination)
    {
        for (int i = 0; i < rows; i++)
        {
            int row = checked((int)firstRow + i);
            int stored = pivots.Before(row);
            Span<float> to = destination.Slice(i * rank, rank);
            if (pivots.IsStored(row))
            {
                to.Clear();
                to[stored] = 1;
            }
            else
            {
                others.ReadRows(row - stored, 1, to);
            }
        }
    }
}
