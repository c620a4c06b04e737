using System.Globalization;

namespace ModelPack.Numbers;

/// <summary>Fixed codebooks with the largest magnitude of each block as its scale: <c>nf4</c>, <c>fp4</c>, <c>dyn8</c>. See SPEC.md.</summary>
/// <param name="id">Its name.</param>
/// <param name="what">One line about it.</param>
/// <param name="signed">The codebook.</param>
/// <param name="unsigned">The one of <c>signed=false</c>; null where there is none.</param>
internal sealed class CodebookFormat(string id, string what, Codebook signed, Codebook? unsigned = null) : ITieredFormat
{
    public string Id { get; } = id;

    public string Summary => $"{what}, a scale per block: block=64..4096, nested=true|false (scales coded with dyn8 as well){(unsigned is null ? "" : ", signed=true|false")}";

    public IBoundNumberFormat Bind(UnitSpec spec, Shape shape) => Bind(spec, shape, SimdTiers.Current);

    public IBoundNumberFormat Bind(UnitSpec spec, Shape shape, SimdTier tier)
    {
        spec.AllowOnly(unsigned is null ? ["block", "nested"] : ["block", "nested", "signed"]);
        bool isUnsigned = unsigned is not null && !spec.Flag("signed", true);
        Codebook book = isUnsigned ? unsigned! : signed;
        int block = spec.Int("block", 64, 64, 4096);
        if ((block & (block - 1)) != 0)
        {
            throw new ModelPackException(ErrorCodes.BadUnitArgument, $"'{Id}': block={block} is not a power of two");
        }

        bool nested = spec.Flag("nested", false);
        int columns = RowLimits.Columns(Id, shape);
        long blocks = (columns + block - 1) / block;
        var codes = new StreamLayout("codes", book.Bits == 8 ? columns : (columns + 1) / 2, DType.U8);
        (string, string)[] arguments = [("block", block.ToString(CultureInfo.InvariantCulture)), ("nested", nested ? "true" : "false")];
        var full = new UnitSpec(Id, isUnsigned ? [.. arguments, ("signed", "false")] : arguments);
        return nested
            ? new BoundCodebookFormat(
                full,
                shape,
                book,
                block,
                nested,
                tier,
                codes,
                new("scales", blocks, DType.U8),
                new("nested-scales", (blocks + NestedScales.Block - 1) / NestedScales.Block * sizeof(float), DType.F32),
                new("offsets", sizeof(float), DType.F32))
            : new BoundCodebookFormat(full, shape, book, block, nested, tier, codes, new("scales", blocks * sizeof(float), DType.F32));
    }
}
