namespace ModelPack.Toolchain;

/// <summary>Every number format, structure and codec.</summary>
public sealed record FormatsResult(IReadOnlyList<FormatRow> Formats);

/// <summary>One unit.</summary>
public sealed record FormatRow
{
    public required string Name { get; init; }

    /// <summary><c>number</c>, <c>structure</c> or <c>codec</c>.</summary>
    public required string Kind { get; init; }

    public required string Summary { get; init; }

    /// <summary>Stored bits per weight with default arguments on a 4096 x 4096 matrix; null for structures and codecs.</summary>
    public double? BitsPerWeight { get; init; }

    /// <summary>Mean squared error on N(0,1) values, measured; null where it does not apply.</summary>
    public double? GaussianMse { get; init; }

    /// <summary>Capacity: effective fraction of a full-precision parameter, 1 - MSE based ranking prior; null where it does not apply.</summary>
    public double? Capacity { get; init; }
}
