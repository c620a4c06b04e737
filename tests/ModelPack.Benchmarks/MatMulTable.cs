using System.Diagnostics;
using System.Globalization;
using Microsoft.ML.OnnxRuntime;
using ModelPack.Testing;
using ModelPack.Testing.Onnx;

namespace ModelPack.Benchmarks;

/// <summary>ONNX Runtime's MatMulNBits beside its dense MatMul, one thread: what the planner's choice rests on.</summary>
internal static class MatMulTable
{
    private static readonly (int K, int N)[] Sizes = [(768, 256), (1024, 1024), (4096, 4096)];
    private static readonly int[] Rows = [1, 256];

    private static readonly (string Name, int Bits, int Block, int Level)[] Kernels =
    [
        ("dense f32", 0, 0, 0),
        ("int4 b32 level 0", 4, 32, 0), ("int4 b128 level 0", 4, 128, 0), ("int4 b32 level 4", 4, 32, 4), ("int4 b128 level 4", 4, 128, 4),
        ("int8 b128 level 0", 8, 128, 0), ("int8 b128 level 4", 8, 128, 4),
    ];

    /// <summary>Prints milliseconds, the best of many runs; kernels of one size take turns.</summary>
    public static void Run(TextWriter output)
    {
        output.WriteLine($"| kernel | {string.Join(" | ", Sizes.SelectMany(s => Rows.Select(m => $"K={s.K} N={s.N} M={m}")))} |");
        output.WriteLine($"|---|{string.Concat(Enumerable.Repeat("---|", Sizes.Length * Rows.Length))}");
        var best = new double[Kernels.Length, Sizes.Length * Rows.Length];
        for (int s = 0; s < Sizes.Length; s++)
        {
            InferenceSession[] sessions = [.. Kernels.Select(k => Open(k.Bits, k.Block, k.Level, Sizes[s].K, Sizes[s].N))];
            for (int m = 0; m < Rows.Length; m++)
            {
                using OrtValue input = OrtValue.CreateTensorValueFromMemory(Values.Weights(5, Rows[m] * Sizes[s].K), [Rows[m], Sizes[s].K]);
                for (int k = 0; k < sessions.Length; k++)
                {
                    best[k, (s * Rows.Length) + m] = double.MaxValue;
                }

                for (long end = Stopwatch.GetTimestamp() + (8 * Stopwatch.Frequency), round = 0; round < 3 || (round < 200 && Stopwatch.GetTimestamp() < end); round++)
                {
                    for (int k = 0; k < sessions.Length; k++)
                    {
                        long start = Stopwatch.GetTimestamp();
                        using (sessions[k].Run(new RunOptions(), ["x"], [input], ["y"]))
                        {
                        }

                        ref double least = ref best[k, (s * Rows.Length) + m];
                        least = Math.Min(least, Stopwatch.GetElapsedTime(start).TotalMilliseconds);
                    }
                }
            }

            Array.ForEach(sessions, x => x.Dispose());
        }

        for (int k = 0; k < Kernels.Length; k++)
        {
            output.WriteLine($"| {Kernels[k].Name} | {string.Join(" | ", Enumerable.Range(0, Sizes.Length * Rows.Length).Select(c => best[k, c].ToString("0.000", CultureInfo.InvariantCulture)))} |");
        }
    }

    private static InferenceSession Open(int bits, int block, int level, int k, int n)
    {
        OnnxBuilder model = new OnnxBuilder().Input("x", OnnxBuilder.Float, "m", k).Output("y", OnnxBuilder.Float, "m", n);
        if (bits == 0)
        {
            model.Initializer("w", Values.Weights(1, k * n), k, n).Node("MatMul", ["x", "w"], ["y"]);
        }
        else
        {
            byte[] codes = new byte[(long)k * n * bits / 8];
            new SplitMix(3).Fill(codes);
            float[] scales = new float[(k / block) * n];
            Array.Fill(scales, 0.01f);
            model.Opset("com.microsoft", 1)
                .Initializer("codes", OnnxBuilder.UInt8, codes, n, k / block, block * bits / 8)
                .Initializer("scales", scales, n, k / block)
                .Node("MatMulNBits", ["x", "codes", "scales"], ["y"], "com.microsoft", "", ("K", (long)k), ("N", (long)n), ("bits", (long)bits), ("block_size", (long)block), ("accuracy_level", (long)level));
        }

        using var options = new SessionOptions { IntraOpNumThreads = 1 };
        return new InferenceSession(model.Build(), options);
    }
}
