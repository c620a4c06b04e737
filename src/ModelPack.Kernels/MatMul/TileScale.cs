namespace ModelPack.Kernels.MatMul;

/// <summary>Stored type of the scales of a tile; the narrow ones hold the format's scales exactly.</summary>
public enum TileScale
{
    /// <summary>Every scale is 1.</summary>
    None,

    /// <summary>4 bytes.</summary>
    F32,

    /// <summary>2 bytes: bf16, and E4M3 scales.</summary>
    BF16,

    /// <summary>1 byte: powers of two, the biased exponent of an f32.</summary>
    E8M0,

    /// <summary>2 bytes: f16.</summary>
    F16,
}

/// <summary>Sizes of <see cref="TileScale"/>.</summary>
internal static class TileScaleSizes
{
    /// <summary>Bytes of one scale.</summary>
    public static int Bytes(this TileScale scale) => scale switch
    {
        TileScale.F32 => 4,
        TileScale.BF16 or TileScale.F16 => 2,
        TileScale.E8M0 => 1,
        _ => 0,
    };
}
