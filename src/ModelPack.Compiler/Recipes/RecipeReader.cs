using System.Collections.Immutable;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace ModelPack.Compiler;

/// <summary>Reads recipe files: JSON, comments allowed, unknown and repeated keys are errors.</summary>
internal static class RecipeReader
{
    private const int MaxBytes = 4 << 20;

    private static readonly string[] TopKeys = ["$schema", "name", "summary", "calibration", "accuracy", "formats", "passes", "rules"];

    public static Recipe Load(string path)
    {
        if (!File.Exists(path))
        {
            throw new ModelPackException(ErrorCodes.FileNotFound, "no such recipe file", path);
        }

        try
        {
            return new FileInfo(path).Length <= MaxBytes
                ? Read(File.ReadAllText(path), path)
                : throw new ModelPackException(ErrorCodes.RecipeSyntax, $"larger than {MaxBytes} bytes", path);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new ModelPackException(ErrorCodes.FileUnreadable, e.Message, path, innerException: e);
        }
    }

    public static Recipe Read(string json, string? path)
    {
        JsonNode? root;
        try
        {
            root = JsonNode.Parse(json, documentOptions: new JsonDocumentOptions { AllowDuplicateProperties = false, CommentHandling = JsonCommentHandling.Skip, MaxDepth = 16 });
        }
        catch (JsonException e)
        {
            throw new ModelPackException(ErrorCodes.RecipeSyntax, e.Message, path, innerException: e);
        }

        try
        {
            return ReadTop(root, path);
        }
        catch (ModelPackException e) when (path is not null)
        {
            throw e.WithPath(path);
        }
    }

    private static Recipe ReadTop(JsonNode? root, string? path)
    {
        JsonObject top = AsObject(root, "the recipe");
        foreach (string key in top.Select(p => p.Key))
        {
            if (!TopKeys.Contains(key, StringComparer.Ordinal))
            {
                throw new ModelPackException(ErrorCodes.UnknownRecipeKey, $"unknown key '{key}'{Suggestion.For(key, TopKeys)}");
            }
        }

        string name = top["name"] is JsonNode n ? AsText(n, "name") : path is null ? "unnamed" : Path.GetFileNameWithoutExtension(path);
        return new Recipe
        {
            Name = name,
            Summary = top["summary"] is JsonNode s ? AsText(s, "summary") : "",
            Calibration = top["calibration"] is JsonNode c ? AsText(c, "calibration") : null,
            Accuracy = top["accuracy"] is JsonNode a ? AsAccuracy(a) : null,
            Formats = top.ContainsKey("formats")
                ? AsObject(top["formats"], "formats").ToImmutableSortedDictionary(f => f.Key, f => AsText(f.Value, $"formats.{f.Key}"), StringComparer.Ordinal)
                : ImmutableSortedDictionary.Create<string, string>(StringComparer.Ordinal),
            Passes = [.. AsArray(top["passes"], "passes").Select(ReadStep)],
            Rules = top.ContainsKey("rules") ? [.. AsArray(top["rules"], "rules").Select(ReadRule)] : [],
        };
    }

    /// <summary>A pass is its name alone, or an object with "pass" and its options side by side.</summary>
    private static RecipeStep ReadStep(JsonNode? node, int index)
    {
        if (node is JsonValue)
        {
            return new RecipeStep(AsText(node, $"passes[{index}]"));
        }

        JsonObject step = AsObject(node, $"passes[{index}]");
        var options = new JsonObject();
        foreach ((string key, JsonNode? value) in step)
        {
            if (key != "pass")
            {
                options[key] = value?.DeepClone();
            }
        }

        return new RecipeStep(AsText(step["pass"], $"passes[{index}].pass"), options);
    }

    private static RecipeRule ReadRule(JsonNode? node, int index)
    {
        string where = $"rules[{index}]";
        JsonObject rule = AsObject(node, where);
        var passes = ImmutableSortedDictionary.CreateBuilder<string, JsonObject?>(StringComparer.Ordinal);
        string? match = null;
        bool skip = false;
        foreach ((string key, JsonNode? value) in rule)
        {
            switch (key)
            {
                case "match":
                    match = AsText(value, $"{where}.match");
                    break;
                case "skip":
                    skip = AsFlag(value, $"{where}.skip");
                    break;
                default:
                    bool off = value?.GetValueKind() == JsonValueKind.False;
                    passes[key] = off ? null : (JsonObject)AsObject(value, $"{where}.{key}").DeepClone();
                    break;
            }
        }

        if (string.IsNullOrEmpty(match))
        {
            throw new ModelPackException(ErrorCodes.BadRecipeRule, $"{where} has no pattern under 'match'");
        }

        if (skip == passes.Count > 0)
        {
            throw new ModelPackException(ErrorCodes.BadRecipeRule, skip
                ? $"{where} skips all passes and yet sets options"
                : $"{where} for '{match}' changes nothing: it needs \"skip\": true or a pass name with options");
        }

        return new RecipeRule(match, skip, passes.ToImmutable());
    }

    private static JsonObject AsObject(JsonNode? node, string where) => node as JsonObject ?? throw Wrong(where, "an object", node);

    private static JsonArray AsArray(JsonNode? node, string where) => node as JsonArray ?? throw Wrong(where, "an array", node);

    private static string AsText(JsonNode? node, string where) =>
        node?.GetValueKind() == JsonValueKind.String ? node.GetValue<string>() : throw Wrong(where, "a string", node);

    private static string AsAccuracy(JsonNode node) =>
        AsText(node, "accuracy") is "identical" or "exact" or "fast" ? node.GetValue<string>() : throw Wrong("accuracy", "identical, exact or fast", node);

    private static bool AsFlag(JsonNode? node, string where) =>
        node?.GetValueKind() is JsonValueKind.True or JsonValueKind.False ? node.GetValue<bool>() : throw Wrong(where, "true or false", node);

    private static ModelPackException Wrong(string where, string expected, JsonNode? node) =>
        new(ErrorCodes.BadRecipeValue, $"{where} must be {expected}{(node is null ? ", but is missing" : $", not {Cut(node.ToJsonString())}")}");

    private static string Cut(string text) => text.Length <= 60 ? text : string.Concat(text.AsSpan(0, 60), "...");
}
