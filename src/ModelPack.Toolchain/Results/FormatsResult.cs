namespace ModelPack.Toolchain;

/// <summary>Every number format, structure and codec, or those asked for.</summary>
public sealed record FormatsResult(IReadOnlyList<FormatRow> Formats);

/// <summary>One unit, or a combination.</summary>
public sealed record FormatRow
{
    public required string Name { get; init; }

    /// <summary><c>number</c>, <c>sparsity</c>, <c>composition</c> (a format of the weights that a sparsity pattern keeps), <c>structure</c> or <c>codec</c>.</summary>
    public required string Kind { get; init; }

    public required string Summary { get; init; }

    /// <summary>Stored bits per weight on a 4096 x 4096 matrix before lossless coding, masks and indexes of sparse weights included (a sparsity pattern alone keeps weights in 16 bits); null for structures and codecs.</summary>
    public double? BitsPerWeight { get; init; }

    /// <summary>Mean squared error on N(0,1) values, measured, of compositions as well; null where it does not apply.</summary>
    public double? GaussianMse { get; init; }

    /// <summary>log_1/4 of <see cref="GaussianMse"/>; null where it does not apply or the values are kept exactly.</summary>
    public double? EffectiveBits { get; init; }

    /// <summary>
    /// A ranking prior, not a promise: tanh(0.41 x effective bits)^1.39, the share of a full-precision parameter that a compressed one is worth in models trained that way. Of a
    /// composition the product of the capacities of its parts. Null where it does not apply.
    /// </summary>
    public double? Capacity { get; init; }

    /// <summary><see cref="Capacity"/> times the parameters that fit in a byte.</summary>
    public double? CapacityPerByte { get; init; }
}
