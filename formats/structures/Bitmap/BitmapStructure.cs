namespace ModelPack.Structures;

/// <summary>A matrix of which any elements are stored: <c>bitmap</c>. See SPEC.md.</summary>
internal sealed class BitmapStructure : SparseStructure
{
    public const string Name = "bitmap";

    public override string Id => Name;

    public override string Summary => "any elements stored, a bit for each says which";
}
