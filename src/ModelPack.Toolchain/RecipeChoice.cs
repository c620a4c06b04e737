using System.Globalization;
using System.Text.Json;
using ModelPack.Compiler;
using ModelPack.Pack;
using ModelPack.Passes;

namespace ModelPack.Toolchain;

/// <summary>The recipe for a model when the user names none, and why.</summary>
/// <param name="Recipe">Name of a built-in recipe.</param>
/// <param name="Reason">What the model is, in a few words.</param>
public sealed record RecipeChoice(string Recipe, string Reason)
{
    /// <summary>Values read of a weight to see whether it is ternary.</summary>
    private const int Sample = 1 << 14;

    private const string Architectures = "architectures";

    /// <summary>
    /// Chooses, in this order: weights that are mostly quantised already stay as they are (<c>lossless</c>); ternary ones are stored as such (<c>ternary</c>);
    /// language models take <c>int4</c>, or <c>int4-calibrated</c> with data; convolutional networks <c>int8</c>, or <c>w8a8</c> with data; everything else <c>int8</c>.
    /// Depends on the model alone, so the same model always gets the same recipe.
    /// </summary>
    /// <param name="model">The model as imported.</param>
    /// <param name="calibrated">Calibration data or statistics are at hand.</param>
    /// <param name="target">One of <see cref="TargetProfiles.Names"/>.</param>
    public static RecipeChoice For(Model model, bool calibrated, string target = TargetProfiles.Generic)
    {
        if (target == TargetProfiles.Int8Only)
        {
            return new("int8-only", $"target {target}");
        }

        WeightSurvey survey = WeightSurvey.Of(model);
        if (survey.Total == 0)
        {
            return new("lossless", "a model without large weights");
        }

        if (2 * survey.Ternary > survey.Total)
        {
            return new("ternary", $"{Percent(survey.Ternary, survey.Total)} of the weights are ternary");
        }

        if (Declared(model, "quantization_config") is not null || 2 * survey.Quantised > survey.Total)
        {
            return new("lossless", survey.Quantised > 0 ? $"{Percent(survey.Quantised, survey.Total)} of the weights are quantised already" : "its configuration says that it is quantised already");
        }

        if (survey.Linear > survey.Convolution && survey.Largest is Tensor largest && IsTernary(largest))
        {
            return new("ternary", $"the weights are ternary already ('{largest.Name}' has three values)");
        }

        if (IsLanguageModel(model, survey))
        {
            return calibrated ? new("int4-calibrated", "a language model, and calibration data") : new("int4", "a language model");
        }

        if (2 * survey.Convolution > survey.Total)
        {
            return new(calibrated ? "w8a8" : RecipeCatalog.DefaultName, $"a convolutional network{(calibrated ? ", and calibration data" : "")}");
        }

        string kind = 2 * survey.Recurrent > survey.Total ? "a recurrent network" : 2 * survey.Linear > survey.Total ? "a network of linear layers" : "a network of mixed layers";
        return new(RecipeCatalog.DefaultName, kind);
    }

    /// <summary>A graph whose words come in through a table and go out as scores over the same number of words; a checkpoint that says so, or names its layers that way.</summary>
    private static bool IsLanguageModel(Model model, WeightSurvey survey)
    {
        if (2 * survey.Linear <= survey.Total && 2 * (survey.Linear + survey.Embedding) <= survey.Total)
        {
            return false;
        }

        if (Declared(model, Architectures) is JsonElement classes && IsOfMaskedWords(classes))
        {
            return false;
        }

        if (model.Kind == ModelKind.Onnx)
        {
            return survey.Tables.Any(t => survey.OutputWidths.Contains(t) || survey.TiedTables.Contains(t));
        }

        if (Declared(model, Architectures) is JsonElement { ValueKind: JsonValueKind.Array } names)
        {
            return names.EnumerateArray().Any(n => n.ValueKind == JsonValueKind.String && n.GetString() is string name
                && (name.EndsWith("ForCausalLM", StringComparison.Ordinal) || name.EndsWith("LMHeadModel", StringComparison.Ordinal)));
        }

        return model.Graph.Initializers.Any(t => t.Shape.Rank == 2 && t.Name.Split('.').Any(p => p is "lm_head" or "embed_out"));
    }

    /// <summary>True when a config.json names a class that predicts masked words, from both sides.</summary>
    internal static bool IsOfMaskedWords(ReadOnlyMemory<byte> config)
    {
        try
        {
            using JsonDocument document = JsonDocument.Parse(config);
            return document.RootElement.ValueKind == JsonValueKind.Object && document.RootElement.TryGetProperty(Architectures, out JsonElement classes) && IsOfMaskedWords(classes);
        }
        catch (JsonException)
        {
            return false;
        }
    }

    private static bool IsOfMaskedWords(JsonElement classes) => classes.ValueKind == JsonValueKind.Array && classes.EnumerateArray().Any(n => n.ValueKind == JsonValueKind.String && n.GetString() is string name
        && (name.EndsWith("ForMaskedLM", StringComparison.Ordinal) || name.EndsWith("ForPreTraining", StringComparison.Ordinal)));

    /// <summary>A member of the checkpoint's config.json; null when there is none or it cannot be read.</summary>
    private static JsonElement? Declared(Model model, string member)
    {
        if (model.Files.FirstOrDefault(f => f.RelativePath == "config.json") is not CarriedFile { Data: { LengthBytes: < 1 << 20 } data })
        {
            return null;
        }

        byte[] bytes = new byte[(int)data.LengthBytes];
        data.Read(0, bytes);
        try
        {
            using JsonDocument document = JsonDocument.Parse(bytes);
            return document.RootElement.ValueKind == JsonValueKind.Object && document.RootElement.TryGetProperty(member, out JsonElement value) ? value.Clone() : null;
        }
        catch (JsonException)
        {
            return null;
        }
    }

    private static bool IsTernary(Tensor tensor)
    {
        IValueReader reader = EncodingValues.Open(tensor.Encoding);
        long columns = reader.Shape.Columns;
        int rows = (int)Math.Min(reader.Shape.Rows, Sample / columns);
        if (rows == 0)
        {
            return false;
        }

        float[] values = new float[rows * columns];
        reader.ReadRows(0, rows, values);
        float scale = values.Max(MathF.Abs);
        return scale > 0 && float.IsFinite(scale) && values.All(v => v == 0 || MathF.Abs(v) == scale) && values.Contains(0f);
    }

    private static string Percent(long part, long whole) => (100.0 * part / whole).ToString("0", CultureInfo.InvariantCulture) + " %";
}
