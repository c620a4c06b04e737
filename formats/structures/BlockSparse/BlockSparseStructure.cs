namespace ModelPack.Structures;

/// <summary>A matrix of which blocks are stored: <c>blocksparse(block=32x32)</c>. See SPEC.md.</summary>
internal sealed class BlockSparseStructure : SparseStructure
{
    public const string Name = "blocksparse";

    public override string Id => Name;

    public override string Summary => "blocks that are stored whole or not at all: block=32x32";
}
