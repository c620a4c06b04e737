namespace ModelPack.Structures;

/// <summary>A convolution kernel with fewer inputs and outputs between two products: <c>tucker2(inputs=16,outputs=24)</c>. See SPEC.md.</summary>
internal sealed class Tucker2Structure : IStructure
{
    public string Id => ConvolutionFactors.TuckerId;

    public string Summary => "a convolution kernel as 1x1, a kernel of fewer inputs and outputs, 1x1 (Tucker-2): inputs=16,outputs=24";

    public void Validate(StructuredEncoding encoding) => ConvolutionFactors.Of(encoding);

    public IValueReader Open(StructuredEncoding encoding, IReadOnlyList<IValueReader> components)
    {
        ConvolutionSizes sizes = ConvolutionFactors.Of(encoding);
        LowRank.CheckReaders(encoding, components);
        return new ConvolutionFactorsReader(encoding.Shape, sizes, false, components);
    }
}
