namespace ModelPack.Structures;

/// <summary>A matrix as the product of a tall and a wide one: <c>lowrank(rank=64)</c>. See SPEC.md.</summary>
internal sealed class LowRankStructure : IStructure
{
    public string Id => LowRank.Id;

    public string Summary => "the product of a tall and a wide matrix (truncated SVD): rank=64 stores 64 (rows + columns) values";

    public void Validate(StructuredEncoding encoding)
    {
        int rank = LowRank.RankOf(encoding);
        LowRank.CheckComponents(encoding, new Shape(encoding.Shape[0], rank), new Shape(rank, encoding.Shape[1]));
    }

    public IValueReader Open(StructuredEncoding encoding, IReadOnlyList<IValueReader> components)
    {
        Validate(encoding);
        LowRank.CheckReaders(encoding, components);
        return new LowRankReader(encoding.Shape, new DenseFactor(components[0]), components[1]);
    }
}
