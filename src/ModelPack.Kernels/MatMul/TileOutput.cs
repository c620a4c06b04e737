using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace ModelPack.Kernels.MatMul;

/// <summary>Where the outputs of neighbouring tiles go; rows of tiles beyond the matrix are left out.</summary>
/// <param name="y">Destination of the first output of the first row.</param>
/// <param name="stride">Values from row to row.</param>
/// <param name="bias">Of the first output; null for none.</param>
/// <param name="rows">Rows.</param>
/// <param name="width">Outputs of the tiles.</param>
/// <param name="count">Those of them that exist.</param>
[StructLayout(LayoutKind.Auto)]
internal readonly unsafe struct TileOutput(float* y, int stride, float* bias, int rows, int width, int count)
{
    /// <summary>Destination of the first output of the first row.</summary>
    public float* Y { get; } = y;

    /// <summary>Values from row to row.</summary>
    public int Stride { get; } = stride;

    /// <summary>What is added to the first output and those behind it; null for none.</summary>
    public float* Bias { get; } = bias;

    /// <summary>Rows.</summary>
    public int Rows { get; } = rows;

    /// <summary>Whether all outputs of the tiles exist.</summary>
    public bool IsWhole => count == width;

    /// <summary>
    /// Asks for the lines that will be written. Rows lie far apart, so that no hardware expects them, and a few stores that wait for a farther cache hold up all that follow: 128 rows of 704 outputs that lie in the third cache, from 256
    /// inputs, take 208 us without and 159 with it, as long as in the second (AMD EPYC, family 25 model 17, 2026-11-30).
    /// </summary>
    public void Expect() => Expect(0, Rows);

    /// <summary>The same for some rows: where strides are powers of two, a cache does not hold all.</summary>
    /// <param name="first">The first row.</param>
    /// <param name="some">Their number; those beyond the last row are left out.</param>
    public void Expect(int first, int some)
    {
        some = Math.Min(some, Rows - first);
        byte* row = (byte*)(Y + ((long)first * Stride));
        for (int r = 0; r < some; r++)
        {
            Prefetching.Lines(row, sizeof(float) * count);
            row += sizeof(float) * (long)Stride;
        }
    }

    /// <summary>Stores sums of all rows.</summary>
    /// <param name="sums">[rows, width].</param>
    public void Store(float* sums) => Store(sums, 0, Rows);

    /// <summary>Stores sums of some rows.</summary>
    /// <param name="sums">[those rows, width].</param>
    /// <param name="first">The first row.</param>
    /// <param name="some">Their number; those beyond the last row are left out.</param>
    public void Store(float* sums, int first, int some)
    {
        some = Math.Min(some, Rows - first);
        float* to = Y + ((long)first * Stride);
        for (int r = 0; r < some; r++)
        {
            Row(sums, to);
            sums += width;
            to += Stride;
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void Row(float* sums, float* to)
    {
        int i = 0;
        for (; i <= count - Vector256<float>.Count; i += Vector256<float>.Count)
        {
            Vector256<float> sum = Vector256.Load(sums + i);
            (Bias == null ? sum : sum + Vector256.Load(Bias + i)).Store(to + i);
        }

        for (; i < count; i++)
        {
            to[i] = Bias == null ? sums[i] : sums[i] + Bias[i];
        }
    }
}
