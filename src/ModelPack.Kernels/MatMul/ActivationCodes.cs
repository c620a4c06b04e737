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

    /// <summary>Where the parts lie in scratch; parameters as of <see cref="Round(float*, int, in TileLayout, int, int, int, byte*)"/>.</summary>
    public static ActivationCodes At(int rows, in TileLayout layout, int codeBytes, int batch, byte* scratch)
    {
        int padded = (rows + batch - 1) / batch * batch;
        float* scales = (float*)scratch;
        int* sums = (int*)(scales + ((long)padded * layout.Blocks));
        return new ActivationCodes((byte*)(((nint)(sums + ((long)padded * layout.Blocks)) + 63) & ~63), codeBytes, scales, sums, rows, padded);
    }

    /// <summary>Rounds rows of activations. NaN and infinities make the whole block NaN, as they would make the products.</summary>
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

            for (int b = 0; b < layout.Blocks; b++)
            {
                int first = b * block;
                int count = Math.Min(block, layout.Columns - first);
                long at = ((long)r * layout.Blocks) + b;
                if (r >= rows || count <= 0)
                {
                    scales[at] = 0;
                    sums[at] = 0;
                    continue;
                }

                scales[at] = Round(x + ((long)r * layout.Columns) + first, count, row + first, out int sum);
                sums[at] = sum * (layout.HasZeros ? -1 : -zero);
            }

            if (r < rows)
            {
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

    /// <summary>One block; returns its scale.</summary>
    [MethodImpl(MethodImplOptions.NoInlining | MethodImplOptions.AggressiveOptimization)]
    public static float Round(float* x, int count, sbyte* codes, out int sum)
    {
        int bits = LargestBits(x, count);
        float largest = BitConverter.Int32BitsToSingle(bits);
        float factor = largest > 0 ? 127f / largest : 0;
        if (!float.IsFinite(factor))
        {
            // The block is too small to matter, or holds something that is no number.
            new Span<sbyte>(codes, count).Clear();
            sum = 0;
            return float.IsFinite(largest) ? 0 : float.NaN;
        }

        int i = 0;
        Vector256<int> sums = Vector256<int>.Zero;
        Vector256<float> f = Vector256.Create(factor);
        for (; i + 16 <= count; i += 16)
        {
            Vector256<int> a = Vector256.ConvertToInt32Native(Vector256.Round(Vector256.Load(x + i) * f));
            Vector256<int> b = Vector256.ConvertToInt32Native(Vector256.Round(Vector256.Load(x + i + 8) * f));
            sums += a + b;
            Vector256<short> words = Vector256.Narrow(a, b);
            Vector128.Narrow(words.GetLower(), words.GetUpper()).Store(codes + i);
        }

        sum = Vector256.Sum(sums);
        for (; i < count; i++)
        {
            int code = (int)MathF.Round(x[i] * factor);
            codes[i] = (sbyte)code;
            sum += code;
        }

        return largest / 127f;
    }

    /// <summary>Bits of the largest magnitude, in the order of integers: infinities and NaN are above all numbers.</summary>
    private static int LargestBits(float* x, int count)
    {
        const int magnitude = 0x7FFFFFFF;
        int i = 0;
        Vector256<int> largest = Vector256<int>.Zero;
        Vector256<int> mask = Vector256.Create(magnitude);
        for (; i + 8 <= count; i += 8)
        {
            largest = Vector256.Max(largest, Vector256.Load((int*)x + i) & mask);
        }

        Vector128<int> half = Vector128.Max(largest.GetLower(), largest.GetUpper());
        int result = Math.Max(Math.Max(half[0], half[1]), Math.Max(half[2], half[3]));
        for (; i < count; i++)
        {
            result = Math.Max(result, ((int*)x)[i] & magnitude);
        }

        return result;
    }
}
