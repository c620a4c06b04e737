using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace ModelPack.Numbers;

/// <summary>
/// <c>fp8</c> encoding over 16 lanes. Lane i takes column i mod 16 of a block's row; a row's last columns below 16 are padded with zeros where lanes are summed and go through
/// <see cref="Fp8Reference"/> where they are encoded. Per lane the arithmetic is that of the reference, so the bytes are the same.
/// </summary>
internal static class Fp8Kernel<TLanes>
    where TLanes : struct, ILanes16<TLanes>
{
    /// <summary>From so many values on bins are faster than to measure all candidates.</summary>
    private const int LeastBinned = 1024;

    /// <summary>As <see cref="Fp8Reference.Encode"/>.</summary>
    public static bool Encode(ReadOnlySpan<float> values, in Fp8Grid grid, in Fp8Rule rule, Span<float> scales, Span<byte> codes)
    {
        var constants = new SmallFloatKernel<TLanes>.Constants(rule.Format);
        SmallFloatFormat format = rule.Format;
        int block = 0;
        for (int r = 0; r < grid.Rows; r += grid.BlockRows)
        {
            int height = Math.Min(grid.BlockRows, grid.Rows - r);
            for (int c = 0; c < grid.Columns; c += grid.BlockColumns)
            {
                int width = Math.Min(grid.BlockColumns, grid.Columns - c);
                int from = (r * grid.Columns) + c;
                float amax = Largest(values[from..], height, width, grid.Columns);
                if (!float.IsFinite(amax))
                {
                    return false;
                }

                float scale = rule.Scale(amax);
                if (rule.SearchesFrom(scale) && amax > 0)
                {
                    scale = Search(values[from..], height, width, grid.Columns, scale, amax, rule);
                }

                scales[block++] = scale;
                EncodeBlock(values[from..], height, width, grid.Columns, scale, format, constants, codes[from..]);
            }
        }

        return true;
    }

    /// <summary>Encodes with one given scale.</summary>
    public static void Encode(ReadOnlySpan<float> values, float scale, in SmallFloatFormat f, Span<byte> codes) =>
        EncodeBlock(values, 1, values.Length, values.Length, scale, f, new SmallFloatKernel<TLanes>.Constants(f), codes);

    private static float Largest(ReadOnlySpan<float> values, int height, int width, int stride)
    {
        TLanes mask = TLanes.CreateInt(0x7FFFFFFF);
        TLanes a = default, b = default;
        int rest = 0;
        for (int r = 0; r < height; r++)
        {
            ReadOnlySpan<float> row = values.Slice(r * stride, width);
            ref float x = ref MemoryMarshal.GetReference(row);
            int i = 0;
            for (; i + 32 <= width; i += 32)
            {
                a = TLanes.MaxInt(a, TLanes.And(TLanes.Load(ref Unsafe.Add(ref x, i)), mask));
                b = TLanes.MaxInt(b, TLanes.And(TLanes.Load(ref Unsafe.Add(ref x, i + 16)), mask));
            }

            for (; i + 16 <= width; i += 16)
            {
                a = TLanes.MaxInt(a, TLanes.And(TLanes.Load(ref Unsafe.Add(ref x, i)), mask));
            }

            for (; i < width; i++)
            {
                rest = Math.Max(rest, BitConverter.SingleToInt32Bits(row[i]) & 0x7FFFFFFF);
            }
        }

        return BitConverter.Int32BitsToSingle(Math.Max(rest, TLanes.MaxIntAcross(TLanes.MaxInt(a, b))));
    }

    private static void EncodeBlock(
        ReadOnlySpan<float> values, int height, int width, int stride, float scale, in SmallFloatFormat f, in SmallFloatKernel<TLanes>.Constants constants, Span<byte> codes)
    {
        TLanes divisor = TLanes.Create(scale);
        for (int r = 0; r < height; r++)
        {
            ReadOnlySpan<float> row = values.Slice(r * stride, width);
            Span<byte> to = codes.Slice(r * stride, width);
            ref float x = ref MemoryMarshal.GetReference(row);
            ref byte q = ref MemoryMarshal.GetReference(to);
            int i = 0;
            for (; i + 16 <= width; i += 16)
            {
                TLanes quotient = TLanes.Divide(TLanes.Load(ref Unsafe.Add(ref x, i)), divisor);
                TLanes.LowBytes(SmallFloatKernel<TLanes>.Encode(quotient, f, constants)).StoreUnsafe(ref q, (nuint)i);
            }

            for (; i < width; i++)
            {
                to[i] = (byte)SmallFloatReference.Encode(row[i] / scale, f);
            }
        }
    }

    [SkipLocalsInit]
    private static float Search(ReadOnlySpan<float> values, int height, int width, int stride, float start, float amax, in Fp8Rule rule)
    {
        Span<float> candidates = stackalloc float[Fp8Rule.Candidates];
        Span<float> reciprocals = stackalloc float[Fp8Rule.Candidates];
        Span<double> errors = stackalloc double[Fp8Rule.Candidates];
        rule.Fill(start, candidates, reciprocals);
        if ((long)height * width < LeastBinned || !Fp8Search<TLanes>.AreDoubled(reciprocals))
        {
            errors.Clear();
            for (int r = 0; r < height; r++)
            {
                Fp8Search<TLanes>.AddErrors(values.Slice(r * stride, width), reciprocals, rule.Format, errors);
            }

            return Fp8Rule.Best(candidates, errors);
        }

        var bins = new Fp8ErrorBins(stackalloc double[Fp8ErrorBins.Length], rule.Format);
        bins.Add<TLanes>(values, height, width, stride, reciprocals[Fp8Rule.Start]);
        uint kept = bins.Choose(reciprocals, amax);
        Fp8Rule.ClearErrors(kept, errors);
        for (int r = 0; r < height && !BitOperations.IsPow2(kept); r++)
        {
            Fp8Search<TLanes>.AddErrors(values.Slice(r * stride, width), reciprocals, kept, rule.Format, errors);
        }

        return Fp8Rule.Best(candidates, errors);
    }
}
