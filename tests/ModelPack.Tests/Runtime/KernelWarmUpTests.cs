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
}
