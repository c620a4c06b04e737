namespace ModelPack.Structures;

/// <summary>A matrix of which every bank stores as many values: <c>bankbalanced(bank=64,kept=8)</c>. See SPEC.md.</summary>
internal sealed class BankBalancedStructure : SparseStructure
{
    public const string Name = "bankbalanced";

    public override string Id => Name;

    public override string Summary => "as many values of every bank of a row stored: bank=64, kept=8";
}
