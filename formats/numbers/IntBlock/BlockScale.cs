namespace ModelPack.Numbers;

/// <summary>How one block is mapped: value = (code - zero point) x scale.</summary>
/// <param name="Scale">Finite, positive, already rounded to the stored type.</param>
/// <param name="ZeroPoint">The code of zero.</param>
internal readonly record struct BlockScale(float Scale, int ZeroPoint)
{
    /// <summary>The mapping of a symmetric block with largest magnitude <paramref name="amax"/>; 1 for a block of zeros.</summary>
    public static BlockScale Symmetric(float amax, float shrink, in IntBlockLayout layout) =>
        new(amax == 0 ? 1f : ScaleType.Round(amax * shrink / (layout.Offset - 1), layout.Scale), layout.Offset);

    /// <summary>The mapping of a block with values from <paramref name="low"/> to <paramref name="high"/>; the range always includes zero.</summary>
    public static BlockScale Asymmetric(float low, float high, float shrink, in IntBlockLayout layout)
    {
        low = low < 0 ? low * shrink : 0;
        high = high > 0 ? high * shrink : 0;
        float range = high - low;
        if (range == 0)
        {
            return new(1f, 0);
        }

        int maxCode = layout.MaxCode;
        float scale = ScaleType.Round(float.IsInfinity(range) ? (high / maxCode) - (low / maxCode) : range / maxCode, layout.Scale);
        float zero = Math.Min(-low / scale, maxCode);
        return new(scale, (int)MathF.Round(zero));
    }
}
