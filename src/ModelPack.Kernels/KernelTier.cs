using ModelPack.Kernels.Emit;

namespace ModelPack.Kernels;

/// <summary>Instruction sets that kernels are written for, narrowest first.</summary>
public enum KernelTier
{
    /// <summary>128-bit vectors by portable operations; any CPU.</summary>
    Portable,

    /// <summary>AVX2 and FMA; AVX-VNNI where there is.</summary>
    Avx2,

    /// <summary>AVX-512 F and BW, with AVX-VNNI where there is.</summary>
    Avx512,
}

/// <summary>Which tiers this machine has.</summary>
public static class KernelTiers
{
    /// <summary>The widest tier of this machine, or the one forced by the environment variable MODELPACK_SIMD (<c>scalar</c> or <c>128</c>, <c>256</c>).</summary>
    public static KernelTier Current { get; } = Choose(Environment.GetEnvironmentVariable("MODELPACK_SIMD"));

    /// <summary>Tiers that run here, narrowest first.</summary>
    public static IReadOnlyList<KernelTier> Supported => Enum.GetValues<KernelTier>()[..((int)Widest() + 1)];

    /// <summary>Instructions beyond <see cref="Current"/> that kernels made at run time use on this machine; none with MODELPACK_EMIT=0, or where the system lets no process make code.</summary>
    public static IReadOnlyList<string> AtRunTime => Current != KernelTier.Avx512 || !EmittedFunctions.Works
        ? []
        : [.. CpuFeatures.HasVnni512 ? (string[])["avx512vnni"] : [], .. CpuFeatures.HasBFloat16 ? (string[])["avx512bf16"] : []];

    private static KernelTier Choose(string? forced)
    {
        KernelTier asked = forced switch
        {
            "scalar" or "128" => KernelTier.Portable,
            "256" => KernelTier.Avx2,
            _ => KernelTier.Avx512,
        };
        return asked < Widest() ? asked : Widest();
    }

    private static KernelTier Widest() => Simd512.IsSupported && Simd256.IsSupported ? KernelTier.Avx512 : Simd256.IsSupported ? KernelTier.Avx2 : KernelTier.Portable;
}
