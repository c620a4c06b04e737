namespace ModelPack.Numbers;

/// <summary>Floats of at most 16 bits without a scale, with a choice of rounding and overflow. See SPEC.md.</summary>
internal sealed class ScalarFormat : ITieredFormat
{
    public string Id => "scalar";

    public string Summary => "floats of 4 to 16 bits without a scale: element=e4m3 (Gaudi2)|e4m3fn|e5m2|e3m2|e2m1|e8m0|bf16|..., overflow=saturate|special, round=even|truncate|up|down";

    public IBoundNumberFormat Bind(UnitSpec spec, Shape shape) => Bind(spec, shape, SimdTiers.Current);

    public IBoundNumberFormat Bind(UnitSpec spec, Shape shape, SimdTier tier)
    {
        spec.AllowOnly("element", "overflow", "round");
        ScalarElement element = ScalarElement.Get(SpecChoice.Of(spec, "element", "e4m3", ScalarElement.Names));
        string[] rounds = element.Name switch
        {
            ScalarElement.E8M0 => ["nearest", "up", "down"],
            "bf16" => ["even", "truncate"],
            _ => ["even"],
        };
        string round = SpecChoice.Of(spec, "round", rounds[0], rounds);
        string[] overflows = element.SpecialCode < 0 ? ["saturate"] : round == "truncate" ? ["special"] : ["saturate", "special"];
        string overflow = SpecChoice.Of(spec, "overflow", element.SaturatesByDefault ? "saturate" : "special", overflows);
        int columns = RowLimits.Columns(Id, shape);
        var codes = new StreamLayout("codes", (((long)columns * element.Bits) + 7) / 8, element.Hint);
        var full = new UnitSpec(Id, ("element", element.Name), ("overflow", overflow), ("round", round));
        SmallFloatFormat format = overflow == "saturate" ? element.Saturating : element.Saturating.OverflowingTo(element.SpecialCode);
        return new BoundScalarFormat(full, shape, element, format, round, tier, codes);
    }
}
