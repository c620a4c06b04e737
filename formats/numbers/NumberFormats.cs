namespace ModelPack.Numbers;

/// <summary>All number formats, in the order they are listed to people.</summary>
public static class NumberFormats
{
    public static IReadOnlyList<INumberFormat> All { get; } =
    [
        // Plain values, one format per dtype, under the dtype's name.
        .. DTypes.All.Select(dtype => new RawFormat(dtype)),

        // Integers with a scale per block.
        new IntBlockFormat(8),
        new IntBlockFormat(7),
        new IntBlockFormat(6),
        new IntBlockFormat(5),
        new IntBlockFormat(4),
        new IntBlockFormat(3),
        new IntBlockFormat(2),

        // Scalars without a scale that are no dtype.
        new PositFormat(16),
        new PositFormat(8),
        new BFloat8Format(),

        // Tables of values with a scale per block.
        new CodebookFormat("nf4", "4-bit NormalFloat of QLoRA", Codebook.Nf4),
        new CodebookFormat("fp4", "4-bit float of bitsandbytes", Codebook.Fp4),
        new CodebookFormat("dyn8", "8-bit dynamic-tree map of bitsandbytes", Codebook.Dynamic8),
    ];

    /// <exception cref="ModelPackException">MP1021: no such format.</exception>
    public static INumberFormat Get(string id) =>
        All.FirstOrDefault(f => f.Id == id) ?? throw new ModelPackException(ErrorCodes.UnknownUnit, $"unknown number format '{id}'");

    /// <summary>Binds a spec to a shape.</summary>
    /// <exception cref="ModelPackException">MP1021, MP1022, or MP1020 when the shape is too large for the format.</exception>
    public static IBoundNumberFormat Bind(UnitSpec spec, Shape shape) => Get(spec.Id).Bind(spec, shape);
}
