using System.Collections.Immutable;
using System.Security.Cryptography;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace ModelPack.Compiler;

/// <summary>A recipe checked against the registered passes, with every option spelled out: what is recorded in the artifact.</summary>
public sealed class ResolvedRecipe
{
    private readonly ImmutableArray<(IPassFactory Factory, PassOptions Options)> _steps;
    private readonly ImmutableArray<RecipeRule> _rules;

    private ResolvedRecipe(Recipe recipe, FormatDefinitions formats, ImmutableArray<(IPassFactory Factory, PassOptions Options)> steps, ImmutableArray<RecipeRule> rules)
    {
        Name = recipe.Name;
        Summary = recipe.Summary;
        Calibration = recipe.Calibration;
        Accuracy = recipe.Accuracy;
        Formats = formats.All;
        _steps = steps;
        _rules = rules;
    }

    public string Name { get; }

    public string Summary { get; }

    /// <summary>Calibration data to use when the user gives none.</summary>
    public string? Calibration { get; }

    /// <summary>How exactly models run when the user does not say; null for what is usual.</summary>
    public string? Accuracy { get; }

    /// <summary>Number formats that the recipe defined by name. Passes and rules hold what the names stand for, so these are not recorded.</summary>
    public ImmutableSortedDictionary<string, UnitSpec> Formats { get; }

    /// <summary>The passes with all their options, in the order they run.</summary>
    public IReadOnlyList<(IPassFactory Factory, PassOptions Options)> Steps => _steps;

    /// <summary>SHA-256 of <see cref="ToJson"/> in lower-case hexadecimal digits.</summary>
    public string Hash => Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(ToJson())));

    /// <summary>Makes the passes.</summary>
    public IReadOnlyList<IPass> CreatePasses() => [.. _steps.Select(s => s.Factory.Create(s.Options, RulesFor(s.Factory)))];

    /// <summary>What is to be said about rules that do nothing to a model: those that match no tensor, and those that later ones contradict for every tensor.</summary>
    /// <param name="tensors">Names of the model's tensors, before and after the passes.</param>
    public IReadOnlyList<string> RuleWarnings(IEnumerable<string> tensors) =>
        _rules.IsEmpty ? [] : [.. RuleUse.Warnings(_rules, [.. _steps.Select(s => s.Factory.Name).Distinct(StringComparer.Ordinal)], tensors.Distinct(StringComparer.Ordinal))];

    /// <summary>Canonical text: every option, keys in ordinal order, two spaces, line feeds. Reading it as a recipe gives the same again.</summary>
    public string ToJson()
    {
        var top = new JsonObject { ["name"] = Name };
        if (Summary.Length > 0)
        {
            top["summary"] = Summary;
        }

        if (Calibration is not null)
        {
            top["calibration"] = Calibration;
        }

        if (Accuracy is not null)
        {
            top["accuracy"] = Accuracy;
        }

        var passes = new JsonArray();
        foreach ((IPassFactory factory, PassOptions options) in _steps)
        {
            JsonObject step = options.ToJson();
            step["pass"] = factory.Name;
            passes.Add((JsonNode)step);
        }

        top["passes"] = passes;
        top["rules"] = new JsonArray([.. _rules.Select(r => (JsonNode)r.ToJson())]);
        using var buffer = new MemoryStream();
        using (var writer = new Utf8JsonWriter(buffer, new JsonWriterOptions { Indented = true, NewLine = "\n", Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping }))
        {
            WriteSorted(writer, top);
        }

        return Encoding.UTF8.GetString(buffer.ToArray()) + "\n";
    }

    internal static ResolvedRecipe From(Recipe recipe, IReadOnlyList<IPassFactory> catalog)
    {
        IPassFactory Factory(string name) => catalog.FirstOrDefault(f => f.Name == name)
            ?? throw new ModelPackException(ErrorCodes.UnknownPass, $"unknown pass '{name}'{Suggestion.For(name, catalog.Select(f => f.Name))}");

        var formats = new FormatDefinitions(recipe.Formats, catalog);
        (IPassFactory Factory, PassOptions Options)[] steps = [.. recipe.Passes.Select(s => (Factory(s.Pass), PassOptions.Bind(Factory(s.Pass), formats.Replace(Factory(s.Pass), s.Options))))];
        foreach (string assignment in recipe.Assignments)
        {
            Assign(recipe.Name, steps, assignment, Factory, formats);
        }

        foreach (RecipeRule rule in recipe.Rules)
        {
            foreach ((string pass, JsonObject? options) in rule.Passes)
            {
                CheckRule(rule.Match, Factory(pass), options);
            }
        }

        ImmutableArray<RecipeRule> rules =
        [
            .. recipe.Rules.Select(r => r with { Passes = r.Passes.ToImmutableSortedDictionary(p => p.Key, p => p.Value is JsonObject o ? formats.Replace(Factory(p.Key), o) : null, StringComparer.Ordinal) }),
        ];
        return new ResolvedRecipe(recipe, formats, [.. steps], rules);
    }

    private static void Assign(string recipe, (IPassFactory Factory, PassOptions Options)[] steps, string assignment, Func<string, IPassFactory> find, FormatDefinitions formats)
    {
        int equals = assignment.IndexOf('=', StringComparison.Ordinal);
        int dot = assignment.LastIndexOf('.', equals);
        IPassFactory factory = find(assignment[..dot]);
        PassOption option = PassOptions.Find(factory, assignment[(dot + 1)..equals]);
        string text = assignment[(equals + 1)..];
        JsonNode? value = PassOptions.ParseText(option, option.Formats is null ? text : formats.Replace(option, text));
        bool found = false;
        for (int i = 0; i < steps.Length; i++)
        {
            if (steps[i].Factory.Name == factory.Name)
            {
                steps[i].Options = steps[i].Options.With(new JsonObject { [option.Name] = value?.DeepClone() });
                found = true;
            }
        }

        if (!found)
        {
            throw new ModelPackException(ErrorCodes.BadAssignment, $"recipe '{recipe}' does not run pass '{factory.Name}', so '{assignment}' would have no effect");
        }
    }

    private static void CheckRule(string match, IPassFactory factory, JsonObject? options)
    {
        PassOption[] allowed = [.. factory.Options.Where(o => o.PerTensor)];
        if (allowed.Length == 0)
        {
            throw new ModelPackException(ErrorCodes.BadRecipeRule, $"rule '{match}': pass '{factory.Name}' has no options per tensor");
        }

        foreach ((string key, JsonNode? value) in options ?? [])
        {
            PassOption option = PassOptions.Find(factory, key);
            if (!option.PerTensor)
            {
                throw new ModelPackException(ErrorCodes.BadRecipeRule, $"rule '{match}': option '{factory.Name}.{key}' cannot be set per tensor; these can: {string.Join(", ", allowed.Select(o => o.Name))}");
            }

            PassOptions.Check(option, value);
        }
    }

    /// <summary>What the rules say to the passes of a factory.</summary>
    public TensorRules RulesFor(IPassFactory factory) => new(
    [
        .. _rules
            .Where(r => r.Skip || r.Passes.ContainsKey(factory.Name))
            .Select(r => r.Skip || r.Passes[factory.Name] is not JsonObject options ? new TensorRule(r.Match, true, []) : new TensorRule(r.Match, false, options)),
    ]);

    private static void WriteSorted(Utf8JsonWriter writer, JsonNode? node)
    {
        switch (node)
        {
            case JsonObject json:
                writer.WriteStartObject();
                foreach ((string key, JsonNode? value) in json.OrderBy(p => p.Key, StringComparer.Ordinal))
                {
                    writer.WritePropertyName(key);
                    WriteSorted(writer, value);
                }

                writer.WriteEndObject();
                break;
            case JsonArray array:
                writer.WriteStartArray();
                foreach (JsonNode? value in array)
                {
                    WriteSorted(writer, value);
                }

                writer.WriteEndArray();
                break;
            case null:
                writer.WriteNullValue();
                break;
            default:
                node.WriteTo(writer);
                break;
        }
    }
}
