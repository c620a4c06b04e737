using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace ModelPack.Kernels.MatMul;

/// <summary>
/// A row of a <see cref="MaskedWeight"/> times up to four rows of activations in f32. Lane = place: the values of 16 places are brought to their lanes in registers by their bits (AVX-512: expand; AVX2: a permutation of 8 from
/// a table; else one by one), lanes of other places being 0, and multiplied with the activations of these places. Sums of a block are multiplied by its scale; lanes are added at the end.
/// </summary>
internal static unsafe class MaskedKernels<TValues>
    where TValues : struct, IMaskedValues
{
    /// <summary>Rows of activations at a time.</summary>
    public const int Batch = 4;

    /// <summary>Lanes of values in front for every 8 bits, [256][8].</summary>
    private static readonly int[] Order = MakeOrder();

    /// <param name="mask">Bits of the row.</param>
    /// <param name="values">Values of the row; 64 bytes behind them may be read.</param>
    /// <param name="scales">Of its blocks; null for none.</param>
    /// <param name="units">Units of 16 places.</param>
    /// <param name="unitsPerBlock">Units that share a scale.</param>
    /// <param name="zero">Code of 0.</param>
    /// <param name="x">[rows, stride] activations, 0 past the columns.</param>
    /// <param name="stride">Values from row to row.</param>
    /// <param name="rows">1 to <see cref="Batch"/>.</param>
    /// <param name="y">[rows] sums.</param>
    /// <param name="tier">Instruction set.</param>
    public static void Run(KernelTier tier, byte* mask, byte* values, float* scales, int units, int unitsPerBlock, float zero, float* x, int stride, int rows, float* y)
    {
        switch (tier)
        {
            case KernelTier.Avx512 when rows == 1:
                y[0] = One512((ushort*)mask, values, scales, units, unitsPerBlock, zero, x);
                break;
            case KernelTier.Avx512:
                Four512((ushort*)mask, values, scales, units, unitsPerBlock, zero, x, stride, rows, y);
                break;
            case KernelTier.Avx2:
                for (int r = 0; r < rows; r++)
                {
                    y[r] = One256(mask, values, scales, units, unitsPerBlock, zero, x + (r * (long)stride));
                }

                break;
            default:
                for (int r = 0; r < rows; r++)
                {
                    y[r] = OnePortable(mask, values, scales, units, unitsPerBlock, zero, x + (r * (long)stride));
                }

                break;
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static float One512(ushort* mask, byte* values, float* scales, int units, int unitsPerBlock, float zero, float* x)
    {
        Vector512<float> total = Vector512<float>.Zero;
        for (int unit = 0; unit < units; scales++)
        {
            int end = Math.Min(units, unit + unitsPerBlock);
            Vector512<float> a = Vector512<float>.Zero;
            Vector512<float> b = Vector512<float>.Zero;
            for (; unit < end - 1; unit += 2)
            {
                uint first = mask[unit];
                uint second = mask[unit + 1];
                byte* next = values + (BitOperations.PopCount(first) * TValues.Width);
                a = Avx512F.FusedMultiplyAdd(Expand512(values, first, zero), Vector512.Load(x + (16 * unit)), a);
                b = Avx512F.FusedMultiplyAdd(Expand512(next, second, zero), Vector512.Load(x + (16 * unit) + 16), b);
                values = next + (BitOperations.PopCount(second) * TValues.Width);
            }

            if (unit < end)
            {
                a = Avx512F.FusedMultiplyAdd(Expand512(values, mask[unit], zero), Vector512.Load(x + (16 * unit)), a);
                values += BitOperations.PopCount(mask[unit]) * TValues.Width;
                unit++;
            }

            total = Avx512F.FusedMultiplyAdd(a + b, Vector512.Create(scales == null ? 1f : *scales), total);
            if (scales == null)
            {
                break;
            }
        }

        return Vector512.Sum(total);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Four512(ushort* mask, byte* values, float* scales, int units, int unitsPerBlock, float zero, float* x, int stride, int rows, float* y)
    {
        // Rows that are not there are the first one again.
        float* x1 = x + (rows > 1 ? stride : 0);
        float* x2 = x + (rows > 2 ? 2L * stride : 0);
        float* x3 = x + (rows > 3 ? 3L * stride : 0);
        Vector512<float> t0 = Vector512<float>.Zero;
        Vector512<float> t1 = Vector512<float>.Zero;
        Vector512<float> t2 = Vector512<float>.Zero;
        Vector512<float> t3 = Vector512<float>.Zero;
        for (int unit = 0; unit < units; scales++)
        {
            int end = Math.Min(units, unit + unitsPerBlock);
            Vector512<float> a = Vector512<float>.Zero;
            Vector512<float> b = Vector512<float>.Zero;
            Vector512<float> c = Vector512<float>.Zero;
            Vector512<float> d = Vector512<float>.Zero;
            for (; unit < end; unit++)
            {
                uint bits = mask[unit];
                Vector512<float> weights = Expand512(values, bits, zero);
                values += BitOperations.PopCount(bits) * TValues.Width;
                a = Avx512F.FusedMultiplyAdd(weights, Vector512.Load(x + (16 * unit)), a);
                b = Avx512F.FusedMultiplyAdd(weights, Vector512.Load(x1 + (16 * unit)), b);
                c = Avx512F.FusedMultiplyAdd(weights, Vector512.Load(x2 + (16 * unit)), c);
                d = Avx512F.FusedMultiplyAdd(weights, Vector512.Load(x3 + (16 * unit)), d);
            }

            Vector512<float> scale = Vector512.Create(scales == null ? 1f : *scales);
            t0 = Avx512F.FusedMultiplyAdd(a, scale, t0);
            t1 = Avx512F.FusedMultiplyAdd(b, scale, t1);
            t2 = Avx512F.FusedMultiplyAdd(c, scale, t2);
            t3 = Avx512F.FusedMultiplyAdd(d, scale, t3);
            if (scales == null)
            {
                break;
            }
        }

        float* sums = stackalloc float[Batch];
        (sums[0], sums[1], sums[2], sums[3]) = (Vector512.Sum(t0), Vector512.Sum(t1), Vector512.Sum(t2), Vector512.Sum(t3));
        new ReadOnlySpan<float>(sums, rows).CopyTo(new Span<float>(y, rows));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<float> Expand512(byte* values, uint bits, float zero)
    {
        Vector512<int> powers = Vector512.Create(1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768);
        Vector512<int> set = ~Vector512.Equals(Vector512.Create((int)bits) & powers, Vector512<int>.Zero);
        return Avx512F.Expand(Vector512<float>.Zero, set.AsSingle(), TValues.Load512(values, zero));
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static float One256(byte* mask, byte* values, float* scales, int units, int unitsPerBlock, float zero, float* x)
    {
        Vector256<float> total = Vector256<float>.Zero;
        fixed (int* order = Order)
        {
            for (int unit = 0; unit < units; scales++)
            {
                int end = Math.Min(units, unit + unitsPerBlock);
                Vector256<float> a = Vector256<float>.Zero;
                Vector256<float> b = Vector256<float>.Zero;
                for (; unit < end; unit++)
                {
                    uint first = mask[2 * unit];
                    uint second = mask[(2 * unit) + 1];
                    byte* next = values + (BitOperations.PopCount(first) * TValues.Width);
                    a = Fma.MultiplyAdd(Expand256(values, first, zero, order), Vector256.Load(x + (16 * unit)), a);
                    b = Fma.MultiplyAdd(Expand256(next, second, zero, order), Vector256.Load(x + (16 * unit) + 8), b);
                    values = next + (BitOperations.PopCount(second) * TValues.Width);
                }

                total = Fma.MultiplyAdd(a + b, Vector256.Create(scales == null ? 1f : *scales), total);
                if (scales == null)
                {
                    break;
                }
            }
        }

        return Vector256.Sum(total);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<float> Expand256(byte* values, uint bits, float zero, int* order)
    {
        Vector256<int> set = ~Vector256.Equals(Vector256.Create((int)bits) & Vector256.Create(1, 2, 4, 8, 16, 32, 64, 128), Vector256<int>.Zero);
        return Avx2.PermuteVar8x32(TValues.Load256(values, zero), Vector256.Load(order + (8 * bits))) & set.AsSingle();
    }

    /// <summary>The reference: what the other two compute, but for the order of additions.</summary>
    private static float OnePortable(byte* mask, byte* values, float* scales, int units, int unitsPerBlock, float zero, float* x)
    {
        float total = 0;
        for (int unit = 0; unit < units; scales++)
        {
            int end = Math.Min(units, unit + unitsPerBlock);
            float sum = 0;
            for (; unit < end; unit++)
            {
                for (uint bits = mask[2 * unit] | ((uint)mask[(2 * unit) + 1] << 8); bits != 0; bits &= bits - 1)
                {
                    sum += TValues.Load(values, zero) * x[(16 * unit) + BitOperations.TrailingZeroCount(bits)];
                    values += TValues.Width;
                }
            }

            total += sum * (scales == null ? 1f : *scales);
            if (scales == null)
            {
                break;
            }
        }

        return total;
    }

    private static int[] MakeOrder()
    {
        int[] order = new int[256 * 8];
        for (int bits = 0; bits < 256; bits++)
        {
            for (int place = 0, value = 0; place < 8; place++)
            {
                order[(8 * bits) + place] = ((bits >> place) & 1) != 0 ? value++ : 0;
            }
        }

        return order;
    }
}
