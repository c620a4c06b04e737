using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics.X86;

namespace ModelPack.Kernels.MatMul;

/// <summary>Activations in groups of eight rows, [groups][padded columns][8], as the kernels for many rows read them.</summary>
internal static unsafe class Interleaving
{
    private const int Batch = MatMulRun.Batch;

    /// <param name="x">[rows, columns].</param>
    /// <param name="rows">Rows.</param>
    /// <param name="columns">Columns.</param>
    /// <param name="padded">Columns of the destination; rows and columns that do not exist are zero there.</param>
    /// <param name="to">Destination.</param>
    public static void Run(float* x, int rows, int columns, int padded, float* to)
    {
        Columns(x, columns, rows, columns, padded, to);
        Pad(rows, columns, padded, to);
    }

    /// <summary>Some columns of a wider matrix.</summary>
    /// <param name="x">The columns, [rows, stride].</param>
    /// <param name="stride">Values from row to row.</param>
    /// <param name="rows">Rows.</param>
    /// <param name="columns">Columns.</param>
    /// <param name="padded">Columns of the destination; rows that do not exist are zero there.</param>
    /// <param name="to">The place of the first of these columns in the destination: 8 times its number from the start.</param>
    public static void Columns(float* x, int stride, int rows, int columns, int padded, float* to)
    {
        for (int first = 0; first < rows; first += Batch)
        {
            Group(x + ((long)first * stride), stride, Math.Min(Batch, rows - first), columns, to + ((long)first * padded));
        }
    }

    /// <summary>Sets the columns that do not exist to zero.</summary>
    /// <param name="rows">Rows.</param>
    /// <param name="columns">Columns.</param>
    /// <param name="padded">Columns of the destination.</param>
    /// <param name="to">Destination.</param>
    public static void Pad(int rows, int columns, int padded, float* to)
    {
        for (int first = 0; first < rows; first += Batch)
        {
            new Span<float>(to + ((long)first * padded) + (Batch * (long)columns), Batch * (padded - columns)).Clear();
        }
    }

    /// <summary>to[8 c + r] = x[r, c]: squares of four by four are transposed in registers, what is left one by one.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Group(float* x, int stride, int rows, int columns, float* to)
    {
        int c = 0;
        if (rows == Batch && Sse.IsSupported)
        {
            for (; c <= columns - Transposing.SquareSize; c += Transposing.SquareSize)
            {
                Transposing.Square(x + c, stride, to + (Batch * (long)c), Batch);
                Transposing.Square(x + (4L * stride) + c, stride, to + (Batch * (long)c) + 4, Batch);
            }
        }

        for (; c < columns; c++)
        {
            for (int r = 0; r < Batch; r++)
            {
                to[(Batch * (long)c) + r] = r < rows ? x[((long)r * stride) + c] : 0;
            }
        }
    }
}
