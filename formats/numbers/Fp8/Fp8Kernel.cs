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
                if (rule.Searches && amax > 0)
                {
                    scale = Search(values[from..], height, width, grid.Columns, amax, scale, rule, constants);
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

    /// <summary>As <see cref="Fp8Reference.SquaredError"/>.</summary>
    public static double SquaredError(ReadOnlySpan<float> row, float scale, float unit, in SmallFloatFormat f) =>
        SquaredError(row, 1, row.Length, row.Length, scale, unit, f, new SmallFloatKernel<TLanes>.Constants(f));

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

    private static float Search(
        ReadOnlySpan<float> values, int height, int width, int stride, float amax, float start, in Fp8Rule rule, in SmallFloatKernel<TLanes>.Constants constants)
    {
        float best = start;
        float unit = IntBlockReference.ErrorUnit(amax);
        SmallFloatFormat f = rule.Format;
        double least = SquaredError(values, height, width, stride, start, unit, f, constants);
        for (int k = 0; k < Fp8Rule.Candidates; k++)
        {
            float candidate = rule.Candidate(start, k);
            double error = SquaredError(values, height, width, stride, candidate, unit, f, constants);
            if (error < least * IntBlockReference.Margin)
            {
                least = error;
                best = candidate;
            }
        }

        return best;
    }

    private static double SquaredError(
        ReadOnlySpan<float> values, int height, int width, int stride, float scale, float unit, in SmallFloatFormat f, in SmallFloatKernel<TLanes>.Constants constants)
    {
        TLanes scales = TLanes.Create(scale);
        TLanes units = TLanes.Create(unit);

        // A code moved to the place of the f32 exponent and significand is 2^(127 - bias) too small.
        TLanes rebias = TLanes.CreateInt((254 - f.Bias) << 23);
        double total = 0;
        Span<float> tail = stackalloc float[16];
        for (int r = 0; r < height; r++)
        {
            ReadOnlySpan<float> row = values.Slice(r * stride, width);
            ref float x = ref MemoryMarshal.GetReference(row);
            TLanes sums = default;
            for (int i = 0; i < width; i += 16)
            {
                if (i % Fp8Reference.FlushColumns == 0 && i > 0)
                {
                    total += TLanes.Sum(sums);
                    sums = default;
                }

                if (i + 16 > width)
                {
                    tail.Clear();
                    row[i..].CopyTo(tail);
                    sums = AddSquare(sums, TLanes.Load(ref MemoryMarshal.GetReference(tail)), scales, units, rebias, f, constants);
                    break;
                }

                sums = AddSquare(sums, TLanes.Load(ref Unsafe.Add(ref x, i)), scales, units, rebias, f, constants);
            }

            total += TLanes.Sum(sums);
        }

        return total;
    }

    /// <summary>sums + ((|x| - decoded(encoded(|x|))) x unit)^2, every operation rounded on its own.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static TLanes AddSquare(
        TLanes sums, TLanes values, TLanes scale, TLanes unit, TLanes rebias, in SmallFloatFormat f, in SmallFloatKernel<TLanes>.Constants constants)
    {
        TLanes magnitude = TLanes.And(values, constants.MagnitudeMask);
        TLanes code = SmallFloatKernel<TLanes>.Encode(TLanes.Divide(magnitude, scale), f, constants);
        TLanes decoded = TLanes.Multiply(TLanes.Multiply(TLanes.ShiftLeft(code, 23 - f.MantissaBits), rebias), scale);
        TLanes error = TLanes.Multiply(TLanes.Subtract(magnitude, decoded), unit);
        return TLanes.Add(sums, TLanes.Multiply(error, error));
    }
}
