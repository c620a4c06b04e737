namespace ModelPack.Numbers;

/// <summary>How the power-of-two scale of a block follows from its largest magnitude; see SPEC.md, section 3.</summary>
internal enum ScaleMode
{
    /// <summary>OCP: the power of two below; magnitudes beyond the largest element saturate.</summary>
    Floor,

    /// <summary>The power of two above the largest magnitude.</summary>
    Ceil,

    /// <summary>The least power of two that brings the largest magnitude into the range of elements.</summary>
    Rceil,

    /// <summary>As <see cref="Floor"/>, after rounding the largest magnitude to the significand of elements.</summary>
    Even,
}
