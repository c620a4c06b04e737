namespace ModelPack.Numbers;

/// <summary>All number formats, in the order they are listed to people.</summary>
public static class NumberFormats
{
    public static IReadOnlyList<INumberFormat> All { get; } =
    [
    ];

    /// <exception cref="ModelPackException">MP1021: no such format.</exception>
    public static INumberFormat Get(string id) =>
        All.FirstOrDefault(f => f.Id == id) ?? throw new ModelPackException(ErrorCodes.UnknownUnit, $"unknown number format '{id}'");

    /// <summary>Binds a spec to a shape.</summary>
    /// <exception cref="ModelPackException">MP1021 or MP1022.</exception>
    public static IBoundNumberFormat Bind(UnitSpec spec, Shape shape) => Get(spec.Id).Bind(spec, shape);
}
