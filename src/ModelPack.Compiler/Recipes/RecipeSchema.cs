using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace ModelPack.Compiler;

/// <summary>The JSON schema of recipe files, generated from the registered passes.</summary>
public static class RecipeSchema
{
    private const string GlobHelp = "Pattern over tensor names: '*' is any run of characters (dots and slashes too), '?' is one character. The whole name must match.";

    private const string CalibrationHelp = "Calibration data to use when none are given: a token file, a folder of .npy inputs, or data to make: generate:images(samples=16,size=224x224,range=signed,seed=0) or generate:text(samples=16,window=256,seed=0).";

    private const string FormatsHelp = "Number formats under names of your own, such as \"small\": \"int4(block=128)\". A name may be used wherever a pass takes a format; arguments given there replace those of the definition.";

    /// <summary>The schema text, two-space indented, ending in a line feed.</summary>
    public static string Generate(IReadOnlyList<IPassFactory> catalog)
    {
        var rule = new JsonObject
        {
            ["match"] = new JsonObject { ["type"] = "string", ["minLength"] = 1, ["description"] = GlobHelp },
            ["skip"] = new JsonObject { ["const"] = true, ["description"] = "All passes that obey rules leave these tensors as they are." },
        };
        var steps = new JsonArray(new JsonObject { ["enum"] = Strings(catalog.Select(f => f.Name)), ["description"] = "A pass with its default options." });
        foreach (IPassFactory factory in catalog)
        {
            steps.Add((JsonNode)Step(factory));
            if (factory.Options.Any(o => o.PerTensor))
            {
                rule[factory.Name] = RuleOptions(factory);
            }
        }

        var root = new JsonObject
        {
            ["$schema"] = "https://json-schema.org/draft/2020-12/schema",
            ["title"] = "ModelPack recipe",
            ["description"] = "What to do to a model: passes in order with options, and rules that change options for tensors by name.",
            ["type"] = "object",
            ["additionalProperties"] = false,
            ["required"] = Strings(["passes"]),
            ["properties"] = new JsonObject
            {
                ["$schema"] = new JsonObject { ["type"] = "string" },
                ["name"] = new JsonObject { ["type"] = "string", ["description"] = "Recorded in the artifact; default: the file name without extension." },
                ["summary"] = new JsonObject { ["type"] = "string", ["description"] = "One line about the recipe." },
                ["calibration"] = new JsonObject { ["type"] = "string", ["minLength"] = 1, ["description"] = CalibrationHelp },
                ["accuracy"] = new JsonObject { ["enum"] = Strings(["identical", "exact", "fast"]), ["description"] = "How exactly models run when --accuracy does not say. identical: plain float weights are left to ONNX Runtime's operators, so that outputs stay the same bit for bit." },
                ["formats"] = new JsonObject
                {
                    ["type"] = "object",
                    ["description"] = FormatsHelp,
                    ["propertyNames"] = new JsonObject { ["pattern"] = "^[a-z0-9_.-]{1,64}$" },
                    ["additionalProperties"] = new JsonObject { ["type"] = "string", ["minLength"] = 1 },
                },
                ["passes"] = new JsonObject { ["type"] = "array", ["description"] = "Passes in the order they run.", ["items"] = new JsonObject { ["anyOf"] = steps } },
                ["rules"] = new JsonObject
                {
                    ["type"] = "array",
                    ["description"] = "Read top to bottom: for each option the last rule that matches a tensor decides.",
                    ["items"] = new JsonObject
                    {
                        ["type"] = "object",
                        ["additionalProperties"] = false,
                        ["required"] = Strings(["match"]),
                        ["minProperties"] = 2,
                        ["properties"] = rule,
                    },
                },
            },
        };
        var options = new JsonSerializerOptions { WriteIndented = true, NewLine = "\n", Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };
        return root.ToJsonString(options) + "\n";
    }

    private static JsonObject Step(IPassFactory factory)
    {
        var properties = new JsonObject { ["pass"] = new JsonObject { ["const"] = factory.Name } };
        foreach (PassOption option in factory.Options)
        {
            properties[option.Name] = Option(option, withDefault: true);
        }

        return new JsonObject
        {
            ["type"] = "object",
            ["description"] = factory.Summary,
            ["additionalProperties"] = false,
            ["required"] = Strings(["pass"]),
            ["properties"] = properties,
        };
    }

    private static JsonObject RuleOptions(IPassFactory factory)
    {
        var properties = new JsonObject();
        foreach (PassOption option in factory.Options.Where(o => o.PerTensor))
        {
            properties[option.Name] = Option(option, withDefault: false);
        }

        return new JsonObject
        {
            ["description"] = $"Options of {factory.Name} for these tensors; false leaves them alone.",
            ["anyOf"] = new JsonArray(
                new JsonObject { ["const"] = false },
                new JsonObject { ["type"] = "object", ["additionalProperties"] = false, ["properties"] = properties }),
        };
    }

    private static JsonObject Option(PassOption option, bool withDefault)
    {
        var json = new JsonObject { ["description"] = option.Summary, ["type"] = option.Type };
        switch (option.Type)
        {
            case "array":
                var items = new JsonObject { ["type"] = "string" };
                if (option.Values is not null)
                {
                    items["enum"] = Strings(option.Values);
                }

                json["items"] = items;
                break;
            case "integer":
                if (option.Values is not null)
                {
                    json["enum"] = new JsonArray([.. option.Values.Select(v => JsonNode.Parse(v))]);
                    break;
                }

                json["minimum"] = option.Minimum;
                if (option.Maximum < long.MaxValue)
                {
                    json["maximum"] = option.Maximum;
                }

                break;
            default:
                if (option.Values is not null)
                {
                    json["enum"] = Strings(option.Values);
                }

                break;
        }

        if (withDefault)
        {
            json["default"] = JsonNode.Parse(option.Default);
        }

        return json;
    }

    private static JsonArray Strings(IEnumerable<string> values) => new([.. values.Select(v => (JsonNode)JsonValue.Create(v))]);
}
