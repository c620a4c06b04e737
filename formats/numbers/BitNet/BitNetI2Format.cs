namespace ModelPack.Numbers;

/// <summary>BitNet's I2_S, the layout of its x86 builds and its converter. See SPEC.md.</summary>
internal sealed class BitNetI2Format : ITieredFormat, ITensorwideFormat, ITernaryFormat
{
    private static readonly TernaryFormat Ternary = new();

    public string Id => "bitnet-i2_s";

    public string Summary => "BitNet I2_S (x86): ternary values of 2 bits in blocks of 128, one scale per tensor";

    public IBoundNumberFormat Bind(UnitSpec spec, Shape shape) => Bind(spec, shape, SimdTiers.Current);

    public IBoundNumberFormat Bind(UnitSpec spec, Shape shape, SimdTier tier)
    {
        spec.AllowOnly("rule", "scale");
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
        int columns = RowLimits.Columns(Id, shape);
        return new BoundBitNetI2Format(scale is float s ? full.With("scale", SpecNumbers.Text(s)) : full, shape, ((long)columns + 127) / 128 * 32, rule == "absmean", scale, tier);
    }

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
}
