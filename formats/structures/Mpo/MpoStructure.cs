namespace ModelPack.Structures;

/// <summary>A matrix as a tensor train over factors of its rows and columns: <c>mpo(rows=16x16,columns=16x16,ranks=64)</c>. See SPEC.md.</summary>
internal sealed class MpoStructure : IStructure
{
    public string Id => MpoShape.Id;

    public string Summary => "a tensor train over factors of rows and columns (matrix product operator): rows=16x16,columns=16x16,ranks=64";

    public void Validate(StructuredEncoding encoding) => MpoShape.Of(encoding);

    public IValueReader Open(StructuredEncoding encoding, IReadOnlyList<IValueReader> components)
    {
        var mpo = MpoShape.Of(encoding);
        LowRank.CheckReaders(encoding, components);
        return new MpoReader(encoding.Shape, mpo, components);
    }
}
