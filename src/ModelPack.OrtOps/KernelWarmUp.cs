using System.Globalization;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using ModelPack.Kernels;
using ModelPack.Kernels.MatMul;

namespace ModelPack.OrtOps;

/// <summary>
/// Has kernels compiled by the JIT compiler while weights are decoded and ONNX Runtime makes the session, instead of in the first run: they are optimised fully at once and never part of precompiled code. Compiled ahead of time there is nothing to do.
/// </summary>
public static unsafe class KernelWarmUp
{
    private static readonly HashSet<(string Format, int Size, string Kind)> Begun = [];

    /// <summary>Multiplies a small matrix of the same kind on a thread of the pool, with one row and with two; each kind once per process.</summary>
    /// <returns>False when nothing was begun.</returns>
    public static bool Begin(MatMulWeight weight, MatMulArithmetic arithmetic)
    {
        if (!IsFirst(weight.Format.Id, weight.Layout.Bits, arithmetic.ToString()))
        {
            return false;
        }

        int columns = Math.Min(weight.Layout.Columns, weight.Layout.BlockUnits * weight.Layout.UnitColumns);
        MatMulWeight? small = MatMulWeight.TryCreate(weight.Format, TileLayout.TileRows, columns);
        return small is not null && Queue(new MatMulRun(small, arithmetic, KernelTiers.Current), small.Bytes);
    }

    /// <summary>The same for a block-sparse weight.</summary>
    public static bool Begin(SparseWeight weight)
    {
        if (!IsFirst(weight.Format.Id, weight.BlockRows, "sparse"))
        {
            return false;
        }

        var structure = new UnitSpec("blocksparse", ("block", string.Create(CultureInfo.InvariantCulture, $"{weight.BlockRows}x{weight.BlockColumns}")));
        SparseWeight? small = SparseWeight.TryCreate(structure, weight.Format, weight.BlockRows, 2 * weight.BlockColumns, [1]);
        return small is not null && Queue(new SparseMatMulRun(small, KernelTiers.Current), small.Bytes);
    }

    /// <summary>The work; disposes the product.</summary>
    internal static void Multiply(IMatMulRun run, long tileBytes)
    {
        const int rows = 2;
        using (run)
        {
            byte* tiles = (byte*)NativeMemory.AlignedAlloc((nuint)tileBytes, 64);
            float[] x = new float[rows * run.Inputs];
            float[] y = new float[rows * run.Outputs];
            try
            {
                NativeMemory.Clear(tiles, (nuint)tileBytes);
                fixed (float* input = x, output = y)
                {
                    run.Run(tiles, input, 1, output);
                    run.Run(tiles, input, rows, output);
                }
            }
            finally
            {
                NativeMemory.AlignedFree(tiles);
            }
        }
    }

    private static bool IsFirst(string format, int size, string kind)
    {
        lock (Begun)
        {
            return RuntimeFeature.IsDynamicCodeCompiled && Begun.Add((format, size, kind));
        }
    }

    private static bool Queue(IMatMulRun run, long tileBytes) =>
        ThreadPool.UnsafeQueueUserWorkItem(static work => Multiply(work.Run, work.Bytes), (Run: run, Bytes: tileBytes), preferLocal: false);
}
