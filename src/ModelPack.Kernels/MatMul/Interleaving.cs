using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace ModelPack.Kernels.MatMul;

/// <summary>Activations in groups of eight rows, [groups][padded columns][8], as the kernels for many rows read them.</summary>
/// <remarks>
/// What other threads read is written past the caches. A line that several cores without a common third cache have read is taken back by the one that writes it next at 8.7 ns, by a streaming store at 1.4: 2 MiB, the activations of
/// 128 rows and 4096 columns, in 0.29 or 0.05 ms, and either core then reads them in 0.06 (AMD EPYC, family 26 model 2, two virtual cores, 2026-11-30). For one thread they better stay where they are.
/// </remarks>
internal static unsafe class Interleaving
{
    private const int Batch = MatMulRun.Batch;

    /// <summary>Brings rows into groups; one row stays as it is.</summary>
    /// <param name="x">[rows, columns].</param>
    /// <param name="rows">Rows.</param>
    /// <param name="columns">Columns.</param>
    /// <param name="padded">Columns of the destination; rows and columns that do not exist are zero there.</param>
    /// <param name="to">Destination, at a multiple of 64 bytes.</param>
    /// <param name="shared">Whether other threads read it.</param>
    public static void Run(float* x, int rows, int columns, int padded, float* to, bool shared = false)
    {
        if (rows == 1)
        {
            new ReadOnlySpan<float>(x, columns).CopyTo(new Span<float>(to, columns));
            new Span<float>(to + columns, padded - columns).Clear();
            return;
        }

        Pad(rows, columns, padded, to);
        Columns(x, columns, rows, columns, padded, to, shared);
    }

    /// <summary>Some columns of a wider matrix.</summary>
    /// <param name="x">The columns, [rows, stride].</param>
    /// <param name="stride">Values from row to row.</param>
    /// <param name="rows">Rows.</param>
    /// <param name="columns">Columns.</param>
    /// <param name="padded">Columns of the destination; rows that do not exist are zero there.</param>
    /// <param name="to">The place of the first of these columns in the destination: 8 times its number from the start.</param>
    /// <param name="shared">Whether other threads read it; the columns then begin at a multiple of two.</param>
    public static void Columns(float* x, int stride, int rows, int columns, int padded, float* to, bool shared = false)
    {
        for (int first = 0; first < rows; first += Batch)
        {
            Group(x + ((long)first * stride), stride, Math.Min(Batch, rows - first), columns, to + ((long)first * padded), shared);
        }

        if (shared)
        {
            // Streaming stores are not ordered with those that tell other threads of them.
            Interlocked.MemoryBarrier();
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
    private static void Group(float* x, int stride, int rows, int columns, float* to, bool shared)
    {
        int c = 0;
        if (rows == Batch && Sse.IsSupported)
        {
            float* lines = stackalloc float[Batch * Transposing.SquareSize];
            for (; shared && c <= columns - Transposing.SquareSize; c += Transposing.SquareSize)
            {
                Transposing.Square(x + c, stride, lines, Batch);
                Transposing.Square(x + (4L * stride) + c, stride, lines + 4, Batch);
                for (int i = 0; i < Batch * Transposing.SquareSize; i += Vector128<float>.Count)
                {
                    Vector128.Load(lines + i).StoreAlignedNonTemporal(to + (Batch * (long)c) + i);
                }
            }

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
