using System.Globalization;
using System.Numerics;

namespace ModelPack.Structures;

/// <summary>Blocks of R x C elements that are stored whole or not at all: a bit per block, values [blocks, R·C]. See <c>BlockSparse/SPEC.md</c>.</summary>
internal sealed class BlockLayout : SparseLayout
{
    private const int MaxEdge = 256;

    private readonly int _rows;
    private readonly int _columns;

    private BlockLayout(UnitSpec unit, Shape shape, int rows, int columns)
        : base(unit, shape, rows, ((ColumnsOf(shape) - 1) / columns) + 1, rows * columns)
    {
        (_rows, _columns) = (rows, columns);
    }

    /// <summary>Blocks of the whole matrix.</summary>
    public long BlockCount => MaskRows * MaskBits;

    public static BlockLayout Parse(UnitSpec unit, Shape shape)
    {
        unit.AllowOnly("block");
        string[] edges = unit.Text("block", "").Split('x');
        bool valid = edges.Length == 2;
        int rows = 0;
        int columns = 0;
        valid = valid && TryEdge(edges[0], out rows) && TryEdge(edges[1], out columns) && rows * columns % 4 == 0;
        return valid
            ? new BlockLayout(unit, shape, rows, columns)
            : throw new ModelPackException(
                ErrorCodes.BadUnitArgument, $"'{unit.Id}': block={unit.Text("block", "")} is not ROWSxCOLUMNS with edges of 1 or a multiple of 4 up to {MaxEdge}, not both 1");
    }

    public override Shape ValuesShape(long bitsSet) => new(bitsSet, ValuesPerBit);

    public override bool CanHave(Shape values) => values.Rank == 2 && values[1] == ValuesPerBit && values[0] <= BlockCount;

    public override void Expand<T>(ReadOnlySpan<byte> mask, ReadOnlySpan<T> values, Span<T> band)
    {
        int stride = (int)Columns;
        int rows = band.Length / stride;
        band.Clear();
        for (int at = 0; at < mask.Length; at += sizeof(ulong))
        {
            for (ulong word = RowMask.Word(mask, at); word != 0; word &= word - 1)
            {
                int column = ((8 * at) + BitOperations.TrailingZeroCount(word)) * _columns;
                int count = Math.Min(_columns, stride - column);
                for (int r = 0; r < rows; r++)
                {
                    values.Slice(r * _columns, count).CopyTo(band[((r * stride) + column)..]);
                }

                values = values[ValuesPerBit..];
            }
        }
    }

    public override void Gather<T>(ReadOnlySpan<byte> mask, ReadOnlySpan<T> band, Span<T> values)
    {
        int stride = (int)Columns;
        int rows = band.Length / stride;
        values.Clear();
        for (int at = 0; at < mask.Length; at += sizeof(ulong))
        {
            for (ulong word = RowMask.Word(mask, at); word != 0; word &= word - 1)
            {
                int column = ((8 * at) + BitOperations.TrailingZeroCount(word)) * _columns;
                int count = Math.Min(_columns, stride - column);
                for (int r = 0; r < rows; r++)
                {
                    band.Slice((r * stride) + column, count).CopyTo(values[(r * _columns)..]);
                }

                values = values[ValuesPerBit..];
            }
        }
    }

    private static long ColumnsOf(Shape shape) => shape.Rank == 2 ? Math.Max(1, shape[1]) : 1;

    private static bool TryEdge(string text, out int edge) =>
        int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out edge) && text[0] != '0' && (edge == 1 || edge % 4 == 0) && edge <= MaxEdge;
}
