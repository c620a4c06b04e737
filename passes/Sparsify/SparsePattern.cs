using System.Globalization;

namespace ModelPack.Passes;

/// <summary>Which weights of a matrix [N, K] are kept or dropped together: single ones, N of every M neighbours in a row (bank-balanced where M is 64), or blocks.</summary>
/// <param name="Kept">Neighbours kept of every <paramref name="Of"/>; 0 where the share of weights decides.</param>
/// <param name="Of">Neighbours of a group; 0 without groups.</param>
/// <param name="Rows">Rows of a block.</param>
/// <param name="Columns">Columns of a block.</param>
internal readonly record struct SparsePattern(int Kept, int Of, int Rows, int Columns)
{
    /// <summary>True for blocks of more than one weight.</summary>
    public bool IsBlocks => Rows * Columns > 1;

    /// <summary>What N:M drops; 0 where the share of weights decides.</summary>
    public double OwnSparsity => Of > 0 ? 1 - ((double)Kept / Of) : 0;

    /// <summary>Reads <c>unstructured</c>, <c>2:4</c> or <c>32x32</c>.</summary>
    /// <exception cref="ModelPackException">MP2004: neither.</exception>
    public static SparsePattern Parse(string text)
    {
        if (text == "unstructured")
        {
            return new SparsePattern(0, 0, 1, 1);
        }

        if (Pair(text, ':') is (int kept, int of) && kept < of && of is 4 or 8 or 16 or 32 or 64)
        {
            return new SparsePattern(kept, of, 1, 1);
        }

        return Pair(text, 'x') is (int rows, int columns) && IsEdge(rows) && IsEdge(columns) && rows * columns % 4 == 0
            ? new SparsePattern(0, 0, rows, columns)
            : throw new ModelPackException(
                ErrorCodes.BadPassOption, $"pass 'sparsify': option 'structure' is 'unstructured', N:M with M of 4, 8, 16, 32 or 64, or blocks as ROWSxCOLUMNS with edges of 1 or a multiple of 4 up to 256, not '{text}'");
    }

    private static bool IsEdge(int edge) => edge == 1 || (edge % 4 == 0 && edge <= 256);

    private static (int First, int Second)? Pair(string text, char separator)
    {
        string[] parts = text.Split(separator);
        return parts.Length == 2 && int.TryParse(parts[0], NumberStyles.None, CultureInfo.InvariantCulture, out int first) && int.TryParse(parts[1], NumberStyles.None, CultureInfo.InvariantCulture, out int second)
            && first > 0 && second > 0
            ? (first, second)
            : null;
    }
}
