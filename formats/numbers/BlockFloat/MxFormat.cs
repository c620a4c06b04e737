namespace ModelPack.Numbers;

/// <summary>OCP microscaling formats: 32 elements with a power-of-two scale. See SPEC.md.</summary>
/// <param name="id">Registered name.</param>
/// <param name="summary">One line for people.</param>
/// <param name="elements">Elements by the value of argument <c>element</c>, the default first; one element has no such argument.</param>
internal sealed class MxFormat(string id, string summary, params (string Name, ElementFormat Element)[] elements) : ITieredFormat
{
    /// <summary>Values that share a scale.</summary>
    public const int Block = 32;

    public string Id { get; } = id;

    public string Summary { get; } = summary;

    public IBoundNumberFormat Bind(UnitSpec spec, Shape shape) => Bind(spec, shape, SimdTiers.Current);

    public IBoundNumberFormat Bind(UnitSpec spec, Shape shape, SimdTier tier)
    {
        bool choice = elements.Length > 1;
        spec.AllowOnly(choice ? ["element", "mode"] : ["mode"]);
        string name = choice ? spec.Text("element", elements[0].Name) : elements[0].Name;
        ElementFormat element = elements.FirstOrDefault(e => e.Name == name).Element
            ?? throw new ModelPackException(ErrorCodes.BadUnitArgument, $"'{Id}': element={name} is not one of {string.Join(", ", elements.Select(e => e.Name))}");
        ScaleMode mode = BlockFloatArguments.Mode(spec);
        var full = new UnitSpec(Id, ("mode", BlockFloatArguments.Name(mode)));
        var layout = new BlockFloatLayout(element, RowLimits.Columns(Id, shape), Block, BlockScaleType.E8M0, mode);
        return new BoundBlockFloatFormat(choice ? full.With("element", name) : full, shape, layout, tier);
    }
}
