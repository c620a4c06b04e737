using ModelPack.Kernels;
using ModelPack.Kernels.MatMul;
using ModelPack.Testing;
using Xunit;

namespace ModelPack.Tests.Kernels;

/// <summary>Products with weights of single stored elements against loops in f64 over the dense matrix.</summary>
[Trait("Category", "Simd")]
public sealed unsafe class MaskedMatMulTests
{
    [Theory]
    [InlineData("nm(m=4,n=2)", "f32", 20, 64)]
    [InlineData("nm(m=4,n=2)", "bf16", 17, 70)]
    [InlineData("nm(m=4,n=1)", "int8(block=32)", 33, 256)]
    [InlineData("nm(m=4,n=3)", "f32", 5, 33)]
    [InlineData("nm(m=8,n=4)", "int8(block=32)", 19, 200)]
    [InlineData("nm(m=8,n=4)", "bf16", 19, 9)]
    [InlineData("nm(m=16,n=5)", "f32", 3, 100)]
    [InlineData("nm(m=4,n=2)", "int8(block=row)", 7, 128)]
    [InlineData("bankbalanced(bank=64,kept=16)", "bf16", 40, 320)]
    [InlineData("bankbalanced(bank=64,kept=2)", "f32", 40, 100)]
    [InlineData("bankbalanced(bank=32,kept=8)", "int8(block=32)", 9, 256)]
    [InlineData("bitmap", "f32", 21, 75)]
    [InlineData("bitmap", "bf16", 40, 256)]
    [InlineData("bitmap", "f32", 1, 1)]
    public void Outputs_equal_the_dense_product(string structure, string format, int n, int k)
    {
        using MaskedCase one = MaskedCase.Make(structure, format, n, k, emptyRow: structure == "bitmap" && n > 3);
        foreach (int rows in new[] { 1, 2, 4, 7, 13 })
        {
            float[] x = Values.Weights((ulong)rows, rows * k);
            foreach (KernelTier tier in KernelTiers.Supported)
            {
                float[] y = one.Multiply(x, rows, tier);
                for (int i = 0; i < y.Length; i++)
                {
                    double expected = 0;
                    double size = 0;
                    for (int c = 0; c < k; c++)
                    {
                        double product = (double)x[(i / n * k) + c] * one.Dense[(i % n * k) + c];
                        expected += product;
                        size += Math.Abs(product);
                    }

                    Assert.True(Math.Abs(y[i] - expected) <= 1e-6 * size, $"{tier}, {rows} rows, output {i}: {y[i]}, not {expected}");
                }
            }
        }
    }

    [Fact]
    public void Values_past_the_row_are_not_read()
    {
        // The last group of four has one place in the row; what is stored for the others may be anything.
        using MaskedCase one = MaskedCase.Make("nm(m=4,n=2)", "f32", 2, 5, emptyRow: false, past: float.NaN);
        Assert.All(one.Multiply([1, 2, 3, 4, 5], 1, KernelTiers.Current), v => Assert.True(float.IsFinite(v)));
    }

    [Theory]
    [InlineData("nm(m=4,n=2)", "f16")]
    [InlineData("nm(m=4,n=2)", "posit16")]
    [InlineData("nm(m=4,n=2)", "mxfp4")]
    [InlineData("nm(m=4,n=3)", "int8(block=32)")]
    [InlineData("bitmap", "int8(block=32)")]
    [InlineData("blocksparse(block=32x32)", "f32")]
    public void Others_are_not_read(string structure, string format) =>
        Assert.Null(MaskedWeight.TryCreate(UnitSpec.Parse(structure), UnitSpec.Parse(format), 2, 8, [0x33, 0x33]));

    [Fact]
    public void Masks_of_other_lengths_or_counts_are_not_read()
    {
        var spec = UnitSpec.Parse("nm(m=4,n=2)");
        Assert.NotNull(MaskedWeight.TryCreate(spec, UnitSpec.Parse("f32"), 2, 8, [0x33, 0x35]));
        Assert.Null(MaskedWeight.TryCreate(spec, UnitSpec.Parse("f32"), 2, 8, [0x33, 0x31]));
        Assert.Null(MaskedWeight.TryCreate(spec, UnitSpec.Parse("f32"), 2, 8, [0x33]));
        Assert.Null(MaskedWeight.TryCreate(spec, UnitSpec.Parse("f32"), 0, 8, []));
        Assert.Null(MaskedWeight.TryCreate(UnitSpec.Parse("nm(m=5,n=2)"), UnitSpec.Parse("f32"), 2, 8, [0x33, 0x33]));
    }

    [Fact]
    public void Packed_weights_are_read_back_and_damaged_ones_refused()
    {
        using MaskedCase one = MaskedCase.Make("bankbalanced(bank=64,kept=16)", "bf16", 8, 128, emptyRow: false);
        byte[] packed = one.Packed();
        Assert.Equal(one.Weight.Stored, Read(packed)!.Stored);
        Assert.Null(Read(packed[..^64]));
        Assert.Null(Read(packed[..100]));
        foreach (int at in new[] { 0, 4, 8, 12, 16, 20, 24, 512, 600 })
        {
            byte[] damaged = [.. packed];
            damaged[at] ^= 0x41;
            try
            {
                Assert.Null(Read(damaged));
            }
            catch (ModelPackException)
            {
                // A text that is none.
            }
        }
    }

    private static MaskedWeight? Read(byte[] packed)
    {
        fixed (byte* data = packed)
        {
            return PackedMaskedMatrix.Read(data, packed.Length);
        }
    }
}
