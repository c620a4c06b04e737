using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace ModelPack.Kernels.MatMul;

/// <summary>Activations of several rows rounded to BF16 in the order in which <see cref="BFloat16RowsCode"/> reads them: batches of rows; of each for every pair of columns the pairs of every row. What only fills up is zero.</summary>
[StructLayout(LayoutKind.Auto)]
internal readonly unsafe struct PackedBFloat16
{
    private readonly uint* _at;
    private readonly int _pairs;

    private PackedBFloat16(int rows, int maxRows, in TileLayout layout, void* scratch)
    {
        Batches = (rows + maxRows - 1) / maxRows;
        BatchRows = (rows + Batches - 1) / Batches;
        _pairs = layout.PaddedColumns / BFloat16RowsCode.PairColumns;
        _at = (uint*)scratch;
    }

    /// <summary>Batches.</summary>
    public int Batches { get; }

    /// <summary>Rows of each, as equal as can be.</summary>
    public int BatchRows { get; }

    /// <summary>Bytes of scratch; of a row more, where a row is rounded before it is put in order.</summary>
    public static long Bytes(int rows, int maxRows, in TileLayout layout)
    {
        PackedBFloat16 packed = At(rows, maxRows, layout, null);
        return sizeof(uint) * (((long)packed.Batches * packed.BatchRows) + 1) * packed._pairs;
    }

    /// <summary>Where they lie in scratch.</summary>
    public static PackedBFloat16 At(int rows, int maxRows, in TileLayout layout, void* scratch) => new(rows, maxRows, layout, scratch);

    /// <summary>From a column of a batch on.</summary>
    public byte* Column(int batch, int column) => (byte*)(_at + (((long)batch * _pairs) + (column / BFloat16RowsCode.PairColumns)) * BatchRows);

    /// <summary>Rounds rows to nearest, ties to even.</summary>
    /// <param name="x">[rows, columns].</param>
    /// <param name="rows">Rows.</param>
    /// <param name="maxRows">Most rows of a batch.</param>
    /// <param name="layout">Of the weight.</param>
    /// <param name="scratch"><see cref="Bytes"/> bytes at a multiple of 64.</param>
    public static void Round(float* x, int rows, int maxRows, in TileLayout layout, void* scratch)
    {
        PackedBFloat16 packed = At(rows, maxRows, layout, scratch);
        int all = packed.Batches * packed.BatchRows;
        uint* row = packed._at + ((long)all * packed._pairs);
        for (int r = 0; r < all; r++)
        {
            if (r < rows)
            {
                Round(x + ((long)r * layout.Columns), layout.Columns, (ushort*)row);
                new Span<ushort>((ushort*)row + layout.Columns, layout.PaddedColumns - layout.Columns).Clear();
            }
            else
            {
                new Span<uint>(row, packed._pairs).Clear();
            }

            PackedActivations.Scatter((int*)row, packed._pairs, (int*)packed.Column(r / packed.BatchRows, 0) + (r % packed.BatchRows), packed.BatchRows);
        }
    }

    /// <summary>Rounds rows that lie column by column; the machine has AVX-512, and no batch more rows than a vector.</summary>
    /// <param name="x">Where offsets start from.</param>
    /// <param name="offsets">[columns] values from there to the rows of each column.</param>
    /// <param name="rows">Rows.</param>
    /// <param name="maxRows">Most rows of a batch.</param>
    /// <param name="layout">Of the weight.</param>
    /// <param name="scratch"><see cref="Bytes"/> bytes at a multiple of 64.</param>
    [MethodImpl(MethodImplOptions.NoInlining | MethodImplOptions.AggressiveOptimization)]
    public static void RoundColumns(float* x, long* offsets, int rows, int maxRows, in TileLayout layout, void* scratch)
    {
        PackedBFloat16 packed = At(rows, maxRows, layout, scratch);
        int batchRows = packed.BatchRows;
        Vector512<int> lanes = Vector512<int>.Indices;
        Vector512<float> kept = Vector512.LessThan(lanes, Vector512.Create(batchRows)).AsSingle();
        for (int batch = 0; batch < packed.Batches; batch++)
        {
            float* at = x + (batch * batchRows);
            Vector512<float> there = Vector512.LessThan(lanes, Vector512.Create(Math.Min(batchRows, rows - (batch * batchRows)))).AsSingle();
            float* to = (float*)packed.Column(batch, 0);
            for (int pair = 0; pair < packed._pairs; pair++)
            {
                int column = pair * BFloat16RowsCode.PairColumns;
                Vector512<uint> first = column < layout.Columns ? Bits(Avx512F.MaskLoad(at + offsets[column], there, Vector512<float>.Zero)) : Vector512<uint>.Zero;
                Vector512<uint> second = column + 1 < layout.Columns ? Bits(Avx512F.MaskLoad(at + offsets[column + 1], there, Vector512<float>.Zero)) : Vector512<uint>.Zero;
                Avx512F.MaskStore(to, kept, (first | (second << 16)).AsSingle());
                to += batchRows;
            }
        }
    }

    [MethodImpl(MethodImplOptions.NoInlining | MethodImplOptions.AggressiveOptimization)]
    public static void Round(float* x, int count, ushort* to)
    {
        int i = 0;
        for (; i + 32 <= count; i += 32)
        {
            Vector512.Narrow(Bits(Vector512.Load(x + i)), Bits(Vector512.Load(x + i + 16))).Store(to + i);
        }

        for (; i < count; i++)
        {
            to[i] = (ushort)Bits(Vector512.CreateScalar(x[i]))[0];
        }
    }

    /// <summary>The upper halves, rounded; NaN stays NaN.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<uint> Bits(Vector512<float> x)
    {
        Vector512<uint> bits = x.AsUInt32();
        Vector512<uint> rounded = (bits + Vector512.Create(0x7FFFu) + ((bits >>> 16) & Vector512.Create(1u))) >>> 16;
        return Vector512.ConditionalSelect(Vector512.Equals(x, x).AsUInt32(), rounded, (bits >>> 16) | Vector512.Create(0x40u));
    }
}
