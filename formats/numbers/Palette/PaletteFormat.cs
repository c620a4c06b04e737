using System.Globalization;

namespace ModelPack.Numbers;

/// <summary>Palettes of 2^bits values chosen by k-means, one per tensor or per group of rows. See SPEC.md.</summary>
internal sealed class PaletteFormat : ITieredFormat, ITensorwideFormat
{
    /// <summary>Most rows that may share a palette.</summary>
    private const int MaxGroup = 4096;

    private const string OfTensor = "tensor";

    private const string OfRow = "row";

    public string Id => "palette";

    public string Summary => "2^n values chosen by k-means and codes into them: bits=1..8, group=tensor|row|<rows>, entries=f32|f16|bf16";

    public IBoundNumberFormat Bind(UnitSpec spec, Shape shape) => Bind(spec, shape, SimdTiers.Current);

    public IBoundNumberFormat Bind(UnitSpec spec, Shape shape, SimdTier tier)
    {
        spec.AllowOnly("bits", "group", "entries", "palette");
        int bits = spec.Int("bits", 4, 1, 8);
        DType entries = Entries(spec);
        float[]? palette = spec.Arguments.TryGetValue("palette", out string? text) ? PaletteText.Parse(text, bits, entries) : null;
        int columns = RowLimits.Columns(Id, shape);
        int? rows = RowsPerPalette(spec);
        if (rows is not null && palette is not null)
        {
            throw new ModelPackException(ErrorCodes.BadUnitArgument, $"'{Id}': a palette is given although every group of rows has its own");
        }

        int group = rows is int most ? Divisor(shape.Rows, Math.Min(most, RowLimits.MaxColumns / Math.Max(1, columns))) : 1;
        var full = new UnitSpec(
            Id,
            ("bits", bits.ToString(CultureInfo.InvariantCulture)),
            ("group", rows is null ? OfTensor : group == 1 ? OfRow : group.ToString(CultureInfo.InvariantCulture)),
            ("entries", entries.Name()));
        if (palette is not null)
        {
            full = full.With("palette", text!);
        }

        Shape coded = group == 1 ? shape : new Shape(shape.Rows / group, (long)group * columns);
        var codes = new StreamLayout("codes", ((coded.Columns * bits) + 7) / 8, DType.U8);
        return rows is null
            ? new BoundPaletteFormat(full, coded, bits, entries, palette, tier, codes)
            : new BoundPaletteFormat(full, coded, bits, entries, null, tier, codes, new("palettes", (1L << bits) * PaletteText.Bytes(entries), entries));
    }

    public UnitSpec Complete(UnitSpec spec, IValueReader values)
    {
        if (RowsPerPalette(spec) is not null || spec.Arguments.ContainsKey("palette"))
        {
            return spec;
        }

        int bits = spec.Int("bits", 4, 1, 8);
        DType entries = Entries(spec);
        if (!values.Shape.TryElementCount(out long count))
        {
            throw new ModelPackException(ErrorCodes.BadEncoding, $"'{Id}': shape {values.Shape} is too large");
        }

        using var chooser = new PaletteChooser(bits, count, ClusterEffort.Tensor);
        RowScan.Run(values, Id, (tile, _) =>
        {
            chooser.Add(tile);
            return true;
        });
        Span<float> palette = stackalloc float[1 << bits];
        chooser.Choose(palette);
        PaletteText.Round(palette, entries);
        return spec.With("palette", PaletteText.Of(palette, entries));
    }

    /// <summary>Null for one palette per tensor.</summary>
    private int? RowsPerPalette(UnitSpec spec) => spec.Text("group", OfTensor) switch
    {
        OfTensor => null,
        OfRow => 1,
        string text => int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out int rows) && rows is >= 1 and <= MaxGroup
            ? rows
            : throw new ModelPackException(ErrorCodes.BadUnitArgument, $"'{Id}': group={text} is not tensor, row or a number of rows from 1 to {MaxGroup}"),
    };

    private DType Entries(UnitSpec spec) => spec.Text("entries", "f32") switch
    {
        "f32" => DType.F32,
        "f16" => DType.F16,
        "bf16" => DType.BF16,
        string other => throw new ModelPackException(ErrorCodes.BadUnitArgument, $"'{Id}': entries={other} is not one of f32, f16, bf16"),
    };

    /// <summary>The largest number of rows, at most <paramref name="most"/>, that divides them all evenly: groups are of one size, because every coded row has the same bytes.</summary>
    private static int Divisor(long rows, int most)
    {
        int group = (int)Math.Clamp(most, 1, Math.Max(1, rows));
        while (rows % group != 0)
        {
            group--;
        }

        return group;
    }
}
