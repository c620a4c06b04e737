using System.Text.Json.Nodes;

namespace ModelPack.Compiler;

/// <summary>Describes a registered pass and makes it from options. One per line in <c>PassCatalog</c>.</summary>
public interface IPassFactory
{
    /// <summary>The pass name.</summary>
    string Name { get; }

    /// <summary>One line for help texts.</summary>
    string Summary { get; }

    /// <summary>Options with types, defaults and meaning: for help texts and the recipe schema.</summary>
    IReadOnlyList<PassOption> Options { get; }

    /// <summary>Makes the pass. Unknown or ill-typed options are errors.</summary>
    /// <exception cref="ModelPackException">MP2003 or MP2004.</exception>
    IPass Create(JsonObject options);
}

/// <summary>One option of a pass.</summary>
/// <param name="Name">Key in the recipe, snake_case.</param>
/// <param name="Type">JSON schema type: <c>string</c>, <c>integer</c>, <c>number</c>, <c>boolean</c>, <c>array</c>.</param>
/// <param name="Default">Default as JSON text.</param>
/// <param name="Summary">What it does.</param>
/// <param name="Values">Allowed values of a string option, or null.</param>
public sealed record PassOption(string Name, string Type, string Default, string Summary, IReadOnlyList<string>? Values = null);
