namespace ModelPack.Architectures.Decoder;

/// <summary>Latent attention (MLA): keys and values of all heads come from one short vector per token, and one more key, rotated, is common to all heads.</summary>
/// <param name="QueryRank">Length of the vector that queries come from; null: they come from the input.</param>
/// <param name="KeyValueRank">Length of the vector that keys and values come from.</param>
/// <param name="PlainDim">Channels of a head that are not rotated.</param>
/// <param name="RotaryDim">Channels that are.</param>
/// <param name="ValueDim">Channels of the values of a head.</param>
/// <param name="Bias">The projections to the short vectors, and the output projection, have biases.</param>
internal sealed record LatentSpec(long? QueryRank, long KeyValueRank, long PlainDim, long RotaryDim, long ValueDim, bool Bias)
{
    /// <summary>Epsilon of the norms of the short vectors, which configurations do not give.</summary>
    public const float NormEpsilon = 1e-6f;
}
