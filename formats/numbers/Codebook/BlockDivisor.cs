namespace ModelPack.Numbers;

/// <summary>How the values of a block are brought to [-1, 1]: bitsandbytes multiplies by a rounded reciprocal in whole blocks and divides in the last, shorter one.</summary>
/// <param name="Value">What values are multiplied with or divided by.</param>
/// <param name="IsFactor">True to multiply.</param>
/// <param name="Stored">The scale that is stored.</param>
internal readonly record struct BlockDivisor(float Value, bool IsFactor, float Stored)
{
    private const float Least = 1e-38f;

    public static BlockDivisor Of(float amax, bool wholeBlock)
    {
        float divisor = Math.Max(amax, Least);
        return wholeBlock ? new(1f / divisor, true, amax) : new(divisor, false, divisor);
    }
}
