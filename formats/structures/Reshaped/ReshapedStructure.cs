namespace ModelPack.Structures;

/// <summary>Values stored under another shape with the same elements in the same order. See SPEC.md.</summary>
internal sealed class ReshapedStructure : IStructure
{
    public string Id => "reshaped";

    public string Summary => "the same elements in the same order under another shape: a convolution stored as a matrix";

    public void Validate(StructuredEncoding encoding)
    {
        encoding.Structure.AllowOnly();
        if (encoding.Components.Length != 1)
        {
            throw new ModelPackException(ErrorCodes.BadEncoding, $"'{encoding.Structure}' has {encoding.Components.Length} components instead of 1");
        }

        Shape component = encoding.Components[0].Shape;
        bool same = component.TryElementCount(out long stored) && encoding.Shape.TryElementCount(out long composed) && stored == composed;
        if (!same)
        {
            throw new ModelPackException(ErrorCodes.BadEncoding, $"'{encoding.Structure}' cannot make {encoding.Shape} of {component}");
        }
    }

    public IValueReader Open(StructuredEncoding encoding, IReadOnlyList<IValueReader> components)
    {
        Validate(encoding);
        if (components.Count != 1 || components[0].Shape != encoding.Components[0].Shape)
        {
            throw new ArgumentException($"{encoding.Structure} needs a reader of {encoding.Components[0].Shape}", nameof(components));
        }

        return components[0].Shape == encoding.Shape ? components[0] : new ReshapedReader(components[0], encoding.Shape);
    }
}
