namespace ModelPack.Numbers;

/// <summary>What BitNet's layouts share: ternary values with one scale per tensor, which the spec holds.</summary>
internal abstract class BitNetFormat(string id, string summary) : ITieredFormat, ITensorwideFormat, ITernaryFormat
{
    private static readonly TernaryFormat Ternary = new();

    public string Id { get; } = id;

    public string Summary { get; } = summary;

    public IBoundNumberFormat Bind(UnitSpec spec, Shape shape) => Bind(spec, shape, SimdTiers.Current);

    public abstract IBoundNumberFormat Bind(UnitSpec spec, Shape shape, SimdTier tier);

    public UnitSpec Complete(UnitSpec spec, IValueReader values)
    {
        if (spec.Arguments.ContainsKey("scale"))
        {
            return spec;
        }

        string gamma = Ternary.Complete(new UnitSpec("ternary", ("rule", spec.Text("rule", "absmean"))), values).Text("gamma", "0");
        return spec.With("scale", gamma);
    }

    public UnitSpec Lossless(UnitSpec spec) => spec.With("rule", "absmax");

    public bool IsPerRow(UnitSpec spec) => false;

    /// <summary>The arguments <c>rule</c> and <c>scale</c>, and the spec that has them.</summary>
    /// <exception cref="ModelPackException">MP1022: one of them is wrong.</exception>
    protected (UnitSpec Full, bool Mean, float? Scale) Arguments(UnitSpec spec)
    {
        string rule = spec.Text("rule", "absmean");
        if (rule is not ("absmean" or "absmax"))
        {
            throw new ModelPackException(ErrorCodes.BadUnitArgument, $"'{Id}': rule={rule} is not one of absmean, absmax");
        }

        float? scale = SpecNumbers.Read(spec, "scale");
        if (scale < 0)
        {
            throw new ModelPackException(ErrorCodes.BadUnitArgument, $"'{Id}': scale={spec.Text("scale", "")} is negative");
        }

        var full = new UnitSpec(Id, ("rule", rule));
        return (scale is float s ? full.With("scale", SpecNumbers.Text(s)) : full, rule == "absmean", scale);
    }

    /// <summary>The scale of a tensor that is going to be encoded.</summary>
    /// <exception cref="ModelPackException">MP1020: nobody said it.</exception>
    internal static float ForEncoding(UnitSpec spec, float? scale) =>
        scale ?? throw new ModelPackException(ErrorCodes.BadEncoding, $"'{spec.Id}' needs its scale before rows can be encoded");

    /// <summary>The scale of a tensor that is going to be decoded.</summary>
    /// <exception cref="ModelPackException">MP1023: its spec does not say it.</exception>
    internal static float ForDecoding(UnitSpec spec, float? scale) =>
        scale ?? throw new ModelPackException(ErrorCodes.BadStream, $"'{spec.Id}' does not say its scale");
}
