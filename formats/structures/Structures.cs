namespace ModelPack.Structures;

/// <summary>All structural encodings, in the order they are listed to people.</summary>
public static class Structures
{
    public static IReadOnlyList<IStructure> All { get; } =
    [
        new PermutedStructure(),
        new ReshapedStructure(),
        new DeltaStructure(),
        new BlockSparseStructure(),
        new NMStructure(),
        new BankBalancedStructure(),
        new BitmapStructure(),
        new LowRankStructure(),
        new PivotRankStructure(),
        new MpoStructure(),
        new Tucker2Structure(),
        new CpStructure(),
        new SumStructure(),
    ];

    /// <exception cref="ModelPackException">MP1021: no such structure.</exception>
    public static IStructure Get(string id) =>
        All.FirstOrDefault(s => s.Id == id) ?? throw new ModelPackException(ErrorCodes.UnknownUnit, $"unknown structure '{id}'");
}
