namespace ModelPack.Cli;

/// <summary>What <c>--json</c> prints on stdout when a command fails: <c>{"error": {...}}</c>.</summary>
internal sealed record ErrorEnvelope
{
    public required ErrorDocument Error { get; init; }
}

/// <summary>The error itself.</summary>
internal sealed record ErrorDocument
{
    /// <summary><c>MPxxxx</c>, or <c>usage</c>, <c>cancelled</c>, <c>system</c>, <c>internal</c>.</summary>
    public required string Code { get; init; }

    public string? Path { get; init; }

    public required string Message { get; init; }

    public string? Tensor { get; init; }

    public long? OffsetBytes { get; init; }
}
