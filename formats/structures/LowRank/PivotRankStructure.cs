namespace ModelPack.Structures;

/// <summary>A matrix of low rank as some of its rows, and the others as combinations of these: <c>pivotrank(rank=64)</c>. See SPEC.md.</summary>
internal sealed class PivotRankStructure : IStructure
{
    public string Id => LowRank.PivotId;

    public string Summary => "rank rows of a matrix and all others as combinations of them: rank^2 values fewer than lowrank";

    public void Validate(StructuredEncoding encoding)
    {
        int rank = LowRank.RankOf(encoding);
        if (rank == encoding.Shape[0])
        {
            throw new ModelPackException(ErrorCodes.BadEncoding, $"'{encoding.Structure}' of {encoding.Shape} leaves no row to be combined");
        }

        LowRank.CheckComponents(encoding, new Shape(1, (encoding.Shape[0] + 7) / 8), new Shape(rank, encoding.Shape[1]), new Shape(encoding.Shape[0] - rank, rank));
        if (encoding.Components[0] is not DenseEncoding { Format.Id: "u8" })
        {
            throw new ModelPackException(ErrorCodes.BadEncoding, $"the mask of '{encoding.Structure}' is {encoding.Components[0].Describe()} instead of u8");
        }
    }

    public IValueReader Open(StructuredEncoding encoding, IReadOnlyList<IValueReader> components)
    {
        Validate(encoding);
        LowRank.CheckReaders(encoding, components);
        float[] bytes = new float[components[0].Shape.Columns];
        components[0].ReadRows(0, 1, bytes);
        var rows = PivotRows.Of(encoding, [.. bytes.Select(b => (byte)b)]);
        return new LowRankReader(encoding.Shape, new PivotFactor(rows, (int)components[1].Shape[0], components[2]), components[1]);
    }
}
