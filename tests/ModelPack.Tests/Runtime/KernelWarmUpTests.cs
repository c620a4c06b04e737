using ModelPack.Kernels;
using ModelPack.Kernels.MatMul;
using ModelPack.OrtOps;
using Xunit;

namespace ModelPack.Tests.Runtime;

/// <summary>Kernels are compiled before the first run, each kind once.</summary>
public sealed class KernelWarmUpTests
{
    [Theory]
    [InlineData("int4(block=48)")]
    [InlineData("int5(block=row)")]
    [InlineData("int8(symmetric=false,block=16)")]
    [InlineData("mxfp6")]
    [InlineData("nvfp4(global=1)")]
    [InlineData("fp8(scope=tile)")]
    [InlineData("posit8")]
    public void Any_kind_of_weight_is_begun_once(string format)
    {
        foreach (MatMulArithmetic arithmetic in Enum.GetValues<MatMulArithmetic>())
        {
            using MatMulWeight weight = MatMulWeight.TryCreate(UnitSpec.Parse(format), 40, 272)!;
            if (weight.Has(arithmetic))
            {
                // Other tests of this process may have begun the kind already; nobody begins it a second time.
                KernelWarmUp.Begin(weight, arithmetic);
                Assert.False(KernelWarmUp.Begin(weight, arithmetic));
                MatMulWeight small = MatMulWeight.TryCreate(weight.Format, TileLayout.TileRows, 48)!;
                KernelWarmUp.Multiply(new MatMulRun(small, arithmetic, KernelTiers.Current), small.Bytes);
            }
        }
    }

    [Theory]
    [InlineData("nm(m=4,n=2)", "f32")]
    [InlineData("bankbalanced(bank=64,kept=16)", "bf16")]
    [InlineData("bitmap", "f32")]
    public void Weights_of_single_elements_are_begun_once(string structure, string format)
    {
        byte[] mask = [.. Enumerable.Repeat((byte)(structure[0] == 'n' ? 0x33 : 0xFF), structure[0] == 'b' && structure[1] == 'a' ? 0 : 16)];
        mask = mask.Length > 0 ? mask : [.. Enumerable.Range(0, 16).Select(i => (byte)(i % 8 < 2 ? 0xFF : 0))];
        MaskedWeight weight = MaskedWeight.TryCreate(UnitSpec.Parse(structure), UnitSpec.Parse(format), 1, 128, mask)!;
        KernelWarmUp.Begin(weight);
        Assert.False(KernelWarmUp.Begin(weight));
    }

    /// <summary>All arithmetics run through; what is not known is not begun.</summary>
    [Fact]
    public void Convolutions_are_begun_once()
    {
        foreach (MatMulArithmetic arithmetic in Enum.GetValues<MatMulArithmetic>())
        {
            KernelWarmUp.BeginConvolution(arithmetic.Name());
            Assert.False(KernelWarmUp.BeginConvolution(arithmetic.Name()));
            KernelWarmUp.Convolve(arithmetic);
        }

        Assert.False(KernelWarmUp.BeginConvolution("none"));
    }
}
