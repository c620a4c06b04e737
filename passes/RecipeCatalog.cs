using System.Text.Json.Nodes;
using ModelPack.Compiler;
using ModelPack.Numbers;

namespace ModelPack.Passes;

/// <summary>The built-in recipes: the files of samples/recipes, embedded, and one for every number format.</summary>
public static class RecipeCatalog
{
    /// <summary>The recipe that does for any model: small, and close enough to the original for any use.</summary>
    public const string DefaultName = "int8";

    /// <summary>Names of the built-in recipes, mildest first.</summary>
    public static IReadOnlyList<string> Names { get; } = ["lossless", "int8", "fp8-dynamic", "fp8-static", "w8a8-dynamic", "w8a8", "int8-only", "int4-calibrated", "int4", "auto"];

    /// <summary>Number formats that can stand for a recipe: all that take fractions.</summary>
    public static IReadOnlyList<string> Formats => FractionFormats.Value;

    private static readonly Lazy<IReadOnlyList<string>> FractionFormats = new(static () =>
        [.. NumberFormats.Ids.Where(id => !DTypes.TryParse(id, out DType dtype) || (dtype.IsFloat() && dtype is not (DType.F64 or DType.F32 or DType.F8E8M0)))]);

    /// <summary>From this many bits per value on a format is good enough for every layer; below, the ends of the network and convolutions take int8.</summary>
    private const double BitsForAll = 7;

    private static readonly Shape Reference = new(4096, 4096);

    /// <summary>
    /// A built-in recipe by name, the recipe in a file (anything that ends in .json, holds a path separator, or names an existing file), or a number format with or
    /// without arguments, which stands for the recipe that stores weights in it.
    /// </summary>
    /// <param name="nameOrPath">Name, path or format; null for the default.</param>
    /// <exception cref="ModelPackException">
    /// MP2100: none of them. MP1001, MP1002, MP2101 to MP2104: the file is missing or wrong. MP1022: a format with wrong arguments.
    /// </exception>
    public static Recipe Get(string? nameOrPath)
    {
        string name = nameOrPath ?? DefaultName;
        if (Names.Contains(name, StringComparer.Ordinal))
        {
            return BuiltIn(name);
        }

        bool isPath = name.EndsWith(".json", StringComparison.OrdinalIgnoreCase) || name.AsSpan().ContainsAny('/', '\\') || File.Exists(name);
        if (isPath)
        {
            return Recipe.Load(name);
        }

        string id = name.Split('(')[0];
        return Formats.Contains(id, StringComparer.Ordinal)
            ? ForFormat(UnitSpec.Parse(name))
            : throw new ModelPackException(
                ErrorCodes.UnknownRecipe, $"no built-in recipe '{name}', no such number format and no such file{Suggestion.For(id, [.. Names, .. Formats])}");
    }

    /// <summary>Weights in one number format; the same passes as the recipes of integers.</summary>
    private static Recipe ForFormat(UnitSpec format)
    {
        double bits = NumberFormats.Bind(format, Reference).BitsPerValue;
        string others = bits < BitsForAll ? "int8" : "same";
        var quantize = new JsonObject { ["format"] = format.ToString(), ["ends"] = others, ["convolutions"] = others };
        return new Recipe
        {
            Name = format.ToString(),
            Summary = others == "same" ? $"{format} for every large weight" : $"{format} for linear layers; embeddings, first and last layers and convolutions in 8 bits",
            Passes = [new("canonicalize"), new("fold-constants"), new("fuse-batchnorm"), new("fuse-elementwise"), new("share-tensors"), new("quantize", quantize), new("detect-sparsity")],
        };
    }

    private static Recipe BuiltIn(string name)
    {
        using Stream stream = typeof(RecipeCatalog).Assembly.GetManifestResourceStream($"recipes/{name}.json")
            ?? throw new InvalidOperationException($"recipe '{name}' is not embedded");
        using var reader = new StreamReader(stream);
        return Recipe.Parse(reader.ReadToEnd());
    }
}
