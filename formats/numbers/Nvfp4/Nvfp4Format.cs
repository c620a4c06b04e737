namespace ModelPack.Numbers;

/// <summary>NVFP4: E2M1 elements in blocks of 16 with an E4M3 scale, and one f32 scale for the whole tensor. See SPEC.md.</summary>
internal sealed class Nvfp4Format : ITieredFormat, ITensorwideFormat
{
    /// <summary>Values that share a scale.</summary>
    public const int Block = 16;

    /// <summary>The largest product of an element and a block scale.</summary>
    private const float LargestProduct = 448f * 6f;

    public string Id => "nvfp4";

    public string Summary => "NVFP4: 4-bit floats with an E4M3 scale per 16 and one f32 scale per tensor: global=<f32> (found from the values when absent)";

    public IBoundNumberFormat Bind(UnitSpec spec, Shape shape) => Bind(spec, shape, SimdTiers.Current);

    public IBoundNumberFormat Bind(UnitSpec spec, Shape shape, SimdTier tier)
    {
        spec.AllowOnly("global", "divisor");
        float? global = SpecNumbers.Read(spec, "global");
        float? divisor = SpecNumbers.Read(spec, "divisor");
        if (global <= 0 || divisor <= 0)
        {
            string wrong = global <= 0 ? "global" : "divisor";
            throw new ModelPackException(ErrorCodes.BadUnitArgument, $"'{Id}': {wrong}={spec.Text(wrong, "")} is not positive");
        }

        var full = global is float g ? new UnitSpec(Id, ("global", SpecNumbers.Text(g))) : new UnitSpec(Id);
        full = divisor is float d ? full.With("divisor", SpecNumbers.Text(d)) : full;
        int columns = RowLimits.Columns(Id, shape);
        return new BoundNvfp4Format(
            full,
            shape,
            global,
            tier,
            new StreamLayout("codes", (columns + 1) / 2, DType.U8),
            new StreamLayout("scales", (columns + Block - 1) / Block, DType.F8E4M3FN));
    }

    public UnitSpec Complete(UnitSpec spec, IValueReader values)
    {
        if (spec.Arguments.ContainsKey("global"))
        {
            return spec;
        }

        float largest = 0;
        RowScan.Run(values, Id, (tile, columns) =>
        {
            largest = Math.Max(largest, TernaryValues.Largest(tile));
            return true;
        });
        return spec.With("global", SpecNumbers.Text(GlobalScale(largest)));
    }

    /// <summary>The scale that brings the largest magnitude of a tensor to 448 x 6; 1 for zeros.</summary>
    internal static float GlobalScale(float amax) => amax == 0 ? 1f : Math.Max(amax / LargestProduct, float.Epsilon);
}
