using System.Collections.Immutable;
using System.Globalization;

namespace ModelPack.Runtime;

/// <summary>Name and type of a model input or output.</summary>
/// <param name="Name">Its name.</param>
/// <param name="DType">Element type; <see cref="DType.Undefined"/> when the value is not a dense tensor (sequences, maps).</param>
/// <param name="Dims">Dimensions, outermost first; empty for scalars.</param>
public sealed record ModelValue(string Name, DType DType, ImmutableArray<ModelDimension> Dims)
{
    /// <summary>True for dense tensors: everything else cannot be passed through this interface.</summary>
    public bool IsTensor => DType != DType.Undefined;

    /// <summary>The signature, for example <c>f32[batch,3,224,224]</c>.</summary>
    public string Type => IsTensor ? $"{DType.Name()}[{string.Join(',', Dims)}]" : "not a tensor";

    public override string ToString() => $"{Name}: {Type}";
}

/// <summary>One dimension: a size, or free (named by a symbol or not).</summary>
/// <param name="Size">The size; null when it is free.</param>
/// <param name="Symbol">Name of a free dimension; null when it has none.</param>
public readonly record struct ModelDimension(long? Size, string? Symbol)
{
    public override string ToString() => Size?.ToString(CultureInfo.InvariantCulture) ?? Symbol ?? "?";
}
