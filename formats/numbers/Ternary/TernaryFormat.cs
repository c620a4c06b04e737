namespace ModelPack.Numbers;

/// <summary>Ternary weights of BitNet b1.58, two bits or a fifth of a byte each. See SPEC.md.</summary>
internal sealed class TernaryFormat : ITieredFormat, ITensorwideFormat, ITernaryFormat
{
    public string Id => "ternary";

    public string Summary => "-1, 0, 1 times a scale (BitNet b1.58): rule=absmean|absmax, scope=tensor|row, packing=2bit|base3 (five per byte)";

    public IBoundNumberFormat Bind(UnitSpec spec, Shape shape) => Bind(spec, shape, SimdTiers.Current);

    public IBoundNumberFormat Bind(UnitSpec spec, Shape shape, SimdTier tier)
    {
        spec.AllowOnly("packing", "rule", "scope", "gamma");
        bool base3 = Choice(spec, "packing", "2bit", "base3");
        bool mean = !Choice(spec, "rule", "absmean", "absmax");
        bool perRow = IsPerRow(spec);
        float? gamma = SpecNumbers.Read(spec, "gamma");
        if (gamma < 0 || (perRow && gamma is not null))
        {
            throw new ModelPackException(ErrorCodes.BadUnitArgument, $"'{Id}': gamma={spec.Text("gamma", "")} is negative, or given although every row has its own");
        }

        var full = new UnitSpec(Id, ("packing", base3 ? "base3" : "2bit"), ("rule", mean ? "absmean" : "absmax"), ("scope", perRow ? "row" : "tensor"));
        if (gamma is float g)
        {
            full = full.With("gamma", SpecNumbers.Text(g));
        }

        int columns = RowLimits.Columns(Id, shape);
        var codes = new StreamLayout("codes", base3 ? (columns + 4) / 5 : (columns + 3) / 4, DType.U8);
        return perRow
            ? new BoundTernaryFormat(full, shape, base3, mean, gamma, tier, codes, new("scales", sizeof(float), DType.F32))
            : new BoundTernaryFormat(full, shape, base3, mean, gamma, tier, codes);
    }

    public UnitSpec Complete(UnitSpec spec, IValueReader values)
    {
        if (IsPerRow(spec) || spec.Arguments.ContainsKey("gamma"))
        {
            return spec;
        }

        bool mean = !Choice(spec, "rule", "absmean", "absmax");
        var sum = default(AbsoluteSum);
        float largest = 0;
        RowScan.Run(values, Id, (tile, columns) =>
        {
            for (int start = 0; start < tile.Length; start += columns)
            {
                ReadOnlySpan<float> row = tile.Slice(start, columns);
                if (mean)
                {
                    sum.Add(row);
                }
                else
                {
                    largest = Math.Max(largest, TernaryValues.Largest(row));
                }
            }

            return true;
        });
        return spec.With("gamma", SpecNumbers.Text(mean ? sum.Mean(values.Shape.ElementCount) : largest));
    }

    public UnitSpec Lossless(UnitSpec spec) => spec.With("rule", "absmax");

    public bool IsPerRow(UnitSpec spec) => Choice(spec, "scope", "tensor", "row");

    private static bool Choice(UnitSpec spec, string key, string no, string yes)
    {
        string text = spec.Text(key, no);
        return text == yes
            || (text == no
                ? false
                : throw new ModelPackException(ErrorCodes.BadUnitArgument, $"'{spec.Id}': {key}={text} is not one of {no}, {yes}"));
    }
}
