namespace ModelPack.Structures;

/// <summary>What the sparse structures share: a mask, and the values it names. See the SPEC.md of each.</summary>
internal abstract class SparseStructure : IStructure
{
    public abstract string Id { get; }

    public abstract string Summary { get; }

    public void Validate(StructuredEncoding encoding) => SparseLayout.Of(encoding.Structure, encoding.Shape).Validate(encoding);

    public IValueReader Open(StructuredEncoding encoding, IReadOnlyList<IValueReader> components)
    {
        Validate(encoding);
        return components is [_, IValueReader values] && values.Shape == encoding.Components[1].Shape
            ? new SparseReader(encoding.Shape, SparseMatrix.Expander(encoding, new DecodedValues(values)))
            : throw new ArgumentException($"{encoding.Structure} needs readers of its components", nameof(components));
    }
}
