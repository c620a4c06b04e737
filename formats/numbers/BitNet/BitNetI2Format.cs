namespace ModelPack.Numbers;

/// <summary>BitNet's I2_S, the layout of its x86 builds and its converter. See SPEC.md.</summary>
internal sealed class BitNetI2Format()
    : BitNetFormat("bitnet-i2_s", "BitNet I2_S (x86): ternary values of 2 bits in blocks of 128, one scale per tensor")
{
    public override IBoundNumberFormat Bind(UnitSpec spec, Shape shape, SimdTier tier)
    {
        spec.AllowOnly("rule", "scale");
        (UnitSpec full, bool mean, float? scale) = Arguments(spec);
        int columns = RowLimits.Columns(Id, shape);
        return new BoundBitNetI2Format(full, shape, ((long)columns + 127) / 128 * 32, mean, scale, tier);
    }
}
