namespace ModelPack.Structures;

/// <summary>A convolution kernel as a sum of products of an output, a kernel and an input vector: <c>cp(rank=32)</c>. See SPEC.md.</summary>
internal sealed class CpStructure : IStructure
{
    public string Id => ConvolutionFactors.CpId;

    public string Summary => "a convolution kernel as 1x1, one kernel per channel, 1x1 (canonical polyadic decomposition): rank=32";

    public void Validate(StructuredEncoding encoding) => ConvolutionFactors.Of(encoding);

    public IValueReader Open(StructuredEncoding encoding, IReadOnlyList<IValueReader> components)
    {
        ConvolutionSizes sizes = ConvolutionFactors.Of(encoding);
        LowRank.CheckReaders(encoding, components);
        return new ConvolutionFactorsReader(encoding.Shape, sizes, true, components);
    }
}
