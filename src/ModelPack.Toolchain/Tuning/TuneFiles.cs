using System.Globalization;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;
using ModelPack.Compiler;
using ModelPack.Passes;

namespace ModelPack.Toolchain;

/// <summary>Files of a search: the recipe, and the front as JSON, CSV and a picture.</summary>
internal static class TuneFiles
{
    private static readonly JsonSerializerOptions Indented = new() { WriteIndented = true, NewLine = "\n", Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    /// <summary>Writes all files; each appears whole or not at all, the recipe last.</summary>
    /// <exception cref="ModelPackException">MP4104: not writable.</exception>
    public static void Write(string recipePath, Recipe recipe, TuneResult result)
    {
        string stem = recipePath.EndsWith(".json", StringComparison.OrdinalIgnoreCase) ? recipePath[..^".json".Length] : recipePath;
        WriteWhole($"{stem}.front.json", FrontJson(result));
        WriteWhole($"{stem}.front.csv", FrontCsv(result));
        WriteWhole($"{stem}.front.svg", FrontPicture.Draw(result));
        WriteWhole(recipePath, RecipeJson(recipe));
    }

    /// <summary>The recipe as a person would write it: only what differs from defaults.</summary>
    internal static string RecipeJson(Recipe recipe)
    {
        var passes = new JsonArray();
        foreach ((IPassFactory factory, PassOptions options) in recipe.Resolve(PassCatalog.All).Steps)
        {
            JsonObject step = options.ToJson();
            foreach (PassOption option in factory.Options.Where(o => JsonNode.DeepEquals(step[o.Name], JsonNode.Parse(o.Default))))
            {
                step.Remove(option.Name);
            }

            JsonNode entry = JsonValue.Create(factory.Name);
            if (step.Count > 0)
            {
                step.Insert(0, "pass", factory.Name);
                entry = step;
            }

            passes.Add(entry);
        }

        var rules = new JsonArray([.. recipe.Rules.Select(r => (JsonNode)r.ToJson())]);
        return new JsonObject { ["name"] = recipe.Name, ["summary"] = recipe.Summary, ["passes"] = passes, ["rules"] = rules }.ToJsonString(Indented) + "\n";
    }

    /// <summary>A profile of structures.</summary>
    internal static string ProfileJson(StructureProfile profile) => new JsonObject
    {
        ["input"] = profile.Input,
        ["structure"] = profile.Structure,
        ["loss_kind"] = profile.LossKind,
        ["data"] = profile.Data,
        ["samples"] = profile.Samples,
        ["percents"] = new JsonArray([.. profile.Percents.Select(p => (JsonNode)p)]),
        ["tensors"] = new JsonArray([.. profile.Tensors.Select(t => (JsonNode)new JsonObject
        {
            ["name"] = t.Name,
            ["shape"] = new JsonArray([.. t.Shape.Select(d => (JsonNode)d)]),
            ["kind"] = t.Kind,
            ["ranks"] = new JsonArray([.. t.Ranks.Select(r => (JsonNode?)r)]),
            ["losses"] = new JsonArray([.. t.Losses.Select(l => (JsonNode?)l)]),
        })]),
    }.ToJsonString(Indented) + "\n";

    private static string FrontJson(TuneResult result)
    {
        JsonArray Points(IEnumerable<TunePoint> points) => new([.. points.Select(p => (JsonNode)new JsonObject
        {
            ["name"] = p.Name,
            ["bits_per_weight"] = p.BitsPerWeight,
            ["bytes"] = p.Bytes,
            ["predicted"] = p.Predicted,
            ["loss"] = p.Loss,
            ["chosen"] = p.Chosen,
        })]);
        return new JsonObject
        {
            ["target"] = result.Target,
            ["loss_kind"] = result.LossKind,
            ["data"] = result.Data,
            ["samples"] = result.Samples,
            ["front"] = Points(result.Front),
            ["uniform"] = Points(result.Uniform),
        }.ToJsonString(Indented) + "\n";
    }

    private static string FrontCsv(TuneResult result)
    {
        var text = new StringBuilder("name,bits_per_weight,bytes,predicted,loss,chosen\n");
        foreach (TunePoint p in result.Front.Concat(result.Uniform))
        {
            text.Append(CultureInfo.InvariantCulture, $"\"{p.Name}\",{p.BitsPerWeight:r},{p.Bytes},{p.Predicted:r},{p.Loss:r},{(p.Chosen ? 1 : 0)}\n");
        }

        return text.ToString();
    }

    internal static void WriteWhole(string path, string text)
    {
        string temporary = $"{path}.tmp-{Environment.ProcessId}";
        try
        {
            File.WriteAllText(temporary, text);
            File.Move(temporary, path, overwrite: true);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new ModelPackException(ErrorCodes.OutputNotWritable, e.Message, path, innerException: e);
        }
        finally
        {
            File.Delete(temporary);
        }
    }
}
