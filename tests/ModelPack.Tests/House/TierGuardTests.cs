using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using Xunit;

namespace ModelPack.Tests.House;

/// <summary>
/// The same tests run again with parts of the instruction set switched off. This guard fails when a switch has no effect: a leg that silently
/// runs on the full instruction set would prove nothing. <c>MODELPACK_EXPECT_TIER</c> says which leg it is.
/// </summary>
[Trait("Category", "Simd")]
public sealed class TierGuardTests
{
    [Fact]
    public void Instruction_set_is_the_one_this_leg_claims_to_test()
    {
        string tier = Environment.GetEnvironmentVariable("MODELPACK_EXPECT_TIER") ?? "native";
        string[] switches = [.. Environment.GetEnvironmentVariables().Keys.Cast<string>().Where(IsInstructionSetSwitch)];
        switch (tier)
        {
            case "native":
                Assert.Empty(switches);
                break;
            case "no-avx512":
                Assert.False(Avx512F.IsSupported);
                Assert.False(Vector512.IsHardwareAccelerated);
                break;
            case "no-avx2":
                Assert.False(Avx512F.IsSupported);
                Assert.False(Avx2.IsSupported);
                Assert.False(Vector256.IsHardwareAccelerated);
                break;
            case "scalar":
                Assert.False(Avx2.IsSupported);
                Assert.False(Vector256.IsHardwareAccelerated);
                Assert.False(Vector128.IsHardwareAccelerated);
                break;
            default:
                Assert.Fail($"unknown tier '{tier}'");
                break;
        }
    }

    private static bool IsInstructionSetSwitch(string variable) =>
        variable.StartsWith("DOTNET_Enable", StringComparison.OrdinalIgnoreCase) && variable.Contains("AVX", StringComparison.OrdinalIgnoreCase)
        || variable.Equals("DOTNET_EnableHWIntrinsic", StringComparison.OrdinalIgnoreCase);
}
