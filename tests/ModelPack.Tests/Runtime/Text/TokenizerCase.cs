using System.Text.Json.Nodes;
using ModelPack.Runtime.Text;
using ModelPack.Testing;

namespace ModelPack.Tests.Runtime.Text;

/// <summary>The sample's tokenizer.json, whole or with sections replaced.</summary>
internal static class TokenizerCase
{
    public const string Llama3Words = @"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

    private static readonly string Sample = File.ReadAllText(RepositoryTree.PathTo("samples", "models", "tinyllama", "tokenizer.json"));

    public static BytePairTokenizer Load(Action<JsonObject>? change = null)
    {
        JsonObject root = JsonNode.Parse(Sample)!.AsObject();
        change?.Invoke(root);
        return Parse(root.ToJsonString());
    }

    /// <summary>With one section or a member of the model given as JSON.</summary>
    public static BytePairTokenizer Load(string name, string json) => Load(root => Set(root, name, JsonNode.Parse(json)));

    public static void Set(JsonObject root, string name, JsonNode? value)
    {
        JsonObject owner = name.StartsWith("model.", StringComparison.Ordinal) ? root["model"]!.AsObject() : root;
        owner[name[(name.LastIndexOf('.') + 1)..]] = value;
    }

    public static BytePairTokenizer Parse(string json) => BytePairTokenizer.Parse(System.Text.Encoding.UTF8.GetBytes(json));
}
