using System.Globalization;

namespace ModelPack.Numbers;

/// <summary>8-bit floats times an f32 scale. See SPEC.md.</summary>
internal sealed class Fp8Format : ITieredFormat, ITensorwideFormat
{
    private const int DefaultBlock = 128;

    public string Id => "fp8";

    public string Summary => "8-bit floats times an f32 scale: element=e4m3fn|e5m2|..., scope=tensor|row|tile (DeepSeek's 128x128)|block (1x128), rule=absmax|mse|pow2|gaudi";

    public IBoundNumberFormat Bind(UnitSpec spec, Shape shape) => Bind(spec, shape, SimdTiers.Current);

    public IBoundNumberFormat Bind(UnitSpec spec, Shape shape, SimdTier tier)
    {
        Arguments given = Read(spec);
        int block = given.Block;
        switch (given.Scope)
        {
            case "tile":
                return Tiled(given, shape, tier);
            case "tensor":
                {
                    int columns = RowLimits.Columns(Id, shape);
                    return new BoundFp8Format(
                        given.Full, shape, given.Element, given.Rule, new Fp8Grid(1, columns, 1, Math.Max(columns, 1)), given.Scale, tier, Codes(given, columns));
                }

            default:
                {
                    int columns = RowLimits.Columns(Id, shape);
                    bool whole = given.Scope == "row";
                    var grid = new Fp8Grid(1, columns, 1, whole ? Math.Max(columns, 1) : block);
                    var scales = new StreamLayout("scales", (whole ? 1L : grid.Across) * sizeof(float), DType.F32);
                    return new BoundFp8Format(given.Full, shape, given.Element, given.Rule, grid, null, tier, Codes(given, columns), scales);
                }
        }
    }

    public UnitSpec Complete(UnitSpec spec, IValueReader values)
    {
        Arguments given = Read(spec);
        if (given.Scope != "tensor" || given.Scale is not null)
        {
            return spec;
        }

        float amax = 0;
        RowScan.Run(values, Id, (tile, columns) =>
        {
            amax = Math.Max(amax, Fp8Reference.Largest(tile, 1, tile.Length, tile.Length));
            return true;
        });
        float scale = given.Rule.Scale(amax);
        return spec.With("scale", SpecNumbers.Text(given.Rule.SearchesFrom(scale) && amax > 0 ? Search(values, given.Rule, scale) : scale));
    }

    /// <summary>The tensor's scale with the least squared error: errors of rows as in a block of one row, added in f64 in order.</summary>
    private float Search(IValueReader values, Fp8Rule rule, float start)
    {
        float[] candidates = new float[Fp8Rule.Candidates];
        float[] reciprocals = new float[Fp8Rule.Candidates];
        double[] errors = new double[Fp8Rule.Candidates];
        rule.Fill(start, candidates, reciprocals);
        RowScan.Run(values, Id, (tile, columns) =>
        {
            for (int at = 0; at < tile.Length; at += columns)
            {
                AddErrors(tile.Slice(at, columns), reciprocals, rule.Format, SimdTiers.Current, errors);
            }

            return true;
        });
        return Fp8Rule.Best(candidates, errors);
    }

    /// <summary>As <see cref="Fp8Reference.AddErrors"/>, on a given tier.</summary>
    internal static void AddErrors(ReadOnlySpan<float> row, ReadOnlySpan<float> reciprocals, in SmallFloatFormat f, SimdTier tier, Span<double> errors)
    {
        switch (tier)
        {
            case SimdTier.Vector512:
                Fp8Search<Lanes512>.AddErrors(row, reciprocals, f, errors);
                break;
            case SimdTier.Vector256:
                Fp8Search<Lanes256>.AddErrors(row, reciprocals, f, errors);
                break;
            case SimdTier.Vector128:
                Fp8Search<Lanes128>.AddErrors(row, reciprocals, f, errors);
                break;
            default:
                Fp8Reference.AddErrors(row, reciprocals, f, errors);
                break;
        }
    }

    /// <summary>A coded row is a strip of <c>block</c> rows of the tensor where strips are whole, else the whole tensor: either way the streams are row-major matrices.</summary>
    private BoundFp8Format Tiled(Arguments given, Shape shape, SimdTier tier)
    {
        if (!shape.TryElementCount(out long count))
        {
            throw new ModelPackException(ErrorCodes.BadEncoding, $"'{Id}': shape {shape} is too large");
        }

        long rows = count == 0 ? 0 : shape.Rows;
        long columns = count == 0 ? 0 : shape.Columns;
        bool strips = rows > 0 && rows % given.Block == 0;
        Shape coded = strips ? new Shape(rows / given.Block, given.Block * columns) : new Shape(count);
        _ = RowLimits.Columns(Id, coded);
        var grid = new Fp8Grid(strips ? given.Block : (int)rows, (int)columns, given.Block, given.Block);
        var scales = new StreamLayout("scales", (long)grid.Across * grid.Down * sizeof(float), DType.F32);
        return new BoundFp8Format(given.Full, coded, given.Element, given.Rule, grid, null, tier, Codes(given, (int)coded.Columns), scales);
    }

    private static StreamLayout Codes(in Arguments given, int columns) => new("codes", columns, given.Element.Hint);

    private Arguments Read(UnitSpec spec)
    {
        spec.AllowOnly("backoff", "block", "element", "min_amax", "rule", "scale", "scope");
        Fp8Element element = Fp8Element.Get(SpecChoice.Of(spec, "element", "e4m3fn", Fp8Element.Names));
        string rule = SpecChoice.Of(spec, "rule", "absmax", "absmax", "mse", "pow2", "gaudi");
        string scope = SpecChoice.Of(spec, "scope", "row", "tensor", "row", "tile", "block");
        float backoff = SpecNumbers.Read(spec, "backoff") ?? 1;
        float leastAmax = SpecNumbers.Read(spec, "min_amax") ?? 0;
        float? scale = SpecNumbers.Read(spec, "scale");
        bool blocked = scope is "tile" or "block";
        int block = spec.Int("block", DefaultBlock, 16, 4096);
        string? wrong =
            !(backoff is > 0 and <= 1) ? "backoff must be above 0 and at most 1"
            : leastAmax < 0 ? "min_amax must not be negative"
            : scale is not null && (scope != "tensor" || !(scale > 0)) ? "scale must be positive, and is for scope=tensor only"
            : block % 16 != 0 ? "block must be a multiple of 16"
            : !blocked && spec.Arguments.ContainsKey("block") ? "block is for scope=tile and scope=block only"
            : rule == "gaudi" && !Fp8Rule.HasGaudiScales(element) ? $"rule=gaudi has no scales for element={element.Name}"
            : null;
        if (wrong is not null)
        {
            throw new ModelPackException(ErrorCodes.BadUnitArgument, $"'{Id}': {wrong}");
        }

        var full = new UnitSpec(
            Id, ("backoff", SpecNumbers.Text(backoff)), ("element", element.Name), ("min_amax", SpecNumbers.Text(leastAmax)), ("rule", rule), ("scope", scope));
        full = blocked ? full.With("block", block.ToString(CultureInfo.InvariantCulture)) : full;
        full = scale is float s ? full.With("scale", SpecNumbers.Text(s)) : full;
        return new Arguments(full, element, new Fp8Rule(element, rule, backoff, leastAmax), scope, block, scale);
    }

    private readonly record struct Arguments(UnitSpec Full, Fp8Element Element, Fp8Rule Rule, string Scope, int Block, float? Scale);
}
