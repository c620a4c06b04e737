using ModelPack.Compiler;
using ModelPack.Numbers;
using ModelPack.Passes;

namespace ModelPack.Toolchain;

/// <summary>What this build can store, for <c>modelpack formats</c>.</summary>
public static class Catalogue
{
    private static readonly Shape Reference = new(4096, 4096);

    /// <summary>Arguments that change error or size much: listed after their format with its defaults.</summary>
    private static readonly string[] Variants =
    [
        "int8(block=128)", "int4(block=64)", "int4(block=128)", "int4(symmetric=false)", "int4(search=mse)", "int3(block=64)", "int2(search=mse)",
        "nf4(block=128)", "nf4(nested=true)", "palette(bits=8)", "palette(bits=6)", "palette(bits=5)", "palette(bits=3)", "palette(bits=2)", "palette(bits=1)", "palette(group=row)",
        "mxfp8(element=e5m2)", "mxfp6(element=e3m2)", "float(block=tensor)", "fp8(scope=tensor)", "fp8(scope=tile)", "fp8(rule=mse)",
        "ternary(rule=absmax)", "ternary(packing=base3)", "ternary(scope=row)",
    ];

    /// <summary>Every number format, structure and codec, in catalogue order.</summary>
    public static FormatsResult Formats() => Formats(new FormatsRequest());

    /// <summary>The units asked for, or all of them, with their sizes and errors.</summary>
    /// <exception cref="ModelPackException">MP1021, MP1022: a format does not exist or has wrong arguments. MP1040: it cannot hold N(0,1) values. Errors of the recipe.</exception>
    /// <exception cref="ArgumentException">A sparsity pattern is none.</exception>
    public static FormatsResult Formats(FormatsRequest request, CancellationToken cancellation = default)
    {
        bool everything = request.Specs.Count == 0 && request.Recipe is null;
        SparsityPattern[] patterns =
        [
            .. request.Sparsity.SelectMany(s => s == "all" ? SparsityPattern.Usual : [s]).Distinct(StringComparer.Ordinal)
                .Select(s => SparsityPattern.TryParse(s) ?? throw new ArgumentException($"'{s}' is not a sparsity pattern")),
        ];
        var listed = new List<(string Name, UnitSpec Spec, string Summary)>();
        listed.AddRange(request.Specs.Select(s => Named(s, ParseFormat(s))));
        if (request.Recipe is string recipe)
        {
            listed.AddRange(OfRecipe(recipe));
        }

        if (everything)
        {
            foreach (INumberFormat format in NumberFormats.All)
            {
                listed.Add((format.Id, new UnitSpec(format.Id), format.Summary));
                listed.AddRange(Variants.Select(UnitSpec.Parse).Where(v => v.Id == format.Id).Select(v => (v.ToString(), v, "")));
            }
        }

        var rows = new List<FormatRow>();
        foreach ((string name, UnitSpec spec, string summary) in listed)
        {
            cancellation.ThrowIfCancellationRequested();
            FormatRow row = Describe(name, spec, summary);
            rows.Add(row);
            if (row.Capacity is not null)
            {
                rows.AddRange(patterns.Select(p => Compose(row, spec, p)));
            }
        }

        if (everything)
        {
            rows.AddRange((patterns.Length > 0 ? patterns : SparsityPattern.Usual.Select(s => SparsityPattern.TryParse(s)!)).Select(Describe));
            rows.AddRange(Structures.Structures.All.Select(s => new FormatRow { Name = s.Id, Kind = "structure", Summary = s.Summary }));
            rows.AddRange(Codecs.Codecs.All.Select(c => new FormatRow { Name = c.Id, Kind = "codec", Summary = c.Summary }));
        }

        return new FormatsResult(rows);
    }

    /// <summary>Reads a number format and checks that it exists and has such arguments.</summary>
    /// <exception cref="ModelPackException">MP1021, MP1022.</exception>
    public static UnitSpec ParseFormat(string text)
    {
        UnitSpec spec = UnitSpec.Parse(text);
        _ = NumberFormats.Bind(spec, Reference);
        return spec;
    }

    /// <summary>True when <paramref name="text"/> is a sparsity pattern, or <c>all</c> for the usual ones.</summary>
    public static bool IsSparsity(string text) => text == "all" || SparsityPattern.TryParse(text) is not null;

    /// <summary>JSON schema of recipe files: every pass, option and default.</summary>
    public static string RecipeSchema => ModelPack.Compiler.RecipeSchema.Generate(PassCatalog.All);

    /// <summary>Names of all number formats.</summary>
    public static IReadOnlyList<string> NumberFormatNames => NumberFormats.Ids;

    private static IEnumerable<(string Name, UnitSpec Spec, string Summary)> OfRecipe(string nameOrPath)
    {
        Recipe recipe = RecipeCatalog.Get(nameOrPath);
        try
        {
            return [.. RecipeFormats.Of(recipe).Select(f => Named(f.Name, f.Spec))];
        }
        catch (ModelPackException e)
        {
            throw e.WithPath(nameOrPath);
        }
    }

    private static (string Name, UnitSpec Spec, string Summary) Named(string name, UnitSpec spec)
    {
        string full = UnitSpec.Shorten(NumberFormats.Bind(spec, Reference).Spec.ToString());
        return (UnitSpec.Shorten(name), spec, full == name ? NumberFormats.Get(spec.Id).Summary : full);
    }

    private static FormatRow Describe(string name, UnitSpec spec, string summary)
    {
        bool raw = DTypes.TryParse(spec.Id, out DType dtype);
        bool measurable = !raw || (dtype.IsFloat() && dtype is not (DType.F8E8M0 or DType.F64));
        double? bits = raw && !dtype.HasFixedWidth() ? null : NumberFormats.Bind(spec, Reference).BitsPerValue;
        double? mse = measurable ? GaussianError.Measure(spec) : null;
        return Row(name, "number", summary, bits, mse, mse is double m ? GaussianError.Capacity(m) : null);
    }

    /// <summary>A pattern alone keeps weights in 16 bits.</summary>
    private static FormatRow Describe(SparsityPattern pattern)
    {
        double mse = GaussianError.Measure(null, pattern);
        return Row(pattern.Text, "sparsity", pattern.Summary, (16 * pattern.Density) + pattern.IndexBits, mse, GaussianError.Capacity(mse));
    }

    private static FormatRow Compose(FormatRow format, UnitSpec spec, SparsityPattern pattern) => Row(
        $"{format.Name} x {pattern.Text}",
        "composition",
        pattern.Summary,
        (format.BitsPerWeight * pattern.Density) + pattern.IndexBits,
        GaussianError.Measure(spec, pattern),
        format.Capacity * GaussianError.Capacity(GaussianError.Measure(null, pattern)));

    private static FormatRow Row(string name, string kind, string summary, double? bits, double? mse, double? capacity) => new()
    {
        Name = name,
        Kind = kind,
        Summary = summary,
        BitsPerWeight = bits,
        GaussianMse = mse,
        EffectiveBits = mse is > 0 ? GaussianError.EffectiveBits(mse.Value) : null,
        Capacity = capacity,
        CapacityPerByte = bits is > 0 ? capacity * 8 / bits : null,
    };
}
