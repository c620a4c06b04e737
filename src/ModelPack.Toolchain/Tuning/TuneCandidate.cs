using System.Globalization;
using System.Text.Json.Nodes;
using ModelPack.Compiler;
using ModelPack.Passes;

namespace ModelPack.Toolchain;

/// <summary>What a tensor may become: a number format, or factors in one.</summary>
/// <param name="Format">Number format.</param>
/// <param name="Structure">Structure of pass <c>decompose</c>; null: none.</param>
/// <param name="Percent">Parameters that the factors keep.</param>
internal sealed record TuneCandidate(string Format, string? Structure, int Percent)
{
    private static readonly string[] Structures = ["pivotrank", "lowrank", "mpo", "kronecker"];

    /// <summary>Reads <c>int4(block=32)</c> or <c>pivotrank(percent=75)>int4(block=32)</c>.</summary>
    /// <exception cref="ModelPackException">MP2245.</exception>
    public static TuneCandidate Parse(string text)
    {
        int at = text.IndexOf('>', StringComparison.Ordinal);
        if (at < 0)
        {
            return new TuneCandidate(text, null, 100);
        }

        var structure = UnitSpec.Parse(text[..at].Trim());
        structure.AllowOnly("percent");
        return Array.IndexOf(Structures, structure.Id) >= 0
            ? new TuneCandidate(text[(at + 1)..].Trim(), structure.Id, structure.Int("percent", 50, 1, 99))
            : throw new ModelPackException(ErrorCodes.BadCandidate, $"'{text}' is no candidate: before '>' stands one of {string.Join(", ", Structures)}, as in pivotrank(percent=75)>int4(block=32)");
    }

    /// <summary>The pass that makes the factors, for all layers alike.</summary>
    public IPass Decompose() => Pass(new JsonObject { ["structure"] = Structure, ["parameters_percent"] = Percent, ["allocation"] = "uniform", ["exclusions"] = "none", ["heal"] = false });

    /// <summary>Pass <c>decompose</c> with some options.</summary>
    public static IPass Pass(JsonObject options)
    {
        IPassFactory factory = PassCatalog.Get("decompose");
        return factory.Create(PassOptions.Bind(factory, options), new TensorRules([]));
    }

    /// <summary>Options of that pass for a tensor that was chosen to be factors.</summary>
    /// <param name="form">The tensor.</param>
    public JsonObject Options(Tensor form) => new() { ["structure"] = Structure, ["rank"] = int.Parse(RankOf(form), CultureInfo.InvariantCulture) };

    /// <summary>The rank of a tensor that is factors; the largest bond dimension of a train.</summary>
    public static string RankOf(Tensor form)
    {
        WeightEncoding encoding = form.Encoding;
        while (encoding is StructuredEncoding { Components: [WeightEncoding only] })
        {
            encoding = only;
        }

        UnitSpec spec = ((StructuredEncoding)encoding).Structure;
        return spec.Text("rank", "") is { Length: > 0 } rank ? rank : spec.Text("ranks", "1").Split('x').MaxBy(r => int.Parse(r, CultureInfo.InvariantCulture))!;
    }

    /// <summary>True for a tensor that is factors.</summary>
    public static bool IsFactors(WeightEncoding encoding) => encoding switch
    {
        StructuredEncoding { Components: [WeightEncoding only] } => IsFactors(only),
        StructuredEncoding structured => Structures.Contains(structured.Structure.Id, StringComparer.Ordinal),
        _ => false,
    };
}
