using System.Runtime.InteropServices;
using ModelPack.Kernels;
using ModelPack.Kernels.MatMul;
using ModelPack.Testing;
using Xunit;

namespace ModelPack.Tests.Kernels;

/// <summary>The block-sparse kernels against sums in f64 of the dense matrix with zeros: blocks, number formats, tiers, tails, memory that ends at an unmapped page.</summary>
[Trait("Category", "Simd")]
public sealed unsafe class SparseMatMulTests
{
    /// <summary>Rounding of f32 sums, relative to the sum of magnitudes.</summary>
    private const double Tolerance = 4e-6;

    /// <summary>All that kernels read of these.</summary>
    public static TheoryData<string, string> Cases()
    {
        var cases = new TheoryData<string, string>();
        foreach (string block in new[] { "32x32", "16x16", "64x64", "128x128", "4x4", "1x16", "16x1", "8x12", "20x20", "48x64" })
        {
            foreach (string format in new[] { "f32", "bf16", "int8", "int8(block=64,symmetric=false)", "int3", "int4(block=row)", "mxfp4", "nvfp4", "mxfp6", "fp8", "posit8", "posit16", "ternary" })
            {
                using SparseWeight? weight = SparseWeight.TryCreate(SparseCase.Structure(block), Complete(format), 8, 8, new byte[8]);
                if (weight is not null)
                {
                    cases.Add(block, format);
                }
            }
        }

        return cases;
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public void Products_equal_those_of_the_dense_matrix(string block, string format)
    {
        foreach ((int n, int k, int percent) in new[] { (40, 100, 40), (5, 7, 100), (130, 272, 10), (70, 300, 0) })
        {
            using var matrix = SparseCase.Make(block, format, n, k, percent);
            foreach (int rows in new[] { 1, 3, 8, 13 })
            {
                float[] x = Values.Weights((ulong)(7 * rows), rows * k);
                double[] expected = new double[rows * n];
                double[] magnitudes = new double[rows * n];
                MatMulReference.Multiply(x, matrix.Dense, expected, magnitudes, k);
                foreach (KernelTier tier in KernelTiers.Supported)
                {
                    float[] y = matrix.Multiply(x, rows, tier);
                    for (int i = 0; i < y.Length; i++)
                    {
                        Assert.True(Math.Abs(y[i] - expected[i]) <= (Tolerance * magnitudes[i]) + 1e-30, $"{block} {format} [{n}, {k}] {percent} %, {rows} rows, {tier}: output {i} is {y[i]}, not {expected[i]}");
                    }
                }
            }
        }
    }

    [Theory]
    [InlineData("32x32", "f32")]
    [InlineData("4x16", "bf16")]
    [InlineData("16x16", "f16")]
    [InlineData("16x16", "posit16")]
    [InlineData("16x4", "f32")]
    public void A_matrix_that_is_stored_as_its_transpose_has_the_same_products(string block, string format)
    {
        const int Rows = 3;
        using var stored = SparseCase.Make(block, format, 100, 70, 30);
        float[] dense = new float[stored.Dense.Length];
        for (int i = 0; i < dense.Length; i++)
        {
            dense[(i % 70 * 100) + (i / 70)] = stored.Dense[i];
        }

        using SparseCase turned = stored.Turn(dense);
        float[] x = Values.Weights(3, Rows * 100);
        double[] expected = new double[Rows * 70];
        double[] magnitudes = new double[Rows * 70];
        MatMulReference.Multiply(x, dense, expected, magnitudes, 100);
        float[] y = turned.Multiply(x, Rows, KernelTiers.Current);
        for (int i = 0; i < y.Length; i++)
        {
            Assert.True(Math.Abs(y[i] - expected[i]) <= (Tolerance * magnitudes[i]) + 1e-30, $"output {i} is {y[i]}, not {expected[i]}");
        }
    }

    [Theory]
    [InlineData("32x32", "f32")]
    [InlineData("16x16", "mxfp4")]
    public void Any_split_into_ranges_gives_the_same_bits(string block, string format)
    {
        const int Rows = 9;
        using var matrix = SparseCase.Make(block, format, 200, 96, 30);
        float[] x = Values.Weights(4, Rows * 96);
        float[] whole = matrix.Multiply(x, Rows, KernelTiers.Current);
        float[] split = new float[whole.Length];
        var run = new SparseMatMulRun(matrix.Weight, KernelTiers.Current);
        void* scratch = NativeMemory.AlignedAlloc((nuint)run.ScratchBytes(Rows), 64);
        fixed (float* input = x, output = split)
        {
            run.Prepare(input, Rows, scratch, shared: true);
            foreach ((int first, int count) in new[] { (3, run.Parts - 3), (0, 1), (1, 2) })
            {
                run.Run((byte*)matrix.Tiles, scratch, Rows, first, count, null, output);
            }
        }

        NativeMemory.AlignedFree(scratch);
        Assert.Equal(whole, split);
    }

    [Fact]
    public void What_a_tail_block_holds_beyond_the_matrix_does_not_count()
    {
        // One block of 32 x 32 for a matrix of 5 x 7; everything beyond is no number.
        float[] values = Values.Weights(3, 32 * 32);
        for (int i = 0; i < values.Length; i++)
        {
            values[i] = i / 32 < 5 && i % 32 < 7 ? values[i] : float.NaN;
        }

        using var matrix = SparseCase.Of("32x32", "f32", 5, 7, [1], values);
        Assert.All(matrix.Multiply(Values.Weights(4, 7), 1, KernelTiers.Current), v => Assert.True(float.IsFinite(v)));
        Assert.All(matrix.Multiply(Values.Weights(4, 21), 3, KernelTiers.Current), v => Assert.True(float.IsFinite(v)));
    }

    [Fact]
    public void A_dense_row_of_blocks_costs_its_multiplications_only()
    {
        using SparseWeight weight = SparseWeight.TryCreate(SparseCase.Structure("32x32"), UnitSpec.Parse("f32"), 64, 64, [3, 0])!;

        Assert.Equal(32 * 64, weight.Multiplications);
        Assert.Equal(0.5, weight.Density);
        Assert.Equal(32 * 64 * 4, weight.Bytes);
    }

    [Theory]
    [InlineData("32x32", "palette(group=row)")]
    [InlineData("4x4", "mxfp4")]
    [InlineData("8x32", "posit8")]
    [InlineData("32x48", "int8(block=64)")]
    [InlineData("1x252", "f32")]
    public void What_no_kernel_reads_is_refused(string block, string format) => Assert.Null(SparseWeight.TryCreate(SparseCase.Structure(block), UnitSpec.Parse(format), 64, 64, new byte[64 * 8]));

    [Fact]
    public void Header_is_read_back_and_a_damaged_one_is_not()
    {
        using var matrix = SparseCase.Make("32x32", "bf16", 100, 70, 50);
        byte[] bytes = matrix.Packed();
        fixed (byte* data = bytes)
        {
            using SparseWeight read = PackedSparseMatrix.Read(data, bytes.Length)!;
            Assert.Equal((100, 70, "bf16", matrix.Weight.StoredBlocks), (read.Rows, read.Columns, read.Format.ToString(), read.StoredBlocks));
            Assert.Null(PackedSparseMatrix.Read(data, bytes.Length - 1));
            Assert.Null(PackedSparseMatrix.Read(data, 10));
            Assert.Null(PackedMatrix.Read(data, bytes.Length));
            foreach (int at in new[] { 0, 4, 8, 20, 512 })
            {
                byte before = data[at];
                data[at] ^= 0x3F;
                Assert.Null(PackedSparseMatrix.Read(data, bytes.Length));
                data[at] = before;
            }
        }
    }

    private static UnitSpec Complete(string format)
    {
        using EncodedMatrix matrix = EncodedMatrix.Encode(format, 1, 256, Values.Weights(1, 256));
        return matrix.Spec;
    }
}
