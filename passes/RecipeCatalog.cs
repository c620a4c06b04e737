using ModelPack.Compiler;

namespace ModelPack.Passes;

/// <summary>The built-in recipes: the files of samples/recipes, embedded.</summary>
public static class RecipeCatalog
{
    /// <summary>The recipe used when none is named: small, and close enough to the original for any use.</summary>
    public const string DefaultName = "int8";

    /// <summary>Names of the built-in recipes, mildest first.</summary>
    public static IReadOnlyList<string> Names { get; } = ["lossless", "int8", "int4"];

    /// <summary>A built-in recipe by name, or the recipe in a file (anything that ends in .json, holds a path separator, or names an existing file).</summary>
    /// <param name="nameOrPath">Name or path; null for the default.</param>
    /// <exception cref="ModelPackException">MP2100: neither. MP1001, MP1002, MP2101 to MP2104: the file is missing or wrong.</exception>
    public static Recipe Get(string? nameOrPath)
    {
        string name = nameOrPath ?? DefaultName;
        if (Names.Contains(name, StringComparer.Ordinal))
        {
            return BuiltIn(name);
        }

        bool isPath = name.EndsWith(".json", StringComparison.OrdinalIgnoreCase) || name.AsSpan().ContainsAny('/', '\\') || File.Exists(name);
        return isPath
            ? Recipe.Load(name)
            : throw new ModelPackException(ErrorCodes.UnknownRecipe, $"no built-in recipe '{name}' and no such file{Suggestion.For(name, Names)}");
    }

    private static Recipe BuiltIn(string name)
    {
        using Stream stream = typeof(RecipeCatalog).Assembly.GetManifestResourceStream($"recipes/{name}.json")
            ?? throw new InvalidOperationException($"recipe '{name}' is not embedded");
        using var reader = new StreamReader(stream);
        return Recipe.Parse(reader.ReadToEnd());
    }
}
