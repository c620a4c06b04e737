using System.Globalization;
using System.Text.Json.Nodes;
using ModelPack.Compiler;
using ModelPack.Passes;
using ModelPack.Structures;

namespace ModelPack.Toolchain;

/// <summary>What a tensor may become: a number format, or factors or what is left of it in one.</summary>
/// <param name="Format">Number format.</param>
/// <param name="Structure">Structure of pass <c>decompose</c>, or <c>sparse</c>; null: none.</param>
/// <param name="Percent">Parameters that factors keep; weights that are dropped where it is sparse.</param>
/// <param name="Pattern">Which weights are dropped together, as pass <c>sparsify</c> names it.</param>
internal sealed record TuneCandidate(string Format, string? Structure, int Percent, string Pattern = "")
{
    private const string Sparse = "sparse";

    private static readonly string[] Structures = ["pivotrank", "lowrank", "mpo", "kronecker"];

    /// <summary>True when it is more than a number format.</summary>
    public bool IsStructured => Structure is not null;

    /// <summary>The pass that makes it before <c>quantize</c>.</summary>
    public string PassName => Structure == Sparse ? "sparsify" : "decompose";

    /// <summary>Reads <c>int4(block=32)</c>, <c>pivotrank(percent=75)>int4(block=32)</c> or <c>sparse(pattern=2:4)>int4(block=32)</c>.</summary>
    /// <exception cref="ModelPackException">MP2245.</exception>
    public static TuneCandidate Parse(string text)
    {
        int at = text.IndexOf('>', StringComparison.Ordinal);
        if (at < 0)
        {
            return new TuneCandidate(text, null, 100);
        }

        var structure = UnitSpec.Parse(text[..at].Trim());
        string format = text[(at + 1)..].Trim();
        if (structure.Id == Sparse)
        {
            structure.AllowOnly("percent", "pattern");
            return new TuneCandidate(format, Sparse, structure.Int("percent", 50, 1, 99), structure.Text("pattern", "unstructured"));
        }

        structure.AllowOnly("percent");
        return Array.IndexOf(Structures, structure.Id) >= 0
            ? new TuneCandidate(format, structure.Id, structure.Int("percent", 50, 1, 99))
            : throw new ModelPackException(ErrorCodes.BadCandidate, $"'{text}' is no candidate: before '>' stands one of {string.Join(", ", Structures)}, {Sparse}, as in pivotrank(percent=75)>int4(block=32) or sparse(pattern=2:4)>int4(block=32)");
    }

    /// <summary>The pass that makes it, for all layers alike.</summary>
    /// <param name="tensors">Names of those that matter.</param>
    public IPass MakingPass(IEnumerable<string> tensors)
    {
        JsonObject options = Uniform(PassName);
        options["include"] = new JsonArray([.. tensors.Select(t => (JsonNode)t)]);
        options[Structure == Sparse ? "structure" : "parameters_percent"] = Structure == Sparse ? Pattern : Percent;
        options[Structure == Sparse ? "sparsity_percent" : "structure"] = Structure == Sparse ? Percent : Structure;
        return Pass(PassName, options);
    }

    /// <summary>Options of a pass that treats every layer alone, so that what one becomes does not depend on the others.</summary>
    public static JsonObject Uniform(string pass) => pass == "sparsify"
        ? new JsonObject { ["allocation"] = "uniform", ["protect"] = new JsonArray(), ["heal"] = false }
        : new JsonObject { ["allocation"] = "uniform", ["exclusions"] = "none", ["heal"] = false };

    /// <summary>A pass with some options.</summary>
    public static IPass Pass(string name, JsonObject options)
    {
        IPassFactory factory = PassCatalog.Get(name);
        return factory.Create(PassOptions.Bind(factory, options), new TensorRules([]));
    }

    /// <summary>Options of that pass for a tensor that was chosen.</summary>
    /// <param name="form">The tensor.</param>
    public JsonObject Options(Tensor form) => Structure == Sparse
        ? new() { ["structure"] = Pattern, ["sparsity_percent"] = Percent }
        : new() { ["structure"] = Structure, ["rank"] = int.Parse(RankOf(form), CultureInfo.InvariantCulture) };

    /// <summary>Options of <c>quantize</c> for a tensor that was chosen: codes that make up for others would fill the places of dropped weights.</summary>
    public JsonObject QuantizeOptions() => Structure == Sparse
        ? new() { ["format"] = Format, ["algorithm"] = "rtn", ["scales"] = "encoder", ["refine"] = 0 }
        : new() { ["format"] = Format };

    /// <summary>True when a tensor became what this candidate makes of tensors.</summary>
    public bool Fits(WeightEncoding encoding) => !IsStructured || (Structure == Sparse ? IsSparse(encoding) : IsFactors(encoding));

    /// <summary>The rank of a tensor that is factors; the largest bond dimension of a train, the larger number of channels of a convolution.</summary>
    public static string RankOf(Tensor form)
    {
        WeightEncoding encoding = form.Encoding;
        while (encoding is StructuredEncoding { Components: [WeightEncoding only] })
        {
            encoding = only;
        }

        UnitSpec spec = ((StructuredEncoding)encoding).Structure;
        string channels = spec.Text("inputs", "1") + "x" + spec.Text("outputs", "1");
        return spec.Text("rank", "") is { Length: > 0 } rank ? rank : spec.Text("ranks", channels).Split('x').MaxBy(r => int.Parse(r, CultureInfo.InvariantCulture))!;
    }

    /// <summary>True for a tensor that is factors.</summary>
    public static bool IsFactors(WeightEncoding encoding) => encoding switch
    {
        StructuredEncoding { Components: [WeightEncoding only] } => IsFactors(only),
        StructuredEncoding structured => structured.Structure.Id is ConvolutionFactors.TuckerId or ConvolutionFactors.CpId || Structures.Contains(structured.Structure.Id, StringComparer.Ordinal),
        _ => false,
    };

    /// <summary>True for a tensor of which only what is not zero is stored.</summary>
    public static bool IsSparse(WeightEncoding encoding) => encoding is StructuredEncoding { Components: [WeightEncoding only] } ? IsSparse(only) : SparseMatrix.IsSparse(encoding);
}
