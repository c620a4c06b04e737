using System.Runtime.InteropServices;
using ModelPack.Kernels;
using ModelPack.Kernels.MatMul;
using ModelPack.Numbers;
using ModelPack.Testing;
using Xunit;

namespace ModelPack.Tests.Kernels;

/// <summary>The perceptron that leaves out neurons against its definition in f64.</summary>
[Trait("Category", "Simd")]
public sealed unsafe class ContextualMlpTests
{
    [Theory]
    [InlineData(false, 64, 128, 64, nameof(Activation.Silu), 0.05f)]
    [InlineData(true, 70, 130, 33, nameof(Activation.Silu), 0.05f)]
    [InlineData(false, 1, 1, 1, nameof(Activation.Relu), 0f)]
    [InlineData(true, 100, 65, 515, nameof(Activation.Gelu), 0.1f)]
    [InlineData(false, 37, 300, 300, nameof(Activation.GeluTanh), 1000f)]
    public void Outputs_equal_the_definition_for_any_split_and_neighbours(bool narrow, int inputs, int hidden, int outputs, string activation, float threshold)
    {
        Activation f = Enum.Parse<Activation>(activation);
        float[] up = Weights(1, hidden * inputs, narrow);
        float[] down = Weights(2, hidden * outputs, narrow);
        const int rows = ContextualMlpRun.MaxRows;
        float[] x = [.. Values.Weights(3, rows * inputs).Select(v => v * 40)];
        float[] g = [.. Values.Weights(4, rows * hidden).Select(v => v * 40)];
        foreach (KernelTier tier in KernelTiers.Supported)
        {
            float[] a = Activate(tier, f, g);
            float[] together = Run(tier, f, threshold, narrow, up, down, x, g, rows, inputs, hidden, outputs, split: false);
            Assert.Equal(together, Run(tier, f, threshold, narrow, up, down, x, g, rows, inputs, hidden, outputs, split: true));
            for (int r = 0; r < rows; r++)
            {
                Assert.Equal(together[(r * outputs)..((r + 1) * outputs)], Run(tier, f, threshold, narrow, up, down, x[(r * inputs)..((r + 1) * inputs)], g[(r * hidden)..((r + 1) * hidden)], 1, inputs, hidden, outputs, split: false));
                double[] expected = new double[outputs];
                double size = 0;
                for (int j = 0; j < hidden; j++)
                {
                    double h = a[(r * hidden) + j];
                    if (Math.Abs(h) <= threshold)
                    {
                        continue;
                    }

                    h *= Enumerable.Range(0, inputs).Sum(k => (double)up[(j * inputs) + k] * x[(r * inputs) + k]);
                    for (int c = 0; c < outputs; c++)
                    {
                        expected[c] += h * down[(j * outputs) + c];
                        size = Math.Max(size, Math.Abs(expected[c]));
                    }
                }

                for (int c = 0; c < outputs; c++)
                {
                    Assert.True(Math.Abs(together[(r * outputs) + c] - expected[c]) <= 3e-6 * size, $"{tier}, row {r}, output {c}: {together[(r * outputs) + c]}, not {expected[c]}");
                }
            }
        }
    }

    [Fact]
    public void NaN_is_not_left_out()
    {
        float[] y = Run(KernelTier.Portable, Activation.Relu, 1, false, [1, 1], [1, 1], [1], [float.NaN, 0.5f], 1, 1, 2, 1, split: false);
        Assert.True(float.IsNaN(y[0]));
    }

    [Fact]
    public void Headers_are_read_back_and_damaged_ones_refused()
    {
        var matrix = new NeuronMatrix(3, 5, true);
        byte[] bytes = new byte[matrix.Bytes];
        matrix.WriteHeader(bytes);
        Assert.Equal(matrix, Read(bytes));
        Assert.Null(Read(bytes[..^1]));
        Assert.Null(Read(bytes[..10]));
        for (int i = 0; i < 20; i++)
        {
            byte[] damaged = [.. bytes];
            damaged[i] ^= 0x81;
            Assert.Null(Read(damaged));
        }

        Assert.Null(NeuronMatrix.TryCreate(UnitSpec.Parse("f16"), 3, 5));
        Assert.Null(NeuronMatrix.TryCreate(UnitSpec.Parse("f32"), 0, 5));
    }

    private static NeuronMatrix? Read(byte[] bytes)
    {
        fixed (byte* data = bytes)
        {
            return NeuronMatrix.Read(data, bytes.Length);
        }
    }

    private static float[] Activate(KernelTier tier, Activation f, float[] g)
    {
        float[] a = new float[(g.Length + 15) / 16 * 16];
        g.CopyTo(a, 0);
        fixed (float* at = a)
        {
            ActivationKernels.Run(tier, f, at, null, a.Length);
        }

        return a;
    }

    private static float[] Weights(ulong seed, int count, bool narrow)
    {
        float[] values = Values.Weights(seed, count);
        return narrow ? [.. Narrow(values).Select(b => BitConverter.UInt32BitsToSingle((uint)b << 16))] : values;
    }

    private static ushort[] Narrow(float[] values)
    {
        ushort[] bits = new ushort[values.Length];
        NarrowFloats.Round(values, DType.BF16, MemoryMarshal.AsBytes(bits.AsSpan()));
        return bits;
    }

    private static float[] Run(KernelTier tier, Activation f, float threshold, bool narrow, float[] up, float[] down, float[] x, float[] g, int rows, int inputs, int hidden, int outputs, bool split)
    {
        var run = new ContextualMlpRun(new NeuronMatrix(hidden, inputs, narrow), new NeuronMatrix(hidden, outputs, narrow), f, threshold, tier);
        byte[] u = narrow ? MemoryMarshal.AsBytes(Narrow(up).AsSpan()).ToArray() : MemoryMarshal.AsBytes(up.AsSpan()).ToArray();
        byte[] d = narrow ? MemoryMarshal.AsBytes(Narrow(down).AsSpan()).ToArray() : MemoryMarshal.AsBytes(down.AsSpan()).ToArray();
        float[] y = new float[rows * outputs];
        void* scratch = NativeMemory.AlignedAlloc((nuint)run.ScratchBytes(rows), 64);
        fixed (byte* upValues = u, downValues = d)
        {
            fixed (float* input = x, gate = g, output = y)
            {
                for (int part = 0; part < run.HiddenParts; part += split ? 1 : run.HiddenParts)
                {
                    run.Hidden(upValues, input, gate, rows, scratch, part, split ? 1 : run.HiddenParts);
                }

                int neurons = run.Gather(rows, scratch);
                for (int part = 0; part < run.DownParts; part += split ? 1 : run.DownParts)
                {
                    run.Down(downValues, rows, scratch, neurons, part, split ? 1 : run.DownParts, output);
                }
            }
        }

        NativeMemory.AlignedFree(scratch);
        return y;
    }
}
