namespace ModelPack.Passes;

/// <summary>Which units (weights or blocks) of a matrix [rows, K] are kept, chosen by scores.</summary>
internal sealed class PruneMask
{
    private readonly SparsePattern _pattern;
    private readonly int _rows;
    private readonly int _columns;
    private readonly bool[] _kept;

    public PruneMask(SparsePattern pattern, int rows, int columns)
    {
        _pattern = pattern;
        _rows = rows;
        _columns = columns;
        UnitRows = ((rows - 1) / pattern.Rows) + 1;
        UnitColumns = ((columns - 1) / pattern.Columns) + 1;
        _kept = new bool[checked(UnitRows * UnitColumns)];
        _kept.AsSpan().Fill(true);
    }

    private PruneMask(PruneMask other)
        : this(other._pattern, other._rows, other._columns) => other._kept.CopyTo(_kept, 0);

    /// <summary>Rows of units.</summary>
    public int UnitRows { get; }

    /// <summary>Units in a row.</summary>
    public int UnitColumns { get; }

    /// <summary>Units.</summary>
    public int Count => _kept.Length;

    /// <summary>Units that are kept.</summary>
    public ReadOnlySpan<bool> Kept => _kept;

    /// <summary>Share of the weights that is dropped.</summary>
    public double Sparsity
    {
        get
        {
            long dropped = 0;
            for (int unit = 0; unit < _kept.Length; unit++)
            {
                dropped += _kept[unit] ? 0 : WeightsOf(unit);
            }

            return dropped / ((double)_rows * _columns);
        }
    }

    public PruneMask Copy() => new(this);

    /// <summary>Keeps the units of the best scores: so many of the matrix, or so many of every group of neighbours.</summary>
    /// <param name="scores">By unit.</param>
    /// <param name="sparsity">Share of the units that is dropped; where groups decide, how far to go from all to what the pattern keeps, 1 being all the way.</param>
    /// <param name="onlyKept">True to choose among those kept only.</param>
    public void Choose(double[] scores, double sparsity, bool onlyKept)
    {
        // A unit that is out is worth less than any other; equal scores go by position.
        double Key(int unit) => onlyKept && !_kept[unit] ? double.PositiveInfinity : -scores[unit];
        int Worse(int a, int b) => Key(a).CompareTo(Key(b)) is int order and not 0 ? order : a.CompareTo(b);
        if (_pattern.Of == 0)
        {
            int[] all = [.. Enumerable.Range(0, _kept.Length)];
            Array.Sort(all, Worse);
            Mark(all, (int)Math.Round(_kept.Length * (1 - sparsity), MidpointRounding.AwayFromZero));
            return;
        }

        int keep = _pattern.Of - (int)Math.Round((_pattern.Of - _pattern.Kept) * sparsity, MidpointRounding.AwayFromZero);
        Span<int> room = stackalloc int[_pattern.Of];
        for (int row = 0; row < UnitRows; row++)
        {
            for (int first = 0; first < UnitColumns; first += _pattern.Of)
            {
                Span<int> group = room[..Math.Min(_pattern.Of, UnitColumns - first)];
                for (int i = 0; i < group.Length; i++)
                {
                    group[i] = (row * UnitColumns) + first + i;
                }

                group.Sort(Worse);
                Mark(group, Math.Min(keep, group.Length));
            }
        }
    }

    /// <summary>1 for kept places, 0 for others.</summary>
    /// <param name="firstRow">The first row.</param>
    /// <param name="rows">How many.</param>
    /// <param name="places">[rows, K] destination.</param>
    public void Places(int firstRow, int rows, Span<float> places)
    {
        for (int r = 0; r < rows; r++)
        {
            int units = (firstRow + r) / _pattern.Rows * UnitColumns;
            for (int c = 0; c < _columns; c++)
            {
                places[(r * _columns) + c] = _kept[units + (c / _pattern.Columns)] ? 1 : 0;
            }
        }
    }

    /// <summary>Sets what is dropped to 0.</summary>
    /// <param name="values">[rows, K] of the whole matrix.</param>
    public void Apply(Span<float> values)
    {
        for (int r = 0; r < _rows; r++)
        {
            int units = r / _pattern.Rows * UnitColumns;
            for (int c = 0; c < _columns; c++)
            {
                values[(r * _columns) + c] = _kept[units + (c / _pattern.Columns)] ? values[(r * _columns) + c] : 0;
            }
        }
    }

    private void Mark(ReadOnlySpan<int> order, int keep)
    {
        for (int i = 0; i < order.Length; i++)
        {
            _kept[order[i]] = i < keep;
        }
    }

    private long WeightsOf(int unit)
    {
        int row = unit / UnitColumns * _pattern.Rows;
        int column = unit % UnitColumns * _pattern.Columns;
        return (long)Math.Min(_pattern.Rows, _rows - row) * Math.Min(_pattern.Columns, _columns - column);
    }
}
