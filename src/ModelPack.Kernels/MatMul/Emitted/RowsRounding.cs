using System.Diagnostics.CodeAnalysis;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace ModelPack.Kernels.MatMul;

/// <summary>
/// Rounds blocks of up to eight rows of activations to 8 bits, the same as <see cref="RowRounding"/> does of each, straight into the order of <see cref="PackedActivations"/>: maxima and sums of eight rows are reduced together, by the shuffles
/// that one row would take, and codes are transposed in registers. The machine has AVX-512.
/// </summary>
internal static unsafe class RowsRounding
{
    /// <summary>Most rows.</summary>
    public const int MaxRows = 8;

    private const int Lanes = 16;

    /// <summary>Columns that are rounded at a time.</summary>
    private const int ChunkColumns = 2 * Lanes;

    private const int ChunkGroups = ChunkColumns / sizeof(int);

    /// <summary>Finds the scales of a block. Those of all blocks first, so that none waits for the divisions of the one before.</summary>
    /// <param name="x">Rows.</param>
    /// <param name="column">The first column of the block.</param>
    /// <param name="columns">Columns that exist.</param>
    /// <param name="batchRows">Rows of a batch, at most <see cref="MaxRows"/>; scales of those that do not exist are zero.</param>
    /// <param name="to">Destination of the block: [rows] scales, then [rows] what <see cref="Codes"/> multiplies with, where sums will be.</param>
    [MethodImpl(MethodImplOptions.NoInlining | MethodImplOptions.AggressiveOptimization)]
    public static void Scales(in RowPointers x, int column, int columns, int batchRows, float* to)
    {
        Vector512<int> four = Largest(x.X0 + column, x.X1 + column, x.X2 + column, x.X3 + column, columns);
        Vector512<int> rest = batchRows <= 4 ? Vector512<int>.Zero : Largest(x.X4 + column, x.X5 + column, x.X6 + column, x.X7 + column, columns);

        // Four lanes of 128 bits each: of rows 0 to 3, and of rows 4 to 7.
        Vector512<int> eight = Avx512F.Max(Avx512F.Shuffle4x128(four, rest, 0b10_00_10_00), Avx512F.Shuffle4x128(four, rest, 0b11_01_11_01));
        eight = Avx512F.Max(eight, Avx512F.Shuffle4x128(eight, eight, 0b10_11_00_01));
        Vector256<float> largest = Avx512F.Shuffle4x128(eight, eight, 0b10_00_10_00).GetLower().AsSingle();

        // What is too small to matter, or no number, has codes of zero.
        Vector256<float> infinite = Vector256.Create(float.PositiveInfinity);
        Vector256<float> factor = Vector256.Create((float)RowRounding.LargestCode) / largest;
        Vector256<float> isNumber = Vector256.LessThan(largest, infinite);
        Vector256<float> isUsual = Vector256.LessThan(factor, infinite) & isNumber;
        Vector256<float> exists = Vector256.LessThan(Vector256<int>.Indices, Vector256.Create(x.Rows)).AsSingle();
        Vector256<float> scale = Vector256.ConditionalSelect(isUsual, largest / Vector256.Create((float)RowRounding.LargestCode), Vector256.AndNot(Vector256.Create(float.NaN), isNumber));
        (scale & exists).Store(to);
        (factor & isUsual & exists).Store(to + batchRows);
    }

    /// <summary>Rounds a block.</summary>
    /// <param name="x">Rows.</param>
    /// <param name="column">The first column of the block.</param>
    /// <param name="columns">Columns that exist.</param>
    /// <param name="groups">Groups of four columns, a multiple of four; what does not exist of them is zero.</param>
    /// <param name="sumFactor">What sums are multiplied by.</param>
    /// <param name="batchRows">Rows of a batch.</param>
    /// <param name="to">What <see cref="Scales"/> left: [rows] scales, [rows] sums, [groups, rows, 4] codes, and 32 bytes that stay as they are.</param>
    [MethodImpl(MethodImplOptions.NoInlining | MethodImplOptions.AggressiveOptimization)]
    public static void Codes(in RowPointers x, int column, int columns, int groups, int sumFactor, int batchRows, byte* to)
    {
        float* f = stackalloc float[MaxRows];
        Vector256.Load((float*)to + batchRows).Store(f);
        byte* codes = to + PackedActivations.HeaderBytes(batchRows);
        int bytes = sizeof(int) * batchRows;
        byte* end = codes + (groups * bytes);
        Vector256<byte> next = Vector256.Load(end);
        Vector512<int> sum = Vector512<int>.Zero;
        for (int c = 0; c < groups * sizeof(int); c += ChunkColumns)
        {
            int at = column + c;
            int left = columns - c;
            Vector512<int> p01 = Two(x.X0 + at, f, x.X1 + at, left);
            Vector512<int> p23 = Two(x.X2 + at, f + 2, x.X3 + at, left);
            Vector512<int> p45 = Vector512<int>.Zero;
            Vector512<int> p67 = Vector512<int>.Zero;
            if (batchRows > 4)
            {
                p45 = Two(x.X4 + at, f + 4, x.X5 + at, left);
                p67 = Two(x.X6 + at, f + 6, x.X7 + at, left);
            }

            // In lane l of 128 bits: groups l and 4 + l of four rows.
            Vector512<long> low = Shuffle(p01, p23, 0b10_00_10_00);
            Vector512<long> high = Shuffle(p01, p23, 0b11_01_11_01);
            Vector512<long> lowRest = Shuffle(p45, p67, 0b10_00_10_00);
            Vector512<long> highRest = Shuffle(p45, p67, 0b11_01_11_01);
            Vector512<long> firstTwo = Vector512.Create(0L, 1, 8, 9, 2, 3, 10, 11);
            Vector512<long> lastTwo = Vector512.Create(4L, 5, 12, 13, 6, 7, 14, 15);
            Vector512<sbyte> g01 = Avx512F.PermuteVar8x64x2(low, firstTwo, lowRest).AsSByte();
            Vector512<sbyte> g23 = Avx512F.PermuteVar8x64x2(low, lastTwo, lowRest).AsSByte();
            Vector512<sbyte> g45 = Avx512F.PermuteVar8x64x2(high, firstTwo, highRest).AsSByte();
            Vector512<sbyte> g67 = Avx512F.PermuteVar8x64x2(high, lastTwo, highRest).AsSByte();
            Vector512<byte> ones = Vector512.Create((byte)1);
            Vector512<short> pairs = Avx512BW.MultiplyAddAdjacent(ones, g01) + Avx512BW.MultiplyAddAdjacent(ones, g23) + Avx512BW.MultiplyAddAdjacent(ones, g45) + Avx512BW.MultiplyAddAdjacent(ones, g67);
            sum += Avx512BW.MultiplyAddAdjacent(pairs, Vector512.Create((short)1));
            Put(g01, bytes, codes);
            Put(g23, bytes, codes + (2 * bytes));
            codes += 4 * bytes;
            if (c + Lanes < groups * sizeof(int))
            {
                Put(g45, bytes, codes);
                Put(g67, bytes, codes + (2 * bytes));
                codes += 4 * bytes;
            }
        }

        next.Store(end);

        // Codes of rows that hold infinities or NaN are of no use: their scale makes NaN of everything.
        Vector256<int> sums = (sum.GetLower() + sum.GetUpper()) * Vector256.Create(sumFactor);
        Avx512F.MaskStore((float*)to + batchRows, First(batchRows), sums.ToVector512().AsSingle());
    }

    /// <summary>A mask of the first lanes.</summary>
    private static Vector512<float> First(int lanes) => Vector512.LessThan(Vector512<int>.Indices, Vector512.Create(lanes)).AsSingle();

    /// <summary>16 values; those that do not exist are zero.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<float> Load(float* x, int left) => left >= Lanes ? Vector512.Load(x) : Avx512F.MaskLoad(x, First(left), Vector512<float>.Zero);

    /// <summary>The largest magnitudes of four rows, as bits, infinities and NaN above all numbers: in every lane of 128 bits those of its columns, row by row.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<int> Largest(float* x0, float* x1, float* x2, float* x3, int columns)
    {
        Vector512<int> magnitude = Vector512.Create(0x7FFFFFFF);
        Vector512<int> m0 = Vector512<int>.Zero;
        Vector512<int> m1 = m0;
        Vector512<int> m2 = m0;
        Vector512<int> m3 = m0;
        for (int c = 0; c < columns; c += Lanes)
        {
            int left = columns - c;
            m0 = Avx512F.Max(m0, Load(x0 + c, left).AsInt32() & magnitude);
            m1 = Avx512F.Max(m1, Load(x1 + c, left).AsInt32() & magnitude);
            m2 = Avx512F.Max(m2, Load(x2 + c, left).AsInt32() & magnitude);
            m3 = Avx512F.Max(m3, Load(x3 + c, left).AsInt32() & magnitude);
        }

        Vector512<long> m01 = Avx512F.Max(Avx512F.UnpackLow(m0, m1), Avx512F.UnpackHigh(m0, m1)).AsInt64();
        Vector512<long> m23 = Avx512F.Max(Avx512F.UnpackLow(m2, m3), Avx512F.UnpackHigh(m2, m3)).AsInt64();
        return Avx512F.Max(Avx512F.UnpackLow(m01, m23).AsInt32(), Avx512F.UnpackHigh(m01, m23).AsInt32());
    }

    /// <summary>32 columns of two rows: in lane l of 128 bits the codes of columns 4 l to 4 l + 3, and of the same from 16 on, of the first row, then of the second.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<int> Two(float* first, float* factors, float* second, int left) => Avx512BW.PackSignedSaturate(Words(first, *factors, left), Words(second, factors[1], left)).AsInt32();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<short> Words(float* x, float factor, int left)
    {
        Vector512<float> f = Vector512.Create(factor);
        return Avx512BW.PackSignedSaturate(Avx512F.ConvertToVector512Int32(Load(x, left) * f), Avx512F.ConvertToVector512Int32(Load(x + Lanes, left - Lanes) * f));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<long> Shuffle(Vector512<int> left, Vector512<int> right, [ConstantExpected] byte control) => Avx512F.Shuffle(left.AsSingle(), right.AsSingle(), control).AsInt64();

    /// <summary>Two groups of eight rows, one over the end of the other where batches have fewer.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Put(Vector512<sbyte> groups, int bytes, byte* to)
    {
        groups.GetLower().Store((sbyte*)to);
        groups.GetUpper().Store((sbyte*)to + bytes);
    }
}
