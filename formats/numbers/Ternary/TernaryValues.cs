using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace ModelPack.Numbers;

/// <summary>Questions about tensors that may already be ternary.</summary>
public static class TernaryValues
{
    /// <summary>
    /// True when every value is -g, 0 or g for one g of the tensor, or of its row: then the <c>ternary</c> format with <c>rule=absmax</c> stores it without loss (-0 becomes 0). Stops at the first
    /// value that is not; a tensor of zeros is ternary.
    /// </summary>
    /// <param name="values">Read in tiles of about 64 Ki values.</param>
    /// <param name="perRow">True when rows may have different magnitudes.</param>
    /// <exception cref="ModelPackException">MP1040: a value is NaN or infinite.</exception>
    public static bool AreTernary(IValueReader values, bool perRow)
    {
        bool ternary = true;
        float magnitude = 0;
        RowScan.Run(values, "ternary", (tile, columns) =>
        {
            for (int start = 0; start < tile.Length && ternary; start += columns)
            {
                ReadOnlySpan<float> row = tile.Slice(start, columns);
                float largest = Largest(row);
                if (perRow || magnitude == 0)
                {
                    magnitude = largest;
                }

                ternary = (largest == 0 || largest == magnitude) && OnlyZeroOr(row, magnitude);
            }

            return ternary;
        });
        return ternary;
    }

    /// <summary>The largest magnitude of finite values.</summary>
    internal static float Largest(ReadOnlySpan<float> row)
    {
        int i = 0;
        int largest = 0;
        if (Vector128.IsHardwareAccelerated)
        {
            Vector128<int> mask = Vector128.Create(0x7FFFFFFF);
            Vector128<int> max = default;
            ref float x = ref MemoryMarshal.GetReference(row);
            for (; i + 4 <= row.Length; i += 4)
            {
                max = Vector128.Max(max, Vector128.LoadUnsafe(ref x, (nuint)i).AsInt32() & mask);
            }

            largest = Math.Max(Math.Max(max[0], max[1]), Math.Max(max[2], max[3]));
        }

        for (; i < row.Length; i++)
        {
            largest = Math.Max(largest, BitConverter.SingleToInt32Bits(row[i]) & 0x7FFFFFFF);
        }

        return BitConverter.Int32BitsToSingle(largest);
    }

    private static bool OnlyZeroOr(ReadOnlySpan<float> row, float magnitude)
    {
        foreach (float value in row)
        {
            if (value != 0 && Math.Abs(value) != magnitude)
            {
                return false;
            }
        }

        return true;
    }
}
