using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

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

    [MethodImpl(MethodImplOptions.NoInlining | MethodImplOptions.AggressiveOptimization)]
    private static void Round(float* x, int count, ushort* to)
    {
        int i = 0;
        for (; i + 16 <= count; i += 16)
        {
            Vector256.Narrow(Bits(Vector256.Load(x + i)), Bits(Vector256.Load(x + i + 8))).Store(to + i);
        }

        for (; i < count; i++)
        {
            to[i] = (ushort)Bits(Vector128.CreateScalar(x[i]).ToVector256())[0];
        }
    }

    /// <summary>The upper halves, rounded; NaN stays NaN.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<uint> Bits(Vector256<float> x)
    {
        Vector256<uint> bits = x.AsUInt32();
        Vector256<uint> rounded = (bits + Vector256.Create(0x7FFFu) + ((bits >>> 16) & Vector256.Create(1u))) >>> 16;
        return Vector256.ConditionalSelect(Vector256.Equals(x, x).AsUInt32(), rounded, (bits >>> 16) | Vector256.Create(0x40u));
    }
}
