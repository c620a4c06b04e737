using System.Numerics;

namespace ModelPack.Structures;

/// <summary>Which rows of a <c>pivotrank</c> matrix are stored and which are combined.</summary>
public sealed class PivotRows
{
    private readonly int[] _before;

    private PivotRows(int[] before) => _before = before;

    /// <summary>Rows of the matrix.</summary>
    public int Count => _before.Length - 1;

    /// <summary>Reads a mask.</summary>
    /// <param name="encoding">The matrix, valid.</param>
    /// <param name="mask">Bit i mod 8 of byte i / 8 says that row i is stored.</param>
    /// <exception cref="ModelPackException">MP1024: bits past the rows, or another number of bits than the rank.</exception>
    public static PivotRows Of(StructuredEncoding encoding, ReadOnlySpan<byte> mask)
    {
        int rows = (int)encoding.Shape[0];
        int[] before = new int[rows + 1];
        for (int i = 0; i < rows; i++)
        {
            before[i + 1] = before[i] + ((mask[i >> 3] >> (i & 7)) & 1);
        }

        int set = 0;
        foreach (byte b in mask)
        {
            set += BitOperations.PopCount(b);
        }

        int rank = encoding.Structure.Int("rank", 0, 1, int.MaxValue);
        return set == before[rows] && set == rank
            ? new PivotRows(before)
            : throw new ModelPackException(ErrorCodes.BadSparseIndex, $"the mask of '{encoding.Structure}' has {set} bits set, {before[rows]} of them for rows, instead of {rank}");
    }

    /// <summary>True when the row is stored.</summary>
    public bool IsStored(int row) => _before[row + 1] != _before[row];

    /// <summary>Stored rows before a row: its number among them if it is one.</summary>
    public int Before(int row) => _before[row];
}
