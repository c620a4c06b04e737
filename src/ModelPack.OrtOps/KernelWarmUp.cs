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
    private static readonly HashSet<(string Format, int Bits, MatMulArithmetic Arithmetic)> Begun = [];

    /// <summary>Multiplies a small matrix of the same kind on a thread of the pool, with one row and with two; each kind once per process.</summary>
    /// <returns>False when nothing was begun.</returns>
    public static bool Begin(MatMulWeight weight, MatMulArithmetic arithmetic)
    {
        lock (Begun)
        {
            if (!RuntimeFeature.IsDynamicCodeCompiled || !Begun.Add((weight.Format.Id, weight.Layout.Bits, arithmetic)))
            {
                return false;
            }
        }

        int columns = Math.Min(weight.Layout.Columns, weight.Layout.BlockUnits * weight.Layout.UnitColumns);
        MatMulWeight? small = MatMulWeight.TryCreate(weight.Format, TileLayout.TileRows, columns);
        return small is not null && ThreadPool.UnsafeQueueUserWorkItem(static work => Multiply(work.Weight, work.Arithmetic), (Weight: small, Arithmetic: arithmetic), preferLocal: false);
    }

    /// <summary>The work; disposes the weight.</summary>
    internal static void Multiply(MatMulWeight weight, MatMulArithmetic arithmetic)
    {
        const int rows = 2;
        using (weight)
        {
            byte* tiles = (byte*)NativeMemory.AlignedAlloc((nuint)weight.Bytes, 64);
            float[] x = new float[rows * weight.Layout.Columns];
            float[] y = new float[rows * weight.Layout.Rows];
            try
            {
                NativeMemory.Clear(tiles, (nuint)weight.Bytes);
                var run = new MatMulRun(weight, arithmetic, KernelTiers.Current);
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
}
