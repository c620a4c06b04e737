using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace ModelPack.Kernels.MatMul;

/// <summary>
/// Activations as 8-bit integers, one scale per row and block of the weight: code = RNE(x x 127 / largest magnitude of the block), from -127 to 127. Columns and rows that only fill up are zero.
/// </summary>
[StructLayout(LayoutKind.Auto)]
internal readonly unsafe struct ActivationCodes(byte* codes, int codeBytes, float* scales, int* sums, int rows, int paddedRows)
{
    /// <summary>[padded rows, padded columns] of <see cref="CodeBytes"/> each.</summary>
    public readonly byte* Codes = codes;

    /// <summary>1: signed bytes; 2: words, of every four columns the first and third, then the second and fourth (<see cref="WordsDot"/>).</summary>
    public readonly int CodeBytes = codeBytes;

    /// <summary>[padded rows, blocks].</summary>
    public readonly float* Scales = scales;

    /// <summary>[padded rows, blocks] sums of the codes times minus the zero point; where blocks of the weight have their own, times -1.</summary>
    public readonly int* Sums = sums;

    /// <summary>Rows of activations.</summary>
    public readonly int Rows = rows;

    /// <summary>Rows with those that fill the last batch.</summary>
    public readonly int PaddedRows = paddedRows;

    /// <summary>Bytes of scratch for the three parts.</summary>
    public static long Bytes(in TileLayout layout, int paddedRows, int codeBytes) => paddedRows * (((long)layout.PaddedColumns * codeBytes) + (2L * sizeof(int) * layout.Blocks) + 64);

    /// <summary>Where the parts lie in scratch; parameters as of <see cref="Round"/>.</summary>
    public static ActivationCodes At(int rows, in TileLayout layout, int codeBytes, int batch, byte* scratch)
    {
        int padded = (rows + batch - 1) / batch * batch;
        float* scales = (float*)scratch;
        int* sums = (int*)(scales + ((long)padded * layout.Blocks));
        return new ActivationCodes((byte*)(((nint)(sums + ((long)padded * layout.Blocks)) + 63) & ~63), codeBytes, scales, sums, rows, padded);
    }

    /// <summary>Rounds rows of activations.</summary>
    /// <param name="x">[rows, columns].</param>
    /// <param name="rows">Rows.</param>
    /// <param name="layout">Of the weight.</param>
    /// <param name="zero">Zero point of what is multiplied.</param>
    /// <param name="codeBytes">See <see cref="CodeBytes"/>.</param>
    /// <param name="batch">Rows are filled up to a multiple of this.</param>
    /// <param name="scratch"><see cref="Bytes"/> bytes at a multiple of 64.</param>
    public static ActivationCodes Round(float* x, int rows, in TileLayout layout, int zero, int codeBytes, int batch, byte* scratch)
    {
        ActivationCodes result = At(rows, layout, codeBytes, batch, scratch);
        int padded = result.PaddedRows;
        float* scales = result.Scales;
        int* sums = result.Sums;
        byte* codes = result.Codes;
        int block = layout.BlockUnits * layout.UnitColumns;
        for (int r = 0; r < padded; r++)
        {
            sbyte* row = (sbyte*)codes + ((long)r * layout.PaddedColumns * codeBytes);
            if (r >= rows)
            {
                new Span<sbyte>(row, layout.PaddedColumns * codeBytes).Clear();
            }

            long first = (long)r * layout.Blocks;
            if (r >= rows)
            {
                new Span<float>(scales + first, layout.Blocks).Clear();
                new Span<int>(sums + first, layout.Blocks).Clear();
            }
            else
            {
                RowRounding.Run(x + ((long)r * layout.Columns), layout.Columns, block, row, scales + first, sums + first);
                for (int b = 0; b < layout.Blocks; b++)
                {
                    sums[first + b] *= layout.HasZeros ? -1 : -zero;
                }

                new Span<sbyte>(row + layout.Columns, layout.PaddedColumns - layout.Columns).Clear();
                if (codeBytes == 2)
                {
                    ToWords(row, layout.PaddedColumns);
                }
            }
        }

        return result;
    }

    /// <summary>Bytes to words in place, from the end: a multiple of 16.</summary>
    [MethodImpl(MethodImplOptions.NoInlining | MethodImplOptions.AggressiveOptimization)]
    private static void ToWords(sbyte* row, int count)
    {
        Vector128<sbyte> order = Vector128.Create(0, 2, 1, 3, 4, 6, 5, 7, 8, 10, 9, 11, 12, 14, 13, 15);
        for (int i = count - 16; i >= 0; i -= 16)
        {
            Vector128<sbyte> bytes = Vector128.Shuffle(Vector128.Load(row + i), order);
            (Vector128<short> lower, Vector128<short> upper) = Vector128.Widen(bytes);
            lower.Store((short*)row + i);
            upper.Store((short*)row + i + 8);
        }
    }
}
