namespace ModelPack.Structures;

/// <summary>The sum of tensors of one shape: <c>sum > { lowrank(rank=16) > bf16; int4(block=32) }</c>. See SPEC.md.</summary>
internal sealed class SumStructure : IStructure
{
    public string Id => SumOf.Id;

    public string Summary => "the sum of its components: what a part of low rank leaves, in a number format or sparse";

    public void Validate(StructuredEncoding encoding) => SumOf.Check(encoding);

    public IValueReader Open(StructuredEncoding encoding, IReadOnlyList<IValueReader> components)
    {
        Validate(encoding);
        LowRank.CheckReaders(encoding, components);
        return components.All(c => c is IRandomValueReader) ? new RandomSumReader(encoding.Shape, components) : new SumReader(encoding.Shape, components);
    }
}
