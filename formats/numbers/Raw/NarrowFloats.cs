namespace ModelPack.Numbers;

/// <summary>f32 to 16-bit floats.</summary>
public static class NarrowFloats
{
    /// <summary>Rounds to nearest even, ties to even; NaN stays NaN, what is too large for f16 becomes infinite.</summary>
    /// <param name="values">The values.</param>
    /// <param name="dtype"><see cref="DType.BF16"/> or <see cref="DType.F16"/>.</param>
    /// <param name="destination">Two bytes per value, little-endian.</param>
    public static void Round(ReadOnlySpan<float> values, DType dtype, Span<byte> destination) =>
        NarrowDecoding.Narrow(values, dtype, destination[..checked(values.Length * sizeof(ushort))], SimdTiers.Current);
}
