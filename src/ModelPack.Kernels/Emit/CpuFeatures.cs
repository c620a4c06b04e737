using System.Runtime.Intrinsics.X86;

namespace ModelPack.Kernels.Emit;

/// <summary>Instructions that this machine has and .NET has no intrinsics for: kernels of them are written at run time.</summary>
internal static class CpuFeatures
{
    /// <summary>The family that Zen 4 is of, and no other with 512-bit vectors.</summary>
    public const int Zen4 = 25;

    private const int ExtendedFeatures = 7;

    /// <summary>Products of bytes in 512 bits (AVX512_VNNI).</summary>
    public static bool HasVnni512 { get; } = Bit(0, 2, 11);

    /// <summary>Products of BF16 in 512 bits (AVX512_BF16).</summary>
    public static bool HasBFloat16 { get; } = Bit(1, 0, 5);

    /// <summary>Conversion of f16 in 256 bits (F16C); where AVX2 is, the system saves its registers.</summary>
    public static bool HasF16C { get; } = X86Base.X64.IsSupported && (X86Base.CpuId(1, 0).Ecx & (1 << 29)) != 0;

    /// <summary>Family of processors of AMD; 0 for those of others.</summary>
    public static int AmdFamily { get; } = Family();

    private static int Family()
    {
        // "AuthenticAMD".
        if (!X86Base.X64.IsSupported || X86Base.CpuId(0, 0) is not { Ebx: 0x68747541, Edx: 0x69746E65, Ecx: 0x444D4163 })
        {
            return 0;
        }

        int version = X86Base.CpuId(1, 0).Eax;
        int family = (version >> 8) & 0xF;
        return family == 0xF ? family + ((version >> 20) & 0xFF) : family;
    }

    /// <summary>A bit of CPUID leaf 7; only where the system saves 512-bit registers, which .NET has asked.</summary>
    private static bool Bit(int subLeaf, int register, int bit)
    {
        if (!Avx512F.IsSupported || !X86Base.X64.IsSupported || X86Base.CpuId(0, 0).Eax < ExtendedFeatures || X86Base.CpuId(ExtendedFeatures, 0).Eax < subLeaf)
        {
            return false;
        }

        (int eax, int _, int ecx, int _) = X86Base.CpuId(ExtendedFeatures, subLeaf);
        return (((register == 0 ? eax : ecx) >> bit) & 1) != 0;
    }
}
