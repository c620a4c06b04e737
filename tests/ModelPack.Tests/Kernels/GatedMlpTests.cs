using System.Runtime.InteropServices;
using ModelPack.Kernels;
using ModelPack.Kernels.MatMul;
using ModelPack.Testing;
using Xunit;

namespace ModelPack.Tests.Kernels;

/// <summary>The gated perceptron in one pass against its definition in f64, and activations against the functions of the framework.</summary>
[Trait("Category", "Simd")]
public sealed unsafe class GatedMlpTests
{
    [Theory]
    [InlineData("32x32", "f32", 96, 200, 72, nameof(Activation.Silu))]
    [InlineData("32x32", "f32", 70, 40, 0, nameof(Activation.Relu))]
    [InlineData("16x16", "bf16", 130, 96, 64, nameof(Activation.Gelu))]
    [InlineData("4x4", "f32", 60, 72, 33, nameof(Activation.GeluTanh))]
    [InlineData("64x64", "mxfp4", 64, 300, 100, nameof(Activation.Silu))]
    public void Outputs_equal_the_definition(string block, string format, int inputs, int hidden, int outputs, string activation)
    {
        Activation f = Enum.Parse<Activation>(activation);
        using var gate = SparseCase.Make(block, format, hidden, inputs, 40);
        using var up = SparseCase.Make(block, format, hidden, inputs, 60);
        using SparseCase? down = outputs == 0 ? null : SparseCase.Make(block, format, outputs, hidden, 50);
        foreach (int rows in new[] { 1, 2, 8, 13 })
        {
            float[] x = Values.Weights((ulong)(3 * rows), rows * inputs);
            double[] expected = Expected(x, rows, gate, up, down, f);
            double scale = expected.Max(Math.Abs);
            foreach (KernelTier tier in KernelTiers.Supported)
            {
                float[] y = Multiply(x, rows, gate, up, down, f, tier, split: false);
                float[] split = Multiply(x, rows, gate, up, down, f, tier, split: true);
                Assert.Equal(y, split);
                for (int i = 0; i < y.Length; i++)
                {
                    Assert.True(Math.Abs(y[i] - expected[i]) <= 3e-6 * scale, $"{rows} rows, {tier}: output {i} is {y[i]}, not {expected[i]}");
                }
            }
        }
    }

    [Fact]
    public void Products_that_do_not_fit_each_other_are_not_fused()
    {
        using var gate = SparseCase.Make("32x32", "f32", 64, 96, 50);
        using var other = SparseCase.Make("32x32", "f32", 96, 64, 50);
        SparseMatMulRun Run(SparseCase c) => new(c.Weight, KernelTiers.Current);

        Assert.True(GatedMlpRun.Fits(Run(gate), Run(gate), Run(other)));
        Assert.False(GatedMlpRun.Fits(Run(gate), Run(other), null));
        Assert.False(GatedMlpRun.Fits(Run(gate), Run(gate), Run(gate)));
    }

    /// <summary>All f32 that matter to a part in 10^4, and what lies at the ends; the errors that the implementation states.</summary>
    [Theory]
    [InlineData(nameof(Activation.None))]
    [InlineData(nameof(Activation.Relu))]
    [InlineData(nameof(Activation.Silu))]
    [InlineData(nameof(Activation.Gelu))]
    [InlineData(nameof(Activation.GeluTanh))]
    public void Activations_equal_those_in_f64(string activation)
    {
        Activation f = Enum.Parse<Activation>(activation);
        float[] points = [.. Enumerable.Range(-20_000, 40_001).Select(i => i * 0.0011f), 0, -0f, 1e-30f, -1e-30f, 100, -100, 1e30f, -1e30f, float.MaxValue, float.MinValue];
        float[] values = new float[(points.Length + 15) / 16 * 16];
        foreach (KernelTier tier in KernelTiers.Supported)
        {
            points.CopyTo(values, 0);
            fixed (float* at = values)
            {
                ActivationKernels.Run(tier, f, at, null, values.Length);
            }

            for (int i = 0; i < points.Length; i++)
            {
                double expected = ActivationReference.Of(f, points[i]);
                Assert.True(Math.Abs(values[i] - expected) <= 6e-7 * Math.Max(0.5, Math.Abs(points[i])), $"{f}({points[i]}) on {tier}: {values[i]}, not {expected}");
            }
        }
    }

    private static double[] Expected(float[] x, int rows, SparseCase gate, SparseCase up, SparseCase? down, Activation f)
    {
        int inputs = gate.Weight.Columns;
        int hidden = gate.Weight.Rows;
        double[] h = new double[rows * hidden];
        for (int i = 0; i < h.Length; i++)
        {
            double g = 0;
            double u = 0;
            for (int k = 0; k < inputs; k++)
            {
                g += (double)gate.Dense[(i % hidden * inputs) + k] * x[(i / hidden * inputs) + k];
                u += (double)up.Dense[(i % hidden * inputs) + k] * x[(i / hidden * inputs) + k];
            }

            h[i] = ActivationReference.Of(f, g) * u;
        }

        if (down is null)
        {
            return h;
        }

        int outputs = down.Weight.Rows;
        double[] y = new double[rows * outputs];
        for (int i = 0; i < y.Length; i++)
        {
            for (int k = 0; k < hidden; k++)
            {
                y[i] += down.Dense[(i % outputs * hidden) + k] * h[(i / outputs * hidden) + k];
            }
        }

        return y;
    }

    private static float[] Multiply(float[] x, int rows, SparseCase gate, SparseCase up, SparseCase? down, Activation f, KernelTier tier, bool split)
    {
        SparseMatMulRun Run(SparseCase c) => new(c.Weight, tier);
        var run = new GatedMlpRun(Run(gate), Run(up), down is null ? null : Run(down), f, tier);
        using PoisonBuffer input = PoisonBuffer.Copy<float>(x);
        using PoisonBuffer output = PoisonBuffer.EndingAtGuard(rows * run.Outputs * sizeof(float));
        byte* scratch = (byte*)NativeMemory.AlignedAlloc((nuint)run.ScratchBytes(rows), 64);
        float* y = (float*)output.Pointer;
        new Span<byte>(scratch, (int)run.ScratchBytes(rows)).Fill(0xFF);
        run.Prepare((float*)input.Pointer, rows, scratch, split);
        int parts = run.HiddenParts(rows);
        int middle = split ? parts / 2 : 0;
        run.Hidden((byte*)gate.Tiles, (byte*)up.Tiles, scratch, rows, middle, parts - middle, y, split);
        run.Hidden((byte*)gate.Tiles, (byte*)up.Tiles, scratch, rows, 0, middle, y, split);
        if (down is not null)
        {
            middle = split ? run.DownParts / 2 : 0;
            run.Down((byte*)down.Tiles, scratch, rows, middle, run.DownParts - middle, y);
            run.Down((byte*)down.Tiles, scratch, rows, 0, middle, y);
        }

        NativeMemory.AlignedFree(scratch);
        return new Span<float>(output.Pointer, rows * run.Outputs).ToArray();
    }
}
