using System.Runtime.InteropServices;
using System.Runtime.Intrinsics.X86;
using ModelPack.Kernels;
using ModelPack.Kernels.Emit;
using ModelPack.Kernels.MatMul;
using ModelPack.Numbers;
using ModelPack.Testing;
using Xunit;

namespace ModelPack.Tests.Kernels;

/// <summary>Every kernel against sums in f64 of the decoded weights: all formats, tiers, shapes around a tile, memory that ends at an unmapped page.</summary>
[Trait("Category", "Simd")]
public sealed unsafe class MatMulKernelTests
{
    /// <summary>Rounding of f32 sums, relative to the sum of magnitudes.</summary>
    private const double FloatTolerance = 4e-6;

    /// <summary>Half a step of 127, relative to the largest activation of a block.</summary>
    private const double ActivationError = 0.5001 / 127;

    private static readonly string[] Formats =
    [
        "int8", "int8(symmetric=false,block=16)", "int7", "int7(block=48)", "int6(symmetric=false)", "int5", "int5(block=16)", "int4", "int4(block=128,symmetric=false)", "int4(block=row,scale=bf16)",
        "int4(scale=f16)", "int3", "int3(block=16,symmetric=false)", "int2", "int2(block=64,symmetric=false)",
        "mxfp8", "mxfp8(element=e5m2)", "mxfp6", "mxfp6(element=e3m2)", "mxfp4", "mxint8", "nvfp4", "float", "float(exponent=2,mantissa=2,scale=none)", "float(exponent=3,mantissa=2,specials=fnuz,scale=f16,block=48)",
        "float(exponent=0,mantissa=2,scale=e4m3,block=row)", "float(exponent=1,mantissa=0,scale=bf16)", "float(block=tensor)", "nf4", "nf4(nested=true)", "fp4", "dyn8", "dyn8(signed=false)", "fp8", "fp8(scope=tensor)", "fp8(scope=tile)",
        "fp8(block=16,element=e5m2,scope=tile)", "fp8(element=e4m3,rule=gaudi,scope=block)", "ternary", "ternary(packing=base3,scope=row)", "posit8", "posit16", "posit16(es=1)", "bfloat8", "scalar", "scalar(element=e2m1)", "palette(bits=1)",
        "palette(bits=3)", "palette", "palette(bits=6)", "palette(bits=8)",
        "bf16", "f16", "f8e4m3fn", "f8e5m2fnuz",
    ];

    /// <summary>Half a unit in the last place of eight bits.</summary>
    private const double BFloat16Error = 1.0 / 256;

    public static TheoryData<string> AllFormats => [.. Formats];

    [Theory]
    [MemberData(nameof(AllFormats))]
    public void Float_kernels_equal_the_reference(string format)
    {
        foreach ((int n, int k) in new[] { (16, 32), (1, 1), (17, 33), (31, 100), (107, 272), (5, 700) })
        {
            Check(format, n, k, MatMulArithmetic.Float, (_, sums) => FloatTolerance * sums.Products);
        }
    }

    [Theory]
    [MemberData(nameof(AllFormats))]
    public void Integer_kernels_differ_by_the_rounding_of_activations(string format)
    {
        foreach ((int n, int k) in new[] { (16, 32), (1, 1), (17, 33), (31, 100), (107, 272), (5, 1100) })
        {
            // Of every product: the error of the activation times the weight, and that of a table's integers times the activation.
            Check(format, n, k, MatMulArithmetic.Integer, (weight, sums) =>
                (ActivationError * sums.LargestActivation * sums.Weights) + (weight.IntegerWeightError * sums.LargestWeight * sums.Activations * (1 + ActivationError)) + (FloatTolerance * sums.Products));
        }
    }

    [Theory]
    [MemberData(nameof(AllFormats))]
    public void BF16_kernels_differ_by_the_rounding_of_activations_alone(string format)
    {
        foreach ((int n, int k) in new[] { (16, 32), (1, 1), (17, 33), (31, 100), (107, 272), (5, 1100) })
        {
            Check(format, n, k, MatMulArithmetic.BFloat16, (_, sums) => (BFloat16Error + FloatTolerance) * sums.Products);
            Check(format, n, k, MatMulArithmetic.BFloat16, (_, sums) => FloatTolerance * sums.Products, Rounded);
        }
    }

    [Theory]
    [InlineData("fp8", true)]
    [InlineData("mxfp8", true)]
    [InlineData("mxfp8(element=e5m2)", true)]
    [InlineData("posit8", false)]
    public void One_row_times_FP8_is_rounded_to_BF16_where_the_machine_can(string format, bool hasCode)
    {
        const int K = 4096 + 40;
        const float x = 1 + (1f / 1024);
        float[] ones = new float[16 * K];
        ones.AsSpan().Fill(1f);
        using EncodedMatrix matrix = EncodedMatrix.Encode(format, 16, K, ones);
        float[] activations = new float[K];
        activations.AsSpan().Fill(x);
        bool rounds = hasCode && KernelTiers.Current == KernelTier.Avx512 && CpuFeatures.HasBFloat16 && Avx512Vbmi.IsSupported && EmittedFunctions.Works;
        Assert.All(Run(matrix, activations, 1, MatMulArithmetic.BFloat16, KernelTiers.Current, out _), y => Assert.Equal(rounds ? K : K * x, y, 0.5));
    }

    [Fact]
    public void FP8_posits_and_BF16_have_BF16_kernels_and_what_it_does_not_hold_has_none()
    {
        Assert.All(new[] { "fp8", "posit8", "bf16", "mxfp8", "mxfp6", "f8e5m2fnuz" }, f => Assert.Equal(MatMulArithmetic.BFloat16, MatMulWeight.TryCreate(UnitSpec.Parse(f), 32, 64)!.Rounding()));
        Assert.All(new[] { "f16", "posit16", "palette(bits=6)" }, f => Assert.Equal(MatMulArithmetic.Float, MatMulWeight.TryCreate(UnitSpec.Parse(f), 32, 64)!.Rounding()));
        Assert.All(new[] { "int4", "mxfp4", "ternary", "int8" }, f => Assert.Equal(MatMulArithmetic.Integer, MatMulWeight.TryCreate(UnitSpec.Parse(f), 32, 64)!.Rounding()));
    }

    [Fact]
    public void Integer_kernels_of_ternary_weights_are_exact_where_sums_wrap_in_16_bits()
    {
        const int K = 4096;
        float[] values = new float[16 * K];
        values.AsSpan().Fill(1f);
        using EncodedMatrix matrix = EncodedMatrix.Encode("ternary(rule=absmax)", 16, K, values);
        float[] x = new float[K];
        x.AsSpan().Fill(127f);
        foreach (KernelTier tier in KernelTiers.Supported)
        {
            float[] y = Run(matrix, x, 1, MatMulArithmetic.Integer, tier, out _);
            Assert.All(y, v => Assert.Equal(127f * K, v));
        }
    }

    [Theory]
    [MemberData(nameof(AllFormats))]
    public void The_instruction_of_four_products_and_what_stands_in_for_it_give_the_same_bits(string format)
    {
        // Sums are exact integers, whoever makes them. Without the instruction its kernels run on a replacement, so that they are tested everywhere.
        foreach ((int n, int k) in new[] { (17, 33), (107, 272), (5, 1100) })
        {
            using EncodedMatrix matrix = EncodedMatrix.Encode(format, n, k, Values.Weights((ulong)(n + k), n * k));
            foreach (KernelTier tier in KernelTiers.Supported.Where(t => t != KernelTier.Portable))
            {
                foreach (int rows in new[] { 1, 5 })
                {
                    float[] x = Values.Weights((ulong)rows, rows * k);
                    Assert.Equal(Run(matrix, x, rows, MatMulArithmetic.Integer, tier, out _, hasDot: false), Run(matrix, x, rows, MatMulArithmetic.Integer, tier, out _, hasDot: true));
                }
            }
        }
    }

    [Theory]
    [MemberData(nameof(AllFormats))]
    public void Kernels_made_at_run_time_give_the_same_bits_as_those_compiled_ahead(string format)
    {
        // Blocks that are written out and blocks in loops, one, two and four tiles, every number of rows of a batch, more than one batch, short last blocks. Where the machine has no such kernels both are the same.
        foreach ((int n, int k) in new[] { (17, 33), (107, 272), (5, 1100), (32, 64) })
        {
            using EncodedMatrix matrix = EncodedMatrix.Encode(format, n, k, Values.Weights((ulong)(n + k), n * k));
            foreach (int rows in new[] { 1, 2, 3, 4, 5, 6, 7, 8, 23 })
            {
                float[] x = Values.Weights((ulong)rows, rows * k);
                foreach (MatMulArithmetic arithmetic in new[] { MatMulArithmetic.Integer, MatMulArithmetic.Float })
                {
                    Assert.Equal(Run(matrix, x, rows, arithmetic, KernelTiers.Current, out _, hasDot: false), Run(matrix, x, rows, arithmetic, KernelTiers.Current, out _));
                }
            }
        }
    }

    [Theory]
    [InlineData("int4", MatMulArithmetic.Float, 9)]
    [InlineData("int4", MatMulArithmetic.Float, 1)]
    [InlineData("mxfp4", MatMulArithmetic.Integer, 9)]
    [InlineData("mxfp4", MatMulArithmetic.Integer, 1)]
    [InlineData("int4(block=64,symmetric=false)", MatMulArithmetic.Integer, 1)]
    [InlineData("int6", MatMulArithmetic.Integer, 1)]
    [InlineData("ternary", MatMulArithmetic.Integer, 1)]
    [InlineData("fp8", MatMulArithmetic.BFloat16, 1)]
    [InlineData("mxfp8", MatMulArithmetic.BFloat16, 1)]
    public void Any_split_into_ranges_gives_the_same_bits(string format, MatMulArithmetic arithmetic, int rows)
    {
        const int N = 200;
        const int K = 96;
        using EncodedMatrix matrix = EncodedMatrix.Encode(format, N, K, Values.Weights(3, N * K));
        float[] x = Values.Weights(4, rows * K);
        float[] whole = Run(matrix, x, rows, arithmetic, KernelTiers.Current, out _);
        using MatMulWeight weight = MatMulWeight.TryCreate(matrix.Spec, N, K)!;
        void* tiles = NativeMemory.AlignedAlloc((nuint)weight.Bytes, 64);
        weight.Pack(matrix.Streams(weight.Roles), 0, weight.Layout.Tiles, (nint)tiles);
        var run = new MatMulRun(weight, arithmetic, KernelTiers.Current);
        void* scratch = NativeMemory.AlignedAlloc((nuint)run.ScratchBytes(rows), 64);
        float[] split = new float[rows * N];
        fixed (float* input = x, output = split)
        {
            run.Prepare(input, rows, scratch, shared: true);
            foreach ((int first, int count) in new[] { (7, 6), (0, 1), (1, 6) })
            {
                run.Tiles((byte*)tiles, scratch, rows, first, count, null, output);
            }
        }

        NativeMemory.AlignedFree(scratch);
        NativeMemory.AlignedFree(tiles);
        Assert.Equal(whole, split);
    }

    [Theory]
    [InlineData(1, 70)]
    [InlineData(8, 64)]
    [InlineData(19, 70)]
    [InlineData(128, 33)]
    public void What_is_prepared_for_several_threads_is_the_same(int rows, int k)
    {
        using MatMulWeight weight = MatMulWeight.TryCreate(UnitSpec.Parse("bf16"), 16, k)!;
        var run = new MatMulRun(weight, MatMulArithmetic.Float, KernelTiers.Current);
        int bytes = (int)run.ScratchBytes(rows);
        byte* scratch = (byte*)NativeMemory.AlignedAlloc((nuint)bytes, 64);
        byte[] Prepared(bool shared)
        {
            new Span<byte>(scratch, bytes).Fill(0xFF);
            fixed (float* x = Values.Weights(5, rows * k))
            {
                run.Prepare(x, rows, scratch, shared);
            }

            return new Span<byte>(scratch, bytes).ToArray();
        }

        byte[] expected = Prepared(shared: false);
        Assert.DoesNotContain(float.NaN, MemoryMarshal.Cast<byte, float>(expected).ToArray());
        Assert.Equal(expected, Prepared(shared: true));
        NativeMemory.AlignedFree(scratch);
    }

    [Theory]
    [InlineData("bf16")]
    [InlineData("f16")]
    [InlineData("posit16")]
    [InlineData("posit16(es=1)")]
    public void Every_code_of_16_bits_is_its_value(string format)
    {
        const int Codes = 1 << 16;
        ushort[] codes = [.. Enumerable.Range(0, Codes).Select(c => (ushort)c)];
        float[] decoded = new float[Codes];
        NumberFormats.Bind(UnitSpec.Parse(format), new Shape(Codes, 1)).DecodeRows([MemoryMarshal.AsBytes<ushort>(codes).ToArray()], Codes, decoded);
        using MatMulWeight weight = MatMulWeight.TryCreate(UnitSpec.Parse(format), Codes, 1)!;
        void* tiles = NativeMemory.AlignedAlloc((nuint)weight.Bytes, 64);
        fixed (ushort* stream = codes)
        {
            weight.Pack([(nint)stream], 0, weight.Layout.Tiles, (nint)tiles);
        }

        foreach (KernelTier tier in KernelTiers.Supported)
        {
            foreach (int rows in new[] { 1, 2 })
            {
                float[] y = new float[rows * Codes];
                fixed (float* x = new float[] { 1, 1 }, output = y)
                {
                    new MatMulRun(weight, MatMulArithmetic.Float, tier).Run((byte*)tiles, x, rows, output);
                }

                for (int i = 0; i < y.Length; i++)
                {
                    Assert.Equal(decoded[i % Codes], y[i]);
                }
            }
        }

        NativeMemory.AlignedFree(tiles);
    }

    [Fact]
    public void Formats_without_kernels_are_refused()
    {
        foreach (string format in new[] { "f32", "int4(layout=planes)", "int4(symmetric=false,zeros=float)", "palette(group=row)", "gguf-q4_0" })
        {
            Assert.Null(MatMulWeight.TryCreate(UnitSpec.Parse(format), 16, 256));
        }
    }

    [Fact]
    public void Activations_that_are_no_numbers_make_outputs_that_are_none()
    {
        foreach (string format in new[] { "int4", "fp8" })
        {
            using EncodedMatrix matrix = EncodedMatrix.Encode(format, 16, 64, Values.Weights(3, 16 * 64));
            foreach (int rows in new[] { 1, 3 })
            {
                float[] x = Values.Weights(4, rows * 64);
                x[40] = float.NaN;
                foreach (MatMulArithmetic arithmetic in MatMulArithmetics.All)
                {
                    float[] y = Run(matrix, x, rows, arithmetic, KernelTiers.Current, out _);
                    Assert.Equal(Math.Min(16, y.Length), y.Count(float.IsNaN));
                    Assert.All(y.Take(16), v => Assert.True(float.IsNaN(v)));
                }
            }
        }
    }

    [Theory]
    [InlineData("int4(scale=f16)")]
    [InlineData("int8(scale=f16,block=16,symmetric=false)")]
    [InlineData("int3(scale=f16,block=row)")]
    [InlineData("float(exponent=3,mantissa=2,specials=fnuz,scale=f16,block=48)")]
    public void Scales_in_16_bits_give_the_same_bits_as_in_32(string format)
    {
        foreach ((int n, int k) in new[] { (17, 33), (40, 272), (5, 2200) })
        {
            using EncodedMatrix matrix = EncodedMatrix.Encode(format, n, k, Values.Weights((ulong)(n + k), n * k));
            foreach (KernelTier tier in KernelTiers.Supported)
            {
                foreach ((int rows, MatMulArithmetic arithmetic) in new[] { 1, 13 }.SelectMany(r => MatMulArithmetics.All.Select(a => (r, a))))
                {
                    float[] x = Values.Weights((ulong)rows, rows * k);
                    float[] y = Run(matrix, x, rows, arithmetic, tier, out MatMulWeight weight);
                    Assert.Equal(TileScale.F16, weight.Layout.Scale);
                    Assert.Equal(y, Run(matrix, x, rows, arithmetic, tier, out MatMulWeight wide, wide: true));
                    Assert.Equal(TileScale.F32, wide.Layout.Scale);
                }
            }
        }
    }

    [Fact]
    public void Every_f16_scale_is_its_value()
    {
        ushort[] codes = [.. Enumerable.Range(0, 1 << 16).Select(c => (ushort)c)];
        foreach (KernelTier tier in KernelTiers.Supported)
        {
            float[] widened = new float[codes.Length];
            fixed (ushort* from = codes)
            {
                fixed (float* to = widened)
                {
                    switch (tier)
                    {
                        case KernelTier.Avx512:
                            HalfScales.Widen<Simd512>(from, codes.Length / 16, to);
                            break;
                        case KernelTier.Avx2:
                            HalfScales.Widen<Simd256>(from, codes.Length / 16, to);
                            break;
                        default:
                            HalfScales.Widen<Simd128>(from, codes.Length / 16, to);
                            break;
                    }
                }
            }

            Assert.Equal(codes.Select(c => (float)BitConverter.UInt16BitsToHalf(c)), widened);
        }
    }

    private static float[] Rounded(float[] x) => [.. x.Select(v => BitConverter.UInt32BitsToSingle(BitConverter.SingleToUInt32Bits(v) & 0xFFFF0000))];

    private static void Check(string format, int n, int k, MatMulArithmetic arithmetic, Func<MatMulWeight, Sums, double> tolerance, Func<float[], float[]>? prepare = null)
    {
        using EncodedMatrix matrix = EncodedMatrix.Encode(format, n, k, Values.Weights((ulong)(n + k), n * k));
        foreach (int rows in new[] { 1, 3, 8, 13 })
        {
            float[] x = Values.Weights((ulong)(7 * rows), rows * k);
            x = prepare?.Invoke(x) ?? x;
            double[] expected = new double[rows * n];
            double[] magnitudes = new double[rows * n];
            MatMulReference.Multiply(x, matrix.Decoded, expected, magnitudes, k);
            foreach (KernelTier tier in KernelTiers.Supported)
            {
                float[] actual = Run(matrix, x, rows, arithmetic, tier, out MatMulWeight weight);
                if (actual.Length == 0)
                {
                    continue;
                }

                for (int i = 0; i < actual.Length; i++)
                {
                    ReadOnlySpan<float> weights = matrix.Decoded.AsSpan(i % n * k, k);
                    ReadOnlySpan<float> activations = x.AsSpan(i / n * k, k);
                    var sums = new Sums(
                        magnitudes[i],
                        Magnitudes(weights),
                        Magnitudes(activations),
                        Largest(matrix.Decoded),
                        Largest(activations));
                    double allowed = tolerance(weight, sums) + 1e-30;
                    if (!(Math.Abs(actual[i] - expected[i]) <= allowed))
                    {
                        Assert.Fail($"{format} [{n}, {k}] x {rows} rows, {tier}, {arithmetic}: output {i} is {actual[i]}, not {expected[i]} within {allowed}");
                    }
                }
            }
        }
    }

    private static double Magnitudes(ReadOnlySpan<float> values)
    {
        double sum = 0;
        foreach (float value in values)
        {
            sum += Math.Abs(value);
        }

        return sum;
    }

    private static double Largest(ReadOnlySpan<float> values)
    {
        double largest = 0;
        foreach (float value in values)
        {
            largest = Math.Max(largest, Math.Abs(value));
        }

        return largest;
    }

    /// <summary>What errors of one output are relative to: sums of magnitudes, and largest magnitudes of the matrix and of the row of activations.</summary>
    private sealed record Sums(double Products, double Weights, double Activations, double LargestWeight, double LargestActivation);

    /// <summary>Runs with weight, activations and output ending at unmapped pages. Empty where the format has no such kernel.</summary>
    private static float[] Run(EncodedMatrix matrix, float[] x, int rows, MatMulArithmetic arithmetic, KernelTier tier, out MatMulWeight weight, bool? hasDot = null, bool wide = false)
    {
        weight = MatMulWeight.TryCreate(matrix.Spec, (int)matrix.Shape[0], (int)matrix.Shape[1])!;
        weight = wide ? weight.WithF32Scales()! : weight;
        Assert.NotNull(weight);
        if (!weight.Has(arithmetic))
        {
            return [];
        }

        int n = (int)matrix.Shape[0];
        using PoisonBuffer tiles = PoisonBuffer.EndingAtGuard((int)weight.Bytes);
        using PoisonBuffer input = PoisonBuffer.Copy<float>(x);
        using PoisonBuffer output = PoisonBuffer.EndingAtGuard(rows * n * sizeof(float));
        weight.Pack(matrix.Streams(weight.Roles), 0, weight.Layout.Tiles, (nint)tiles.Pointer);
        MatMulRun run = hasDot is bool dot ? new MatMulRun(weight, arithmetic, MatMulKernel.For(weight, tier, dot)) : new MatMulRun(weight, arithmetic, tier);
        run.Run(tiles.Pointer, (float*)input.Pointer, rows, (float*)output.Pointer);
        return new Span<float>(output.Pointer, rows * n).ToArray();
    }
}
