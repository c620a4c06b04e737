namespace ModelPack.Structures;

/// <summary>Values stored with their axes in another order: <c>permuted(perm=1x0)</c>. See SPEC.md.</summary>
internal sealed class PermutedStructure : IStructure
{
    public string Id => Permuted.Id;

    public string Summary => "axes in another order (ONNX Transpose): perm=1x0 stores a matrix transposed";

    public void Validate(StructuredEncoding encoding) => _ = Check(encoding);

    public IValueReader Open(StructuredEncoding encoding, IReadOnlyList<IValueReader> components)
    {
        int[] perm = Check(encoding);
        if (components.Count != 1 || components[0].Shape != encoding.Components[0].Shape)
        {
            throw new ArgumentException($"{encoding.Structure} needs a reader of {encoding.Components[0].Shape}", nameof(components));
        }

        return PermutedReader.Open(components[0], perm, encoding.Shape);
    }

    private static int[] Check(StructuredEncoding encoding)
    {
        int[] perm = Permuted.ParsePerm(encoding.Structure);
        if (encoding.Components.Length != 1)
        {
            throw new ModelPackException(ErrorCodes.BadEncoding, $"'{encoding.Structure}' has {encoding.Components.Length} components instead of 1");
        }

        Shape component = encoding.Components[0].Shape;
        if (component.Rank != perm.Length)
        {
            throw new ModelPackException(ErrorCodes.BadEncoding, $"'{encoding.Structure}' permutes {perm.Length} axes but its component is {component}");
        }

        Shape composed = Permuted.Apply(component, perm);
        return composed == encoding.Shape
            ? perm
            : throw new ModelPackException(ErrorCodes.BadEncoding, $"'{encoding.Structure}' of {component} is {composed}, not {encoding.Shape}");
    }
}
