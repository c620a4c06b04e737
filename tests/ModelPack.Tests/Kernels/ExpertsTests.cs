using System.Runtime.InteropServices;
using ModelPack.Kernels;
using ModelPack.Kernels.MatMul;
using ModelPack.Testing;
using Xunit;

namespace ModelPack.Tests.Kernels;

/// <summary>Mixtures of experts against their definition in f64, on the decoded weights.</summary>
[Trait("Category", "Simd")]
public sealed unsafe class ExpertsTests
{
    private const int Count = 5;

    /// <summary>Makes values of about 1 of <see cref="Values.Weights"/>.</summary>
    private const float Unit = 50;

    /// <summary>Formats of gate, up and down in turns over all experts.</summary>
    [Theory]
    [InlineData("int4,int4,int4", nameof(MatMulArithmetic.Float), 96, 200, 72, nameof(Activation.Silu), 1e-5)]
    [InlineData("bf16,bf16,bf16", nameof(MatMulArithmetic.Float), 40, 24, 40, nameof(Activation.GeluTanh), 1e-5)]
    [InlineData("int4,mxfp4,fp8(scope=tensor),bf16", nameof(MatMulArithmetic.Float), 64, 70, 33, nameof(Activation.Gelu), 1e-5)]
    [InlineData("int4,int4,int4", nameof(MatMulArithmetic.Integer), 96, 200, 72, nameof(Activation.Silu), 0.05)]
    [InlineData("int8,int4,ternary,mxfp4", nameof(MatMulArithmetic.Integer), 128, 96, 300, nameof(Activation.Relu), 0.05)]
    [InlineData("fp8(scope=tensor),bf16", nameof(MatMulArithmetic.BFloat16), 96, 64, 48, nameof(Activation.Silu), 0.02)]
    public void Outputs_equal_the_definition(string formats, string arithmetic, int inputs, int hidden, int outputs, string activation, double tolerance)
    {
        Activation f = Enum.Parse<Activation>(activation);
        string[] turns = formats.Split(',');
        EncodedMatrix[] weights = [.. Enumerable.Range(0, 3 * Count).Select(i =>
        {
            (int rows, int columns) = i % 3 == 2 ? (outputs, hidden) : (hidden, inputs);
            return EncodedMatrix.Encode(turns[i % turns.Length], rows, columns, [.. Values.Weights((ulong)(10 + i), rows * columns).Select(w => (float)(Unit * w / Math.Sqrt(columns)))]);
        })];
        foreach (int rows in new[] { 1, 2, 13, 150 })
        {
            float[] x = [.. Values.Weights((ulong)(3 * rows), rows * inputs).Select(v => Unit * v)];
            float[] shares = Shares(rows);
            double[] expected = Expected(x, shares, rows, weights, f);
            double scale = expected.Max(Math.Abs);
            foreach (KernelTier tier in KernelTiers.Supported)
            {
                float[] y = Multiply(x, shares, rows, weights, f, Enum.Parse<MatMulArithmetic>(arithmetic), tier, split: false, mostBytes: long.MaxValue);
                float[] split = Multiply(x, shares, rows, weights, f, Enum.Parse<MatMulArithmetic>(arithmetic), tier, split: true, mostBytes: 0);
                Assert.Equal(y, split);
                double worst = y.Zip(expected, (a, e) => Math.Abs(a - e)).Max();
                Assert.True(worst <= tolerance * scale, $"{rows} rows on {tier}: off by {worst} of {scale}");
                Assert.All(Enumerable.Range(0, rows).Where(r => shares.AsSpan(r * (Count + 2), Count).IndexOfAnyExcept(0f) < 0), r => Assert.All(y[(r * outputs)..((r + 1) * outputs)], v => Assert.Equal(0, v)));
            }
        }

        Array.ForEach(weights, w => w.Dispose());
    }

    [Fact]
    public void Group_sortsRowsByExpert_inBatches()
    {
        EncodedMatrix[] weights = [.. Enumerable.Range(0, 3 * Count).Select(i => EncodedMatrix.Encode("int8", 32, 32, Values.Weights((ulong)i, 32 * 32)))];
        using ExpertsRun run = Open(weights, Activation.Silu, MatMulArithmetic.Float, KernelTier.Portable, out _);
        const int rows = 300;
        float[] shares = Shares(rows);
        fixed (float* at = shares)
        {
            long chosen = run.Chosen(at, Count + 2, rows);
            using PoisonBuffer memory = PoisonBuffer.EndingAtGuard((int)((run.GroupBytes(chosen) + 7) & -8));
            int batches = run.Group(at, Count + 2, rows, chosen, memory.Pointer);
            (int Expert, int Rows)[] made = [.. Enumerable.Range(0, batches).Select(i => (((ExpertBatch*)memory.Pointer)[i].Expert, ((ExpertBatch*)memory.Pointer)[i].Rows))];

            (int, int)[] expected = [.. Enumerable.Range(0, Count).SelectMany(e => Enumerable.Range(0, rows).Where(r => shares[(r * (Count + 2)) + e] != 0).Chunk(MatMulRun.MaxRows).Select(c => (e, c.Length)))];
            Assert.Equal(expected, made);
            Assert.Contains(made, b => b.Rows == MatMulRun.MaxRows);
            Assert.Equal(0, run.Chosen(at, Count + 2, 0));
        }

        Array.ForEach(weights, w => w.Dispose());
    }

    [Fact]
    public void Experts_of_different_sizes_do_not_fit()
    {
        GatedMlpRun Run(int hidden, int outputs)
        {
            IMatMulRun Product(int rows, int columns) => new MatMulRun(MatMulWeight.TryCreate(new UnitSpec("bf16"), rows, columns)!, MatMulArithmetic.Float, KernelTier.Portable);
            return new GatedMlpRun(Product(hidden, 32), Product(hidden, 32), outputs == 0 ? null : Product(outputs, hidden), Activation.Silu, KernelTier.Portable);
        }

        Assert.True(ExpertsRun.Fits([Run(48, 32), Run(64, 32)]));
        Assert.False(ExpertsRun.Fits([Run(48, 32), Run(48, 64)]));
        Assert.False(ExpertsRun.Fits([Run(48, 0)]));
        Assert.False(ExpertsRun.Fits([]));
    }

    /// <summary>[rows, experts + 2]: the last expert is chosen by none, some rows choose none; what stands behind the experts is nobody's.</summary>
    private static float[] Shares(int rows)
    {
        float[] shares = Values.Weights(77, rows * (Count + 2));
        for (int i = 0; i < shares.Length; i++)
        {
            (int row, int e) = (i / (Count + 2), i % (Count + 2));
            shares[i] = e == Count - 1 || (row % 5 == 4) || (e > 0 && (row + (2 * e)) % 3 == 0) ? 0 : e >= Count ? float.NaN : Unit * shares[i];
        }

        return shares;
    }

    private static double[] Expected(float[] x, float[] shares, int rows, EncodedMatrix[] weights, Activation f)
    {
        (int inputs, int hidden, int outputs) = ((int)weights[0].Shape[1], (int)weights[0].Shape[0], (int)weights[2].Shape[0]);
        double[] y = new double[rows * outputs];
        double[] h = new double[hidden];
        for (int row = 0; row < rows; row++)
        {
            for (int e = 0; e < Count; e++)
            {
                double Dot(EncodedMatrix w, int r, Func<int, double> v) => Enumerable.Range(0, (int)w.Shape[1]).Sum(k => w.Decoded[(r * (int)w.Shape[1]) + k] * v(k));
                double share = shares[(row * (Count + 2)) + e];
                if (share == 0)
                {
                    continue;
                }

                for (int i = 0; i < hidden; i++)
                {
                    h[i] = ActivationReference.Of(f, Dot(weights[3 * e], i, k => x[(row * inputs) + k])) * Dot(weights[(3 * e) + 1], i, k => x[(row * inputs) + k]);
                }

                for (int o = 0; o < outputs; o++)
                {
                    y[(row * outputs) + o] += share * Dot(weights[(3 * e) + 2], o, k => h[k]);
                }
            }
        }

        return y;
    }

    private static ExpertsRun Open(EncodedMatrix[] weights, Activation f, MatMulArithmetic arithmetic, KernelTier tier, out nint[] tiles)
    {
        var packed = new List<nint>();
        IMatMulRun Product(EncodedMatrix matrix)
        {
            MatMulWeight weight = MatMulWeight.TryCreate(matrix.Spec, (int)matrix.Shape[0], (int)matrix.Shape[1])!;
            packed.Add((nint)NativeMemory.AlignedAlloc((nuint)weight.Bytes, 64));
            weight.Pack(matrix.Streams(weight.Roles), 0, weight.Layout.Tiles, packed[^1]);
            return new MatMulRun(weight, weight.Has(arithmetic) ? arithmetic : MatMulArithmetic.Float, tier);
        }

        GatedMlpRun[] experts = [.. weights.Chunk(3).Select(e =>
        {
            (IMatMulRun gate, IMatMulRun up, IMatMulRun down) = (Product(e[0]), Product(e[1]), Product(e[2]));
            Assert.True(GatedMlpRun.Fits(gate, up, down));
            return new GatedMlpRun(gate, up, down, f, tier);
        })];
        Assert.True(ExpertsRun.Fits(experts));
        tiles = [.. packed];
        return new ExpertsRun(experts);
    }

    private static float[] Multiply(float[] x, float[] shares, int rows, EncodedMatrix[] weights, Activation f, MatMulArithmetic arithmetic, KernelTier tier, bool split, long mostBytes)
    {
        using ExpertsRun run = Open(weights, f, arithmetic, tier, out nint[] tiles);
        using PoisonBuffer input = PoisonBuffer.Copy<float>(x);
        using PoisonBuffer choices = PoisonBuffer.Copy<float>(shares);
        using PoisonBuffer output = PoisonBuffer.EndingAtGuard(rows * run.Outputs * sizeof(float));
        float* y = (float*)output.Pointer;
        new Span<float>(y, rows * run.Outputs).Clear();
        long chosen = run.Chosen((float*)choices.Pointer, Count + 2, rows);
        void* memory = NativeMemory.AlignedAlloc((nuint)run.GroupBytes(chosen) + 1, 64);
        int count = run.Group((float*)choices.Pointer, Count + 2, rows, chosen, memory);
        fixed (nint* at = tiles)
        {
            for (int first = 0; first < count;)
            {
                ExpertBatch* batches = (ExpertBatch*)memory + first;
                int some = run.Place(batches, count - first, mostBytes, out long bytes);
                Assert.Equal(mostBytes == 0 ? 1 : count, some);
                void* scratch = NativeMemory.AlignedAlloc((nuint)bytes, 64);
                new Span<byte>(scratch, (int)bytes).Fill(0xFF);
                ExpertsRun.Locate(batches, some, (byte*)scratch);
                for (int i = 0; i < some; i++)
                {
                    run.Prepare(batches + i, (float*)input.Pointer, split);
                }

                // Parts one by one from the end, or all at once.
                void Parts(int parts, Action<int, int> work)
                {
                    for (int part = parts - 1; split && part >= 0; part--)
                    {
                        work(part, 1);
                    }

                    if (!split)
                    {
                        work(0, parts);
                    }
                }

                nint* own = at;
                Parts(run.HiddenParts(batches, some), (part, parts) => run.Hidden(batches, some, own, part, parts, split));
                for (int i = 0; i < some; i++)
                {
                    run.Finish(batches + i, split);
                }

                Parts(run.DownParts(batches, some), (part, parts) => run.Down(batches, some, own, part, parts, y));
                NativeMemory.AlignedFree(scratch);
                first += some;
            }
        }

        NativeMemory.AlignedFree(memory);
        Array.ForEach(tiles, t => NativeMemory.AlignedFree((void*)t));
        return new Span<float>(y, rows * run.Outputs).ToArray();
    }
}
