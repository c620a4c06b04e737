using System.Collections.Immutable;
using System.Text.Json.Nodes;

namespace ModelPack.Compiler;

/// <summary>
/// What to do to a model: passes in order with options, and rules that change options for tensors by name. A recipe states only what
/// differs from defaults; <see cref="Resolve"/> checks it against the registered passes and fills in the rest.
/// </summary>
public sealed record Recipe
{
    /// <summary>Name shown to people and recorded in the artifact.</summary>
    public required string Name { get; init; }

    /// <summary>One line about it; may be empty.</summary>
    public string Summary { get; init; } = "";

    /// <summary>Number formats that the recipe defines: name to format with arguments.</summary>
    public ImmutableSortedDictionary<string, string> Formats { get; init; } = ImmutableSortedDictionary.Create<string, string>(StringComparer.Ordinal);

    /// <summary>Calibration data to use when the user gives none: a path, or data to make such as <c>generate:images(size=48x320)</c>; null for none.</summary>
    public string? Calibration { get; init; }

    /// <summary>How exactly models run when the user does not say: <c>identical</c>, <c>exact</c> or <c>fast</c>; null for what is usual.</summary>
    public string? Accuracy { get; init; }

    /// <summary>Passes in the order they run.</summary>
    public required ImmutableArray<RecipeStep> Passes { get; init; }

    /// <summary>Rules, read top to bottom: for each option the last rule that matches a tensor decides.</summary>
    public ImmutableArray<RecipeRule> Rules { get; init; } = [];

    /// <summary>Overrides that wait to be checked against the passes, in the order given: <c>pass.option=value</c>.</summary>
    public ImmutableArray<string> Assignments { get; init; } = [];

    /// <summary>Parses a recipe file's text.</summary>
    /// <param name="json">The text.</param>
    /// <param name="path">Its file, for messages.</param>
    /// <exception cref="ModelPackException">MP2101 to MP2104.</exception>
    public static Recipe Parse(string json, string? path = null) => RecipeReader.Read(json, path);

    /// <summary>Reads a recipe file.</summary>
    /// <exception cref="ModelPackException">MP1001, MP1002, MP2101 to MP2104.</exception>
    public static Recipe Load(string path) => RecipeReader.Load(path);

    /// <summary>The recipe with one option of one of its passes replaced, for <c>--set quantize.block=64</c>. Lists are given comma-separated.</summary>
    /// <param name="assignment"><c>pass.option=value</c>; when the pass occurs several times all occurrences change.</param>
    /// <exception cref="ModelPackException">MP2105: not of that form. Names and values are checked by <see cref="Resolve"/>.</exception>
    public Recipe With(string assignment)
    {
        int equals = assignment.IndexOf('=', StringComparison.Ordinal);
        int dot = equals < 0 ? -1 : assignment.LastIndexOf('.', equals);
        return dot > 0 && dot < equals - 1
            ? this with { Assignments = Assignments.Add(assignment) }
            : throw new ModelPackException(ErrorCodes.BadAssignment, $"'{assignment}' is not of the form pass.option=value");
    }

    /// <summary>Checks everything against the registered passes and fills in defaults.</summary>
    /// <exception cref="ModelPackException">MP2003, MP2004, MP2005, MP2104, MP2105, MP2106.</exception>
    public ResolvedRecipe Resolve(IReadOnlyList<IPassFactory> catalog) => ResolvedRecipe.From(this, catalog);
}

/// <summary>One pass of a recipe with the options it states.</summary>
public sealed record RecipeStep(string Pass, JsonObject Options)
{
    public RecipeStep(string pass)
        : this(pass, [])
    {
    }
}

/// <summary>A rule of a recipe.</summary>
/// <param name="Match">Pattern over tensor names; see <see cref="Glob"/>.</param>
/// <param name="Skip">All passes that obey rules leave these tensors alone.</param>
/// <param name="Passes">Per pass: options for these tensors, or null for "this pass leaves them alone".</param>
public sealed record RecipeRule(string Match, bool Skip, ImmutableSortedDictionary<string, JsonObject?> Passes)
{
    /// <summary>The rule as a recipe file has it.</summary>
    public JsonObject ToJson()
    {
        var json = new JsonObject { ["match"] = Match };
        if (Skip)
        {
            json["skip"] = true;
        }

        foreach ((string pass, JsonObject? options) in Passes)
        {
            json[pass] = options is null ? JsonValue.Create(false) : options.DeepClone();
        }

        return json;
    }
}
