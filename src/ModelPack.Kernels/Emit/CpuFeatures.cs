using System.Runtime.Intrinsics.X86;

namespace ModelPack.Kernels.Emit;

/// <summary>Instructions that this machine has and .NET has no intrinsics for: kernels of them are written at run time.</summary>
internal static class CpuFeatures
{
    private const int ExtendedFeatures = 7;

    /// <summary>Products of bytes in 512 bits (AVX512_VNNI).</summary>
    public static bool HasVnni512 { get; } = Bit(0, 2, 11);

    /// <summary>Products of BF16 in 512 bits (AVX512_BF16).</summary>
    public static bool HasBFloat16 { get; } = Bit(1, 0, 5);

    /// <summary>Conversion of f16 in 256 bits (F16C); where AVX2 is, the system saves its registers.</summary>
    public static bool HasF16C { get; } = X86Base.X64.IsSupported && (X86Base.CpuId(1, 0).Ecx & (1 << 29)) != 0;

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
