namespace ModelPack.Structures;

/// <summary>A matrix of which n of every m neighbours are stored: <c>nm(m=4,n=2)</c>. See SPEC.md.</summary>
internal sealed class NMStructure : SparseStructure
{
    public const string Name = "nm";

    public override string Id => Name;

    public override string Summary => "n of every m neighbours in a row stored: n=2, m=4";
}
