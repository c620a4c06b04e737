namespace ModelPack.Toolchain;

/// <summary>What <c>modelpack formats</c> is to list.</summary>
public sealed record FormatsRequest
{
    /// <summary>Number formats such as <c>int4(block=64)</c>; with none of these and no recipe everything is listed.</summary>
    public IReadOnlyList<string> Specs { get; init; } = [];

    /// <summary>A recipe, by name or file: the formats it defines and uses are listed.</summary>
    public string? Recipe { get; init; }

    /// <summary>Sparsity patterns to combine every listed format with: <c>90%</c>, <c>2:4</c>, <c>blocks:50%</c>.</summary>
    public IReadOnlyList<string> Sparsity { get; init; } = [];
}
