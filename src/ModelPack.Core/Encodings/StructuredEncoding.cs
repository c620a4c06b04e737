using System.Collections.Immutable;

namespace ModelPack;

/// <summary>Values composed from component tensors by a structure such as <c>permuted</c>, <c>block-sparse</c> or <c>low-rank</c>.</summary>
/// <param name="Structure">The structure with its arguments.</param>
/// <param name="Shape">Shape of the composed values.</param>
/// <param name="Components">Component tensors in the order the structure defines.</param>
public sealed record StructuredEncoding(UnitSpec Structure, Shape Shape, ImmutableArray<WeightEncoding> Components) : WeightEncoding(Shape)
{
    public override string Describe() => Components.Length == 1 || (Components.Length > 1 && Components.Skip(1).All(c => c.Describe() == Components[0].Describe()))
        ? $"{Structure} > {Components[0].Describe()}"
        : $"{Structure} > {{ {string.Join("; ", Components.Select(c => c.Describe()))} }}";
}
