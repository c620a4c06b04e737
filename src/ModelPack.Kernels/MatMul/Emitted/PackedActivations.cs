using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace ModelPack.Kernels.MatMul;

/// <summary>
/// Activations of several rows as 8-bit integers (<see cref="ActivationCodes"/>) in the order in which <see cref="IntegerRowsCode"/> reads them: batches of rows; of each its blocks of columns; of each block the scales of the
/// rows, their sums, then for every group of four columns the four codes of every row. Rows beyond the last are zero.
/// </summary>
[StructLayout(LayoutKind.Auto)]
internal readonly unsafe struct PackedActivations
{
    private readonly byte* _at;

    private PackedActivations(int rows, in TileLayout layout, byte* scratch)
    {
        Batches = (rows + IntegerRowsCode.MaxRows - 1) / IntegerRowsCode.MaxRows;
        BatchRows = (rows + Batches - 1) / Batches;
        BlockBytes = HeaderBytes(BatchRows) + ((long)layout.BlockUnits * layout.UnitColumns * BatchRows);
        BatchBytes = ((long)layout.Blocks * HeaderBytes(BatchRows)) + ((long)layout.PaddedColumns * BatchRows);
        _at = scratch;
    }

    /// <summary>Batches.</summary>
    public int Batches { get; }

    /// <summary>Rows of each, as equal as can be.</summary>
    public int BatchRows { get; }

    private long BlockBytes { get; }

    private long BatchBytes { get; }

    /// <summary>Bytes of scales and sums in front of a block.</summary>
    public static int HeaderBytes(int rows) => rows * (sizeof(float) + sizeof(int));

    /// <summary>Bytes of scratch: one row more than is kept, which is rounded before it is put in order.</summary>
    public static long Bytes(int rows, in TileLayout layout)
    {
        PackedActivations packed = At(rows, layout, null);
        return (packed.Batches * packed.BatchBytes) + layout.PaddedColumns;
    }

    /// <summary>Where they lie in scratch.</summary>
    public static PackedActivations At(int rows, in TileLayout layout, byte* scratch) => new(rows, layout, scratch);

    /// <summary>A block of a batch.</summary>
    public byte* Block(int batch, int block) => _at + (batch * BatchBytes) + (block * BlockBytes);

    /// <summary>Rounds rows; parameters as of <see cref="ActivationCodes.Round(float*, int, in TileLayout, int, int, int, byte*)"/>.</summary>
    public static void Round(float* x, int rows, in TileLayout layout, int zero, byte* scratch)
    {
        PackedActivations packed = At(rows, layout, scratch);
        sbyte* codes = (sbyte*)(scratch + (packed.Batches * packed.BatchBytes));
        int block = layout.BlockUnits * layout.UnitColumns;
        int batchRows = packed.BatchRows;
        for (int row = 0; row < packed.Batches * batchRows; row++)
        {
            int place = row % batchRows;
            for (int b = 0; b < layout.Blocks; b++)
            {
                byte* to = packed.Block(row / batchRows, b);
                int first = b * block;
                int count = row < rows ? Math.Min(block, layout.Columns - first) : 0;
                int padded = Math.Min(block, layout.PaddedColumns - first);
                float scale = 0;
                int sum = 0;
                if (count > 0)
                {
                    scale = ActivationCodes.Round(x + ((long)row * layout.Columns) + first, count, codes, out sum);
                }

                new Span<sbyte>(codes + Math.Max(0, count), padded - Math.Max(0, count)).Clear();
                ((float*)to)[place] = scale;
                ((int*)to)[batchRows + place] = sum * (layout.HasZeros ? -1 : -zero);
                Scatter((int*)codes, padded / sizeof(int), (int*)(to + HeaderBytes(batchRows)) + place, batchRows);
            }
        }
    }

    /// <summary>Puts the groups of one row, 4 bytes each, between those of the others of its batch.</summary>
    [MethodImpl(MethodImplOptions.NoInlining | MethodImplOptions.AggressiveOptimization)]
    internal static void Scatter(int* groups, int count, int* to, int stride)
    {
        for (int i = 0; i < count; i++)
        {
            *to = groups[i];
            to += stride;
        }
    }
}
