using System.Collections.Immutable;

namespace ModelPack.Compiler;

/// <summary>A model-local function: a reusable body of nodes.</summary>
public sealed record Function
{
    public required string Name { get; init; }

    public string Domain { get; init; } = "";

    public string Overload { get; init; } = "";

    public ImmutableArray<string> Inputs { get; init; } = [];

    public ImmutableArray<string> Outputs { get; init; } = [];

    public ImmutableArray<Node> Nodes { get; init; } = [];

    /// <summary>Attributes of the function that have a default value.</summary>
    public ImmutableArray<NodeAttribute> AttributeDefaults { get; init; } = [];

    /// <summary>Container fields not modelled (attributes without default, opset imports, value infos, doc string).</summary>
    public ForeignFields Foreign { get; init; }
}
