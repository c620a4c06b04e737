namespace ModelPack.Numbers;

/// <summary>The stored type of block scales.</summary>
internal enum BlockScaleType
{
    /// <summary>No scale: elements are the values.</summary>
    None,
    E8M0,
    E4M3,
    F16,
    BF16,
    F32,
}
