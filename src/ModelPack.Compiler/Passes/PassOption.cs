namespace ModelPack.Compiler;

/// <summary>One option of a pass.</summary>
/// <param name="Name">Key in the recipe, snake_case.</param>
/// <param name="Type">JSON schema type: <c>string</c>, <c>integer</c>, <c>boolean</c>, or <c>array</c> (of strings).</param>
/// <param name="Default">Default as JSON text.</param>
/// <param name="Summary">What it does.</param>
/// <param name="Values">Allowed values as plain text, or null.</param>
/// <param name="PerTensor">True when recipe rules may override it for the tensors they match.</param>
/// <param name="Minimum">Least value of an integer.</param>
/// <param name="Maximum">Greatest value of an integer.</param>
/// <param name="Formats">For an option that is a number format: the names of all there are. Recipes may define more.</param>
public sealed record PassOption(
    string Name,
    string Type,
    string Default,
    string Summary,
    IReadOnlyList<string>? Values = null,
    bool PerTensor = false,
    long Minimum = 0,
    long Maximum = long.MaxValue,
    IReadOnlyList<string>? Formats = null);
