using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace ModelPack.Kernels.MatMul;

/// <summary>
/// Activations as 8-bit integers, one scale per row and block of the weight: code = RNE(x x 127 / largest magnitude of the block), from -127 to 127. Columns and rows that only fill up are zero.
/// </summary>
[StructLayout(LayoutKind.Auto)]
internal readonly unsafe struct ActivationCodes(sbyte* codes, float* scales, int* sums, int rows, int paddedRows)
{
    /// <summary>[padded rows, padded columns].</summary>
    public readonly sbyte* Codes = codes;

    /// <summary>[padded rows, blocks].</summary>
    public readonly float* Scales = scales;

    /// <summary>[padded rows, blocks] sums of the codes times minus the zero point; where blocks of the weight have their own, times -1.</summary>
    public readonly int* Sums = sums;

    /// <summary>Rows of activations.</summary>
    public readonly int Rows = rows;

    /// <summary>Rows with those that fill the last batch.</summary>
    public readonly int PaddedRows = paddedRows;

    /// <summary>Bytes of scratch for the three parts.</summary>
    public static long Bytes(in TileLayout layout, int paddedRows) => paddedRows * ((long)layout.PaddedColumns + (2L * sizeof(int) * layout.Blocks) + 64);

    /// <summary>Where the parts lie in scratch; parameters as of <see cref="Round(float*, int, in TileLayout, int, int, byte*)"/>.</summary>
    public static ActivationCodes At(int rows, in TileLayout layout, int batch, byte* scratch)
    {
        int padded = (rows + batch - 1) / batch * batch;
        float* scales = (float*)scratch;
        int* sums = (int*)(scales + ((long)padded * layout.Blocks));
        return new ActivationCodes((sbyte*)(((nint)(sums + ((long)padded * layout.Blocks)) + 63) & ~63), scales, sums, rows, padded);
    }

    /// <summary>Rounds rows of activations. NaN and infinities make the whole block NaN, as they would make the products.</summary>
    /// <param name="x">[rows, columns].</param>
    /// <param name="rows">Rows.</param>
    /// <param name="layout">Of the weight.</param>
    /// <param name="zero">Zero point of what is multiplied.</param>
    /// <param name="batch">Rows are filled up to a multiple of this.</param>
    /// <param name="scratch"><see cref="Bytes"/> bytes at a multiple of 64.</param>
    public static ActivationCodes Round(float* x, int rows, in TileLayout layout, int zero, int batch, byte* scratch)
    {
        ActivationCodes result = At(rows, layout, batch, scratch);
        int padded = result.PaddedRows;
        float* scales = result.Scales;
        int* sums = result.Sums;
        sbyte* codes = result.Codes;
        int block = layout.BlockUnits * layout.UnitColumns;
        for (int r = 0; r < padded; r++)
        {
            sbyte* row = codes + ((long)r * layout.PaddedColumns);
            if (r >= rows)
            {
                new Span<sbyte>(row, layout.PaddedColumns).Clear();
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
            }
        }

        return result;
    }

    /// <summary>One block; returns its scale.</summary>
    private static float Round(float* x, int count, sbyte* codes, out int sum)
    {
        float largest = Largest(x, count);
        float factor = largest > 0 ? 127f / largest : 0;
        if (!float.IsFinite(factor))
        {
            // The block is too small to matter, or holds something that is no number.
            new Span<sbyte>(codes, count).Clear();
            sum = 0;
            return float.IsFinite(largest) ? 0 : float.NaN;
        }

        int i = 0;
        Vector128<int> sums = Vector128<int>.Zero;
        Vector128<float> f = Vector128.Create(factor);
        for (; i + 16 <= count; i += 16)
        {
            Vector128<int> a = Vector128.ConvertToInt32(Vector128.Round(Vector128.Load(x + i) * f));
            Vector128<int> b = Vector128.ConvertToInt32(Vector128.Round(Vector128.Load(x + i + 4) * f));
            Vector128<int> c = Vector128.ConvertToInt32(Vector128.Round(Vector128.Load(x + i + 8) * f));
            Vector128<int> d = Vector128.ConvertToInt32(Vector128.Round(Vector128.Load(x + i + 12) * f));
            sums += a + b + c + d;
            Vector128.Narrow(Vector128.Narrow(a, b), Vector128.Narrow(c, d)).Store(codes + i);
        }

        sum = Vector128.Sum(sums);
        for (; i < count; i++)
        {
            int code = (int)MathF.Round(x[i] * factor);
            codes[i] = (sbyte)code;
            sum += code;
        }

        return largest / 127f;
    }

    /// <summary>The largest magnitude; NaN when there is a NaN.</summary>
    private static float Largest(float* x, int count)
    {
        int i = 0;
        Vector128<float> largest = Vector128<float>.Zero;
        for (; i + 4 <= count; i += 4)
        {
            largest = Vector128.Max(largest, Vector128.Abs(Vector128.Load(x + i)));
        }

        float result = MathF.Max(MathF.Max(largest[0], largest[1]), MathF.Max(largest[2], largest[3]));
        for (; i < count; i++)
        {
            result = MathF.Max(result, MathF.Abs(x[i]));
        }

        return result;
    }
}
