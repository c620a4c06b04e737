using System.Globalization;

namespace ModelPack.Numbers;

/// <summary>Posits of 8 or 16 bits, one code per value and no scale. See SPEC.md.</summary>
internal sealed class PositFormat(int bits) : ITieredFormat
{
    public string Id => FormattableString.Invariant($"posit{bits}");

    public string Summary => $"{bits}-bit posits (tapered precision, widest at 1): es={(bits == 8 ? "0|1|2" : "1|2")}, 2 being the 2022 standard";

    public IBoundNumberFormat Bind(UnitSpec spec, Shape shape) => Bind(spec, shape, SimdTiers.Current);

    public IBoundNumberFormat Bind(UnitSpec spec, Shape shape, SimdTier tier)
    {
        spec.AllowOnly("es");
        int es = spec.Int("es", 2, bits == 8 ? 0 : 1, 2);
        return new BoundPositFormat(new UnitSpec(Id, ("es", es.ToString(CultureInfo.InvariantCulture))), shape, bits, es, tier);
    }
}
