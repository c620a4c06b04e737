using System.Globalization;
using System.Numerics;

namespace ModelPack.Toolchain;

/// <summary>
/// Which weights of a matrix are kept: <c>90%</c> drops the 90 % with the least magnitude, <c>2:4</c> keeps the 2 largest of every 4 neighbours, <c>blocks:50%</c> drops half of the
/// 32 x 32 blocks whatever they hold.
/// </summary>
internal sealed class SparsityPattern
{
    /// <summary>Edge of the blocks of <c>blocks:</c> patterns.</summary>
    private const int BlockEdge = 32;

    /// <summary>Columns of the matrix that the cost of an index is stated for.</summary>
    private const int ReferenceColumns = 4096;

    private readonly Kind _kind;
    private readonly int _of;
    private readonly int _kept;

    private SparsityPattern(string text, Kind kind, double density, int kept, int of)
    {
        Text = text;
        Density = density;
        _kind = kind;
        _kept = kept;
        _of = of;
    }

    private enum Kind
    {
        Unstructured,
        Neighbours,
        Blocks,
    }

    /// <summary>The patterns of the published comparison, mildest first within a kind.</summary>
    public static IReadOnlyList<string> Usual { get; } = ["50%", "75%", "90%", "95%", "4:8", "2:4", "1:4", "blocks:50%"];

    /// <summary>As it was written.</summary>
    public string Text { get; }

    /// <summary>Share of the weights that is kept.</summary>
    public double Density { get; }

    /// <summary>What it is, in a few words.</summary>
    public string Summary => _kind switch
    {
        Kind.Neighbours => $"the {_kept} largest of every {_of} weights are kept",
        Kind.Blocks => $"{Text[(Text.IndexOf(':', StringComparison.Ordinal) + 1)..]} of the {BlockEdge} x {BlockEdge} blocks are dropped, whatever they hold",
        _ => $"the {Text} of the weights with the least magnitude are dropped",
    };

    /// <summary>
    /// Bits per weight that say which weights are kept: the cheaper of a mask of one bit per weight and an index per kept weight (within its group of neighbours, or within its row of 4096
    /// and then 32 bits for the row's start); a bit per block for blocks.
    /// </summary>
    public double IndexBits => _kind switch
    {
        Kind.Neighbours => Math.Min(1, Density * BitOperations.Log2(BitOperations.RoundUpToPowerOf2((uint)_of))),
        Kind.Blocks => 1.0 / (BlockEdge * BlockEdge),
        _ => Math.Min(1, (Density * BitOperations.Log2(ReferenceColumns)) + (32.0 / ReferenceColumns)),
    };

    /// <summary>Reads a pattern; null when the text is none.</summary>
    public static SparsityPattern? TryParse(string text)
    {
        const string blocks = "blocks:";
        bool structured = text.StartsWith(blocks, StringComparison.Ordinal);
        string rest = structured ? text[blocks.Length..] : text;
        if (rest.EndsWith('%'))
        {
            return double.TryParse(rest[..^1], NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out double percent) && percent is > 0 and < 100
                ? new SparsityPattern(text, structured ? Kind.Blocks : Kind.Unstructured, 1 - (percent / 100), 0, 0)
                : null;
        }

        string[] parts = rest.Split(':');
        return !structured && parts.Length == 2
            && int.TryParse(parts[0], NumberStyles.None, CultureInfo.InvariantCulture, out int kept)
            && int.TryParse(parts[1], NumberStyles.None, CultureInfo.InvariantCulture, out int of)
            && kept >= 1 && kept < of && of <= 64
            ? new SparsityPattern(text, Kind.Neighbours, (double)kept / of, kept, of)
            : null;
    }

    /// <summary>Drops weights of a matrix in place and collects the kept ones, equally many of every row, in their order.</summary>
    /// <param name="values">[rows, columns]; dropped values become 0.</param>
    /// <param name="rows">A multiple of 32.</param>
    /// <param name="columns">A multiple of 32.</param>
    /// <param name="keptAt">Positions of the kept values, row after row.</param>
    /// <returns>Kept values per row.</returns>
    public int Apply(float[] values, int rows, int columns, out int[] keptAt)
    {
        var kept = new List<int>();
        if (_kind == Kind.Blocks)
        {
            KeepBlocks(rows, columns, kept);
        }
        else
        {
            int group = _kind == Kind.Neighbours ? _of : columns;
            for (int start = 0; start < values.Length; start += group)
            {
                // A last group shorter than the others keeps its share.
                int length = Math.Min(group, columns - (start % columns));
                KeepLargest(values, start, length, _kind == Kind.Neighbours && length == _of ? _kept : (int)Math.Round(Density * length), kept);
                start -= group - length;
            }
        }

        keptAt = [.. kept];
        var dropped = new bool[values.Length];
        Array.Fill(dropped, true);
        foreach (int at in keptAt)
        {
            dropped[at] = false;
        }

        for (int i = 0; i < values.Length; i++)
        {
            values[i] = dropped[i] ? 0 : values[i];
        }

        return keptAt.Length / rows;
    }

    private static void KeepLargest(float[] values, int start, int length, int count, List<int> kept) =>
        kept.AddRange(Enumerable.Range(start, length).OrderByDescending(i => Math.Abs(values[i])).ThenBy(i => i).Take(count).Order());

    /// <summary>The same number of blocks in every row of blocks, spread evenly: for independent weights any choice is a random one.</summary>
    private void KeepBlocks(int rows, int columns, List<int> kept)
    {
        int blocks = columns / BlockEdge;
        int count = (int)Math.Round(Density * blocks);
        for (int row = 0; row < rows; row++)
        {
            for (int column = 0; column < columns; column++)
            {
                int block = column / BlockEdge;
                if ((block + 1) * count / blocks > block * count / blocks)
                {
                    kept.Add((row * columns) + column);
                }
            }
        }
    }
}
