using System.Runtime.InteropServices;
using System.Runtime.Intrinsics.X86;

namespace ModelPack.Toolchain;

/// <summary>What <c>--target</c> may name: kinds of processors, by the instructions that may be counted on. Nothing is known of their speed.</summary>
public static class TargetProfiles
{
    /// <summary>No particular machine.</summary>
    public const string Generic = "generic";

    /// <summary>Processors with 8-bit integer arithmetic only: every node must be quantised, every size fixed.</summary>
    public const string Int8Only = "int8-only";

    /// <summary>
    /// All names. <c>x64-v3</c> is the level 3 of the x86-64 psABI (AVX2, no AVX-512), <c>arm64</c> 64-bit Arm. There is no name for AVX-512: the decoders that need it need VBMI2 as well, which no level of the psABI has.
    /// </summary>
    public static IReadOnlyList<string> Names { get; } = [Generic, "x64-v3", "arm64", Int8Only];

    /// <summary>The machine that compiles, as one of <see cref="Names"/>; what <c>--target host</c> stands for.</summary>
    public static string Host { get; } =
        RuntimeInformation.ProcessArchitecture == Architecture.Arm64 ? "arm64"
        : RuntimeInformation.ProcessArchitecture == Architecture.X64 && !Avx512Vbmi2.IsSupported ? "x64-v3"
        : Generic;

    /// <summary>True when artifacts for this target must leave out the codecs that are fast with AVX-512 alone. <see cref="Generic"/> does not say: <c>--portable</c> does.</summary>
    public static bool IsPortable(string name) => name != Generic;
}
