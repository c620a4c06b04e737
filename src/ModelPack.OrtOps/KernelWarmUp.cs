using System.Globalization;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using ModelPack.Kernels;
using ModelPack.Kernels.Convolution;
using ModelPack.Kernels.MatMul;

namespace ModelPack.OrtOps;

/// <summary>
/// Has kernels compiled by the JIT compiler while weights are decoded and ONNX Runtime makes the session, instead of in the first run: they are optimised fully at once and never part of precompiled code. Compiled ahead of time there is nothing to do.
/// </summary>
public static unsafe class KernelWarmUp
{
    private static readonly HashSet<string> Begun = new(StringComparer.Ordinal);

    /// <summary>Multiplies a small matrix of the same kind on a thread of the pool, with one row and with two; each kind once per process.</summary>
    /// <returns>False when nothing was begun.</returns>
    public static bool Begin(MatMulWeight weight, MatMulArithmetic arithmetic)
    {
        if (!IsFirst(weight.Format.Id, weight.Layout.Bits, arithmetic.ToString()))
        {
            return false;
        }

        // Three tiles: products of several rows take two together, in a kernel of their own, and the last of an odd number alone.
        int columns = Math.Min(weight.Layout.Columns, weight.Layout.BlockUnits * weight.Layout.UnitColumns);
        MatMulWeight? small = MatMulWeight.TryCreate(weight.Format, Math.Min(weight.Layout.Tiles, 3) * TileLayout.TileRows, columns);
        return small is not null && Queue(new MatMulRun(small, arithmetic, KernelTiers.Current), small.Bytes);
    }

    /// <summary>The same for an activation between products.</summary>
    internal static bool Begin(Activation activation) =>
        activation != Activation.None && IsFirst("", 0, "activation") && WarmUpQueue.Add(() => Activate(activation));

    private static void Activate(Activation activation)
    {
        float* x = stackalloc float[16];
        new Span<float>(x, 16).Clear();
        ActivationKernels.Run(KernelTiers.Current, activation, x, 16);
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

    /// <summary>The same for a weight of single stored elements.</summary>
    internal static bool Begin(MaskedWeight weight)
    {
        if (!IsFirst(weight.Format.Id, 0, weight.Structure.Id))
        {
            return false;
        }

        // Whole groups, all of whose first places are kept.
        const int columns = 256;
        bool groups = weight.Structure.Id != "bitmap";
        int of = groups ? weight.Structure.Int(weight.Structure.Id == "nm" ? "m" : "bank", 1, 1, columns) : 1;
        int kept = groups ? weight.Structure.Int(weight.Structure.Id == "nm" ? "n" : "kept", 1, 1, columns) : 1;
        byte[] mask = new byte[columns / 8];
        for (int place = 0; place < columns; place++)
        {
            mask[place / 8] |= (byte)(place % of < kept ? 1 << (place % 8) : 0);
        }

        MaskedWeight? small = MaskedWeight.TryCreate(weight.Structure, weight.Format, 1, columns, mask);
        return small is not null && Queue(new MaskedMatMulRun(small, KernelTiers.Current), small.Bytes);
    }

    /// <summary>The same for what convolutions do besides their product, in images that are read as they are and in others.</summary>
    /// <param name="arithmetic">Of the product, as operators name it.</param>
    internal static bool BeginConvolution(string? arithmetic)
    {
        if (MatMulArithmetics.Find(arithmetic) is not MatMulArithmetic asked || !IsFirst("", 0, $"convolution {asked}"))
        {
            return false;
        }

        return WarmUpQueue.Add(() => Convolve(asked));
    }

    /// <summary>Convolutions of a small image: of single places, of neighbours with a border, and of every other place.</summary>
    internal static void Convolve(MatMulArithmetic arithmetic)
    {
        const int size = 8;
        foreach ((int kernel, int stride, int pad) in new[] { (1, 1, 0), (3, 1, 1), (1, 2, 0) })
        {
            const int channels = 32;
            MatMulWeight? small = MatMulWeight.TryCreate(UnitSpec.Parse("int8(block=32)"), TileLayout.TileRows, channels * kernel * kernel);
            if (small is null || !small.Has(arithmetic))
            {
                small?.Dispose();
                return;
            }

            long bytes = small.Bytes;
            var axis = new ConvolutionAxis(kernel, stride, 1, pad, pad);
            using var run = new ConvolutionRun(new MatMulRun(small, arithmetic, KernelTiers.Current), new ConvolutionWindow(axis, axis), Activation.None, KernelTiers.Current);
            byte* tiles = (byte*)NativeMemory.AlignedAlloc((nuint)bytes, 64);
            float[] x = new float[channels * size * size];
            float[] y = new float[run.Outputs * axis.Outputs(size) * axis.Outputs(size)];
            try
            {
                NativeMemory.Clear(tiles, (nuint)bytes);
                fixed (float* image = x, output = y)
                {
                    run.Run(tiles, image, size, size, 0, 0, run.Parts, null, output);
                }
            }
            finally
            {
                NativeMemory.AlignedFree(tiles);
            }
        }
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
            return RuntimeFeature.IsDynamicCodeCompiled && Begun.Add(string.Create(CultureInfo.InvariantCulture, $"{format} {size} {kind}"));
        }
    }

    private static bool Queue(IMatMulRun run, long tileBytes) => WarmUpQueue.Add(() => Multiply(run, tileBytes));
}
