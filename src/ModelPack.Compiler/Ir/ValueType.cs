using System.Collections.Immutable;

namespace ModelPack.Compiler;

/// <summary>The type of a value as far as passes care: a dense tensor type, or something opaque kept as it came.</summary>
/// <param name="DType">Element type of a dense tensor; <see cref="DType.Undefined"/> for anything else.</param>
/// <param name="Dims">Dimensions; default when the rank is unknown.</param>
/// <param name="Foreign">Full serialised type: the only content for sequences, maps, optionals and sparse tensors.</param>
public sealed record ValueType(DType DType, ImmutableArray<Dimension> Dims, ForeignFields Foreign = default)
{
    public static ValueType Unknown { get; } = new(DType.Undefined, default);

    /// <summary>True when this is a dense tensor type with a known element type.</summary>
    public bool IsTensor => DType != DType.Undefined;
}

/// <summary>One dimension: a number, a named symbol, or unknown (neither).</summary>
/// <param name="Value">The size, or null.</param>
/// <param name="Symbol">The symbol, or null.</param>
/// <param name="Foreign">Container fields not modelled (denotation).</param>
public readonly record struct Dimension(long? Value, string? Symbol = null, ForeignFields Foreign = default);
