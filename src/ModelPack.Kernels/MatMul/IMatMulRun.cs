using System.Runtime.InteropServices;

namespace ModelPack.Kernels.MatMul;

/// <summary>
/// One product y = x W^T, cut into parts that threads may share: <see cref="Prepare"/> once, then <see cref="Run"/> for ranges of parts, in any split and order with the same result, bit for bit.
/// </summary>
public unsafe interface IMatMulRun : IDisposable
{
    /// <summary>Columns of the weight.</summary>
    int Inputs { get; }

    /// <summary>Rows of the weight.</summary>
    int Outputs { get; }

    /// <summary>Parts of the work: neighbouring outputs.</summary>
    int Parts { get; }

    /// <summary>Outputs of a part; the last part may have fewer.</summary>
    int PartOutputs { get; }

    /// <summary>Parts that kernels do at a time: ranges that begin at multiples of it are done fastest.</summary>
    /// <param name="rows">Rows of activations.</param>
    int PartsTogether(int rows) => 1;

    /// <summary>
    /// Columns, zeros behind those of the weight included, of rows that <see cref="Prepare"/> leaves as f32: one row as it is, more as <see cref="Interleaving"/> puts them. 0 where it rounds them.
    /// </summary>
    int PreparedColumns { get; }

    /// <summary>Whether <see cref="Prepare"/> of another product leaves the same.</summary>
    bool PreparesAs(IMatMulRun other) => PreparedColumns > 0 && PreparedColumns == other.PreparedColumns;

    /// <summary>Multiplications that a row of activations takes.</summary>
    double MultiplicationsPerRow { get; }

    /// <summary>Bytes of scratch that <see cref="Prepare"/> needs for so many rows, at most <see cref="MatMulRun.MaxRows"/>.</summary>
    long ScratchBytes(int rows);

    /// <summary>Brings activations into the form that the kernels read.</summary>
    /// <param name="x">[rows, inputs].</param>
    /// <param name="rows">1 to <see cref="MatMulRun.MaxRows"/>.</param>
    /// <param name="scratch"><see cref="ScratchBytes"/> bytes at a multiple of 64, kept until all parts are done.</param>
    /// <param name="shared">Whether several threads read it; the result is the same.</param>
    void Prepare(float* x, int rows, void* scratch, bool shared = false);

    /// <summary>The same for activations that lie column by column, as images do, with the same result for numbers; false, and nothing done, where it would not be faster than to transpose them first.</summary>
    /// <param name="x">Where offsets start from.</param>
    /// <param name="offsets">[inputs] values from there to the <paramref name="rows"/> values of each column.</param>
    /// <param name="rows">1 to <see cref="MatMulRun.MaxRows"/>.</param>
    /// <param name="scratch">As of <see cref="Prepare"/>.</param>
    bool PrepareColumns(float* x, long* offsets, int rows, void* scratch) => false;

    /// <summary>Computes the outputs of some parts.</summary>
    /// <param name="tiles">The execution layout of the weight.</param>
    /// <param name="scratch">What was prepared.</param>
    /// <param name="rows">Rows of activations.</param>
    /// <param name="first">First part.</param>
    /// <param name="count">Their number.</param>
    /// <param name="to">Where they go.</param>
    void Run(byte* tiles, void* scratch, int rows, int first, int count, in MatMulOutput to);
}

/// <summary>What all products can do.</summary>
public static unsafe class MatMulRuns
{
    /// <summary>Computes the outputs of some parts.</summary>
    /// <param name="run">The product.</param>
    /// <param name="tiles">The execution layout of the weight.</param>
    /// <param name="scratch">What was prepared.</param>
    /// <param name="rows">Rows of activations.</param>
    /// <param name="first">First part.</param>
    /// <param name="count">Their number.</param>
    /// <param name="bias">[outputs] to be added; null for none.</param>
    /// <param name="y">[rows, outputs] destination.</param>
    public static void Run(this IMatMulRun run, byte* tiles, void* scratch, int rows, int first, int count, float* bias, float* y) =>
        run.Run(tiles, scratch, rows, first, count, new MatMulOutput(y, run.Outputs, 0, bias));

    /// <summary>Everything on the calling thread, any number of rows.</summary>
    /// <param name="run">The product.</param>
    /// <param name="tiles">The execution layout of the weight.</param>
    /// <param name="x">[rows, inputs].</param>
    /// <param name="rows">Rows.</param>
    /// <param name="y">[rows, outputs] destination.</param>
    public static void Run(this IMatMulRun run, byte* tiles, float* x, int rows, float* y)
    {
        void* scratch = NativeMemory.AlignedAlloc((nuint)run.ScratchBytes(Math.Min(rows, MatMulRun.MaxRows)), 64);
        try
        {
            for (int first = 0; first < rows; first += MatMulRun.MaxRows)
            {
                int count = Math.Min(MatMulRun.MaxRows, rows - first);
                run.Prepare(x + ((long)first * run.Inputs), count, scratch);
                run.Run(tiles, scratch, count, 0, run.Parts, null, y + ((long)first * run.Outputs));
            }
        }
        finally
        {
            NativeMemory.AlignedFree(scratch);
        }
    }
}
