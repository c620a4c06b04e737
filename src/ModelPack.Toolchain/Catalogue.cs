using ModelPack.Numbers;

namespace ModelPack.Toolchain;

/// <summary>What this build can store, for <c>modelpack formats</c>.</summary>
public static class Catalogue
{
    private static readonly Shape Reference = new(4096, 4096);

    /// <summary>Every number format, structure and codec, in catalogue order.</summary>
    public static FormatsResult Formats()
    {
        var rows = new List<FormatRow>();
        rows.AddRange(NumberFormats.All.Select(Describe));
        rows.AddRange(Structures.Structures.All.Select(s => new FormatRow { Name = s.Id, Kind = "structure", Summary = s.Summary }));
        rows.AddRange(Codecs.Codecs.All.Select(c => new FormatRow { Name = c.Id, Kind = "codec", Summary = c.Summary }));
        return new FormatsResult(rows);
    }

    private static FormatRow Describe(INumberFormat format)
    {
        bool raw = DTypes.TryParse(format.Id, out DType dtype);
        bool measurable = !raw || (dtype.IsFloat() && dtype is not (DType.F8E8M0 or DType.F64));
        double? bits = raw && !dtype.HasFixedWidth() ? null : NumberFormats.Bind(new UnitSpec(format.Id), Reference).BitsPerValue;
        double? mse = measurable ? GaussianError.Measure(new UnitSpec(format.Id)) : null;
        return new FormatRow
        {
            Name = format.Id,
            Kind = "number",
            Summary = format.Summary,
            BitsPerWeight = bits,
            GaussianMse = mse,
            Capacity = mse is double m ? GaussianError.Capacity(m) : null,
        };
    }
}
