using System.Collections.Immutable;

namespace ModelPack.Compiler;

/// <summary>An operator call. An empty string in <see cref="Inputs"/> or <see cref="Outputs"/> is an omitted optional.</summary>
public sealed record Node
{
    /// <summary>Node name; may be empty, need not be unique.</summary>
    public string Name { get; init; } = "";

    /// <summary>Operator type, for example <c>MatMul</c>.</summary>
    public required string OpType { get; init; }

    /// <summary>Operator domain; empty for ai.onnx (the importer normalises <c>ai.onnx</c> to empty, remembering the spelling).</summary>
    public string Domain { get; init; } = "";

    public ImmutableArray<string> Inputs { get; init; } = [];

    public ImmutableArray<string> Outputs { get; init; } = [];

    public ImmutableArray<NodeAttribute> Attributes { get; init; } = [];

    /// <summary>Container fields not modelled.</summary>
    public ForeignFields Foreign { get; init; }

    /// <summary>A short handle for messages: the name, or the operator and its first output.</summary>
    public string Handle => Name.Length > 0 ? Name : $"{OpType}({(Outputs.Length > 0 ? Outputs[0] : "")})";

    /// <summary>True for <paramref name="opType"/> of the standard domain.</summary>
    public bool Is(string opType) => Domain.Length == 0 && OpType == opType;

    /// <summary>Input <paramref name="index"/>, or empty when absent or omitted.</summary>
    public string Input(int index) => index < Inputs.Length ? Inputs[index] : "";

    /// <summary>The attribute's value, or null.</summary>
    public AttributeValue? Attribute(string name)
    {
        foreach (NodeAttribute attribute in Attributes)
        {
            if (attribute.Name == name)
            {
                return attribute.Value;
            }
        }

        return null;
    }

    /// <summary>An integer attribute with a default.</summary>
    public long Int(string name, long fallback) => Attribute(name) is AttributeValue.Int i ? i.Value : fallback;

    /// <summary>A float attribute with a default.</summary>
    public float Float(string name, float fallback) => Attribute(name) is AttributeValue.Float f ? f.Value : fallback;

    /// <summary>An integer-list attribute, or empty.</summary>
    public ImmutableArray<long> Ints(string name) => Attribute(name) is AttributeValue.Ints i ? i.Values : [];

    /// <summary>Graphs held by attributes (branches and loop bodies), in attribute order.</summary>
    public IEnumerable<Graph> Subgraphs() => Attributes.SelectMany(a => a.Value switch
    {
        AttributeValue.GraphValue g => [g.Value],
        AttributeValue.GraphValues g => g.Values,
        _ => ImmutableArray<Graph>.Empty,
    });
}
