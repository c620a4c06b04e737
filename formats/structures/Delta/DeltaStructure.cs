namespace ModelPack.Structures;

/// <summary>Differences from the tensor of another file; see SPEC.md. Has no values of its own: whoever has the base puts the tensor's bytes in its place.</summary>
internal sealed class DeltaStructure : IStructure
{
    public string Id => Delta.Id;

    public string Summary => "a tensor as its difference from one of another file, the base";

    public void Validate(StructuredEncoding encoding)
    {
        encoding.Structure.AllowOnly();
        if (encoding.Components is not [DenseEncoding component])
        {
            throw new ModelPackException(ErrorCodes.BadEncoding, $"'{encoding.Structure}' must have one plainly stored component");
        }

        if (component.Shape != encoding.Shape || component.Format.Id is not ("u8" or "u16" or "u32" or "u64" or "u4" or "u2"))
        {
            throw new ModelPackException(ErrorCodes.BadEncoding, $"'{encoding.Structure}' cannot make {encoding.Shape} of {component.Format}{component.Shape}");
        }
    }

    public IValueReader Open(StructuredEncoding encoding, IReadOnlyList<IValueReader> components)
    {
        Validate(encoding);
        throw new ModelPackException(ErrorCodes.ArtifactBaseMissing, "is stored as its difference from a base file: it has no values without it (--base)");
    }
}
