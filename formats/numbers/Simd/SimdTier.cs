using System.Runtime.Intrinsics;

namespace ModelPack.Numbers;

/// <summary>Which implementation of the kernels runs. All give the same bytes; only speed differs.</summary>
internal enum SimdTier
{
    /// <summary>The reference loops.</summary>
    Scalar,
    Vector128,
    Vector256,
    Vector512,
}

/// <summary>Chooses the widest accelerated tier; <c>MODELPACK_SIMD=scalar|128|256|512</c> forces a narrower one.</summary>
internal static class SimdTiers
{
    /// <summary>The tier in use, fixed at start-up.</summary>
    public static readonly SimdTier Current = Choose(Environment.GetEnvironmentVariable("MODELPACK_SIMD"));

    /// <summary>Tiers this machine accelerates, narrowest first; always contains <see cref="SimdTier.Scalar"/>.</summary>
    public static IReadOnlyList<SimdTier> Supported { get; } =
        new[] { SimdTier.Scalar, SimdTier.Vector128, SimdTier.Vector256, SimdTier.Vector512 }[..((int)Widest() + 1)];

    internal static SimdTier Choose(string? forced)
    {
        SimdTier widest = Widest();
        SimdTier asked = forced switch
        {
            "scalar" => SimdTier.Scalar,
            "128" => SimdTier.Vector128,
            "256" => SimdTier.Vector256,
            _ => SimdTier.Vector512,
        };
        return asked < widest ? asked : widest;
    }

    private static SimdTier Widest() =>
        Vector512.IsHardwareAccelerated ? SimdTier.Vector512
        : Vector256.IsHardwareAccelerated ? SimdTier.Vector256
        : Vector128.IsHardwareAccelerated ? SimdTier.Vector128
        : SimdTier.Scalar;
}
