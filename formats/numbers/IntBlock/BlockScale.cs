namespace ModelPack.Numbers;

/// <summary>How one block is mapped: value = (code - zero point) x scale.</summary>
/// <param name="Scale">Finite, positive, already rounded to the stored type.</param>
/// <param name="ZeroPoint">The code of zero.</param>
internal readonly record struct BlockScale(float Scale, int ZeroPoint)
{
    /// <summary>Magnitudes from here on may decode to infinity with a scale that was rounded up.</summary>
    private const float Huge = 1e38f;

    /// <summary>The mapping of a symmetric block with largest magnitude <paramref name="amax"/>; 1 for a block of zeros.</summary>
    public static BlockScale Symmetric(float amax, float shrink, in IntBlockLayout layout)
    {
        var mapping = new BlockScale(amax == 0 ? 1f : ScaleType.Round(amax * shrink / (layout.Offset - 1), layout.Scale), layout.Offset);
        return amax < Huge || shrink != 1 ? mapping : mapping.Finite(-amax, amax, layout);
    }

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
        var mapping = new BlockScale(scale, Zero(low, scale, maxCode));
        return range < Huge || shrink != 1 ? mapping : mapping.Finite(low, high, layout);
    }

    private static int Zero(float low, float scale, int maxCode) => (int)MathF.Round(Math.Min(-low / scale, maxCode));

    /// <summary>
    /// This mapping, its scale made smaller where an end of the block would decode to infinity: the largest scale whose product with that end's code is finite. (Candidates of a search need no
    /// such care: an infinite error loses.)
    /// </summary>
    private BlockScale Finite(float low, float high, in IntBlockLayout layout)
    {
        BlockScale mapping = this;
        while (true)
        {
            int least = IntBlockReference.Code(low, mapping, layout) - mapping.ZeroPoint;
            int most = IntBlockReference.Code(high, mapping, layout) - mapping.ZeroPoint;
            int largest = Math.Max(-least, most);
            if (float.IsFinite(largest * mapping.Scale))
            {
                return mapping;
            }

            float scale = ScaleType.Round(float.MaxValue / largest, layout.Scale);
            while (!float.IsFinite(largest * scale))
            {
                scale = ScaleType.Below(scale, layout.Scale);
            }

            mapping = new BlockScale(scale, layout.Symmetric ? layout.Offset : Zero(low, scale, layout.MaxCode));
        }
    }
}
