using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace ModelPack.Kernels.MatMul;

/// <summary>
/// Activations of several rows as 8-bit integers (<see cref="ActivationCodes"/>) in the order in which <see cref="IntegerRowsCode"/> reads them: batches of rows; of each its blocks of columns; of each block the scales of the
/// rows, their sums, then for every group of four columns the four codes of every row. Rows beyond the last have scales of zero.
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

    /// <summary>Bytes of scratch: room for a row behind what is kept, where one row is rounded before it is put in order, with its scales and sums.</summary>
    public static long Bytes(int rows, in TileLayout layout)
    {
        PackedActivations packed = At(rows, layout, null);
        return (packed.Batches * packed.BatchBytes) + Vector256<byte>.Count + layout.PaddedColumns + ((sizeof(float) + sizeof(int)) * (long)layout.Blocks);
    }

    /// <summary>Where they lie in scratch.</summary>
    public static PackedActivations At(int rows, in TileLayout layout, byte* scratch) => new(rows, layout, scratch);

    /// <summary>A block of a batch.</summary>
    public byte* Block(int batch, int block) => _at + (batch * BatchBytes) + (block * BlockBytes);

    /// <summary>Rounds rows; parameters as of <see cref="ActivationCodes.Round"/>.</summary>
    public static void Round(float* x, int rows, in TileLayout layout, int zero, byte* scratch)
    {
        int block = layout.BlockUnits * layout.UnitColumns;
        int factor = layout.HasZeros ? -1 : -zero;
        PackedActivations packed = At(rows, layout, scratch);
        if (rows == 1)
        {
            RoundRow(x, packed, layout, block, factor);
            return;
        }

        for (int batch = 0; batch < packed.Batches; batch++)
        {
            int first = batch * packed.BatchRows;
            var from = new RowPointers(x + ((long)first * layout.Columns), layout.Columns, Math.Min(packed.BatchRows, rows - first));
            for (int b = 0; b < layout.Blocks; b++)
            {
                RowsRounding.Scales(from, b * block, Math.Min(block, layout.Columns - (b * block)), packed.BatchRows, (float*)packed.Block(batch, b));
            }

            for (int b = 0; b < layout.Blocks; b++)
            {
                int groups = Math.Min(block, layout.PaddedColumns - (b * block)) / sizeof(int);
                RowsRounding.Codes(from, b * block, Math.Min(block, layout.Columns - (b * block)), groups, factor, packed.BatchRows, packed.Block(batch, b));
            }
        }
    }

    /// <summary>One row, which is rounded behind its place.</summary>
    private static void RoundRow(float* x, in PackedActivations packed, in TileLayout layout, int block, int factor)
    {
        float* scales = (float*)(packed._at + packed.BatchBytes);
        int* sums = (int*)(scales + layout.Blocks);
        sbyte* codes = (sbyte*)(sums + layout.Blocks);
        RowRounding.Run(x, layout.Columns, block, codes, scales, sums);
        new Span<sbyte>(codes + layout.Columns, layout.PaddedColumns - layout.Columns).Clear();
        byte* to = packed._at;
        for (int b = 0; b < layout.Blocks; b++)
        {
            int bytes = Math.Min(block, layout.PaddedColumns - (b * block));
            *(float*)to = scales[b];
            ((int*)to)[1] = sums[b] * factor;
            Unsafe.CopyBlockUnaligned(to + HeaderBytes(1), codes + ((long)b * block), (uint)bytes);
            to += packed.BlockBytes;
        }
    }

    /// <summary>Rounds activations that lie column by column, two batches at a time; the machine has AVX-512.</summary>
    /// <param name="x">Where offsets start from.</param>
    /// <param name="offsets">[columns] values from there to the rows of each column.</param>
    /// <param name="rows">Rows.</param>
    /// <param name="layout">Of the weight.</param>
    /// <param name="zero">Zero point of what is multiplied.</param>
    /// <param name="scratch"><see cref="Bytes"/> bytes at a multiple of 64.</param>
    public static void RoundColumns(float* x, long* offsets, int rows, in TileLayout layout, int zero, byte* scratch)
    {
        PackedActivations packed = At(rows, layout, scratch);
        int block = layout.BlockUnits * layout.UnitColumns;
        int factor = layout.HasZeros ? -1 : -zero;
        for (int b = 0; b < layout.Blocks; b++)
        {
            int columns = Math.Min(block, layout.Columns - (b * block));
            int groups = Math.Min(block, layout.PaddedColumns - (b * block)) / sizeof(int);
            for (int batch = 0; batch < packed.Batches; batch += 2)
            {
                int first = batch * packed.BatchRows;
                byte* next = batch + 1 < packed.Batches ? packed.Block(batch + 1, b) : null;
                RoundBlock(x + first, offsets + ((long)b * block), columns, groups, rows - first, factor, packed.BatchRows, packed.Block(batch, b), next);
            }
        }
    }

    /// <summary>A block of the rows of one or two batches.</summary>
    [MethodImpl(MethodImplOptions.NoInlining | MethodImplOptions.AggressiveOptimization)]
    private static void RoundBlock(float* x, long* offsets, int columns, int groups, int rows, int sumFactor, int batchRows, byte* to, byte* next)
    {
        bool isNext = next != null;
        Vector512<int> lanes = Vector512<int>.Indices;
        Vector512<float> kept = Vector512.LessThan(lanes, Vector512.Create(batchRows)).AsSingle();
        Vector512<float> there = Vector512.LessThan(lanes, Vector512.Create(Math.Min(!isNext ? batchRows : 2 * batchRows, rows))).AsSingle();
        Vector512<int> second = lanes + Vector512.Create(batchRows);
        var bits = Vector512<int>.Zero;
        for (int c = 0; c < columns; c++)
        {
            bits = Avx512F.Max(bits, Avx512F.MaskLoad(x + offsets[c], there, Vector512<float>.Zero).AsInt32() & Vector512.Create(0x7FFFFFFF));
        }

        // What is too small to matter, or no number, has codes of zero.
        Vector512<float> infinite = Vector512.Create(float.PositiveInfinity);
        Vector512<float> largest = bits.AsSingle();
        Vector512<float> factor = Vector512.Create((float)RowRounding.LargestCode) / largest;
        Vector512<float> isNumber = Vector512.LessThan(largest, infinite);
        Vector512<float> isUsual = Vector512.LessThan(factor, infinite) & isNumber;
        factor &= isUsual;
        Vector512<float> scale = Vector512.ConditionalSelect(isUsual, largest / Vector512.Create((float)RowRounding.LargestCode), Vector512.AndNot(Vector512.Create(float.NaN), isNumber));
        int* codes = (int*)(to + HeaderBytes(batchRows));
        int* nextCodes = (int*)(next + HeaderBytes(batchRows));
        var sum = Vector512<int>.Zero;
        int whole = columns / sizeof(int);
        for (int g = 0; g < groups; g++)
        {
            int left = g < whole ? sizeof(int) : columns - (g * sizeof(int));
            Vector512<int> a = left > 0 ? Code(x + offsets[0], there, factor) : Vector512<int>.Zero;
            Vector512<int> b = left > 1 ? Code(x + offsets[1], there, factor) : Vector512<int>.Zero;
            Vector512<int> c = left > 2 ? Code(x + offsets[2], there, factor) : Vector512<int>.Zero;
            Vector512<int> d = left > 3 ? Code(x + offsets[3], there, factor) : Vector512<int>.Zero;
            sum += a + b + (c + d);
            Put(Group(a, b, c, d), codes, nextCodes, isNext, kept, second);
            codes += batchRows;
            nextCodes += batchRows;
            offsets += sizeof(int);
        }

        Put(scale.AsInt32(), (int*)to, (int*)next, isNext, kept, second);
        Put(sum * Vector512.Create(sumFactor), (int*)to + batchRows, (int*)next + batchRows, isNext, kept, second);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<int> Code(float* column, Vector512<float> there, Vector512<float> factor) =>
        Avx512F.ConvertToVector512Int32(Avx512F.MaskLoad(column, there, Vector512<float>.Zero) * factor);

    /// <summary>The low bytes of four vectors.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<int> Group(Vector512<int> first, Vector512<int> second, Vector512<int> third, Vector512<int> fourth)
    {
        Vector512<int> low = Vector512.Create(0xFF);
        return (first & low) | ((second & low) << 8) | ((third & low) << 16) | (fourth << 24);
    }

    /// <summary>Values of one batch, and those of the next behind them.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Put(Vector512<int> values, int* to, int* next, bool isNext, Vector512<float> kept, Vector512<int> second)
    {
        Avx512F.MaskStore((float*)to, kept, values.AsSingle());
        if (isNext)
        {
            Avx512F.MaskStore((float*)next, kept, Avx512F.PermuteVar16x32(values.AsSingle(), second));
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
