using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace ModelPack.Numbers;

/// <summary>
/// The loops of <see cref="Fp8ErrorBins"/>: over 16 lanes the bin of a value and what is to be added there, into scratch memory in the first-level cache; then one 128-bit addition (two f64) per value.
/// </summary>
internal static class Fp8ErrorSums<TLanes>
    where TLanes : struct, ILanes16<TLanes>
{
    private const int Step = 512;

    /// <summary>Bytes of two sums, which a bin has.</summary>
    private const int BinBytes = 2 * sizeof(double);

    /// <summary>Adds values to the sums of their bins.</summary>
    /// <param name="values">[height, width], rows stride apart; finite.</param>
    /// <param name="height">Rows.</param>
    /// <param name="width">Columns.</param>
    /// <param name="stride">From row to row.</param>
    /// <param name="reciprocal">What they are multiplied with.</param>
    /// <param name="topBits">The power of two of the largest binade, as bits of an f32.</param>
    /// <param name="sums">Two for every bin.</param>
    [SkipLocalsInit]
    public static void Add(ReadOnlySpan<float> values, int height, int width, int stride, float reciprocal, int topBits, Span<double> sums)
    {
        Span<float> pairs = stackalloc float[2 * Step];
        Span<float> offsets = stackalloc float[Step];
        Span<float> rest = stackalloc float[16];
        int filled = 0;
        for (int r = 0; r < height; r++)
        {
            ReadOnlySpan<float> row = values.Slice(r * stride, width);
            while (row.Length >= 16)
            {
                int whole = Math.Min(row.Length & ~15, Step - filled);
                Prepare(ref MemoryMarshal.GetReference(row), (uint)whole, reciprocal, topBits, ref offsets[filled], ref pairs[2 * filled]);
                row = row[whole..];
                filled = Flush(filled + whole, offsets, pairs, sums);
            }

            if (!row.IsEmpty)
            {
                // Zeros add nothing.
                rest.Clear();
                row.CopyTo(rest);
                Prepare(ref MemoryMarshal.GetReference(rest), 16, reciprocal, topBits, ref offsets[filled], ref pairs[2 * filled]);
                filled = Flush(filled + 16, offsets, pairs, sums);
            }
        }

        Accumulate(ref MemoryMarshal.GetReference(sums), (uint)filled, ref MemoryMarshal.GetReference(offsets), ref MemoryMarshal.GetReference(pairs));
    }

    /// <summary>Adds what fills the scratch memory; returns how much is in it then.</summary>
    private static int Flush(int filled, Span<float> offsets, Span<float> pairs, Span<double> sums)
    {
        if (filled < Step)
        {
            return filled;
        }

        Accumulate(ref MemoryMarshal.GetReference(sums), Step, ref MemoryMarshal.GetReference(offsets), ref MemoryMarshal.GetReference(pairs));
        return 0;
    }

    /// <summary>
    /// For y = p · m, 1 &lt;= m &lt; 2: the bin, as an offset in bytes, and p² with p² · m. The bin is the upper 9 bits of the significand, and 512 more in the largest binade.
    /// </summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    private static void Prepare(ref float values, nuint length, float reciprocal, int topBits, ref float offsets, ref float pairs)
    {
        TLanes by = TLanes.Create(reciprocal);
        TLanes exponent = TLanes.CreateInt(0x7F800000);
        TLanes belowTop = TLanes.CreateInt(topBits - 1);
        TLanes bin = TLanes.CreateInt((Fp8ErrorBins.Bins - 1) * BinBytes);
        TLanes top = TLanes.CreateInt(Fp8ErrorBins.Bins * BinBytes);
        TLanes magnitude = TLanes.CreateInt(0x7FFFFFFF);
        for (nuint i = 0; i < length; i += 16)
        {
            TLanes y = TLanes.And(TLanes.Multiply(TLanes.Load(ref Unsafe.Add(ref values, i)), by), magnitude);
            TLanes power = TLanes.And(y, exponent);
            TLanes at = TLanes.Or(TLanes.And(TLanes.ShiftRight(y, 10), bin), TLanes.And(TLanes.GreaterInt(y, belowTop), top));
            TLanes.Store(at, ref Unsafe.Add(ref offsets, i));
            TLanes.StorePairs(TLanes.Multiply(power, power), TLanes.Multiply(power, y), ref Unsafe.Add(ref pairs, 2 * i));
        }
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static void Accumulate(ref double sums, nuint length, ref float offsets, ref float pairs)
    {
        for (nuint i = 0; i < length; i += 4)
        {
            ref float offset = ref Unsafe.Add(ref offsets, i);
            ref float pair = ref Unsafe.Add(ref pairs, 2 * i);
            AddPair(ref sums, offset, ref pair);
            AddPair(ref sums, Unsafe.Add(ref offset, 1), ref Unsafe.Add(ref pair, 2));
            AddPair(ref sums, Unsafe.Add(ref offset, 2), ref Unsafe.Add(ref pair, 4));
            AddPair(ref sums, Unsafe.Add(ref offset, 3), ref Unsafe.Add(ref pair, 6));
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void AddPair(ref double sums, float offset, ref float pair)
    {
        ref double at = ref Unsafe.AddByteOffset(ref sums, (nuint)BitConverter.SingleToUInt32Bits(offset));
        Vector128<double> wide = Vector128.WidenLower(Vector128.CreateScalarUnsafe(Unsafe.As<float, double>(ref pair)).AsSingle());
        (Vector128.LoadUnsafe(ref at) + wide).StoreUnsafe(ref at);
    }
}
