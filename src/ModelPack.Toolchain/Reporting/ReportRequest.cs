namespace ModelPack.Toolchain;

/// <summary>A page about an artifact or another model file.</summary>
public sealed record ReportRequest
{
    /// <summary>Any file that <c>inspect</c> reads; a compiled artifact has most to show.</summary>
    public required string Input { get; init; }

    /// <summary>The page to write.</summary>
    public required string Output { get; init; }

    /// <summary>What it was made from: errors of all tensors are measured against it. Null for a page without errors.</summary>
    public string? Against { get; init; }

    /// <summary>A machine on which times are predicted; null for the one the artifact was compiled for, if any.</summary>
    public HardwareProfile? Profile { get; init; }

    /// <summary>Rows of activations of the predicted run.</summary>
    public long Rows { get; init; } = 1;

    /// <summary>Threads of the predicted run: 1, or 0 for all cores.</summary>
    public int Threads { get; init; }

    /// <summary>What <c>tune --json</c> printed, or the <c>.front.json</c> beside its recipe; null for a page without a front.</summary>
    public string? Tune { get; init; }
}

/// <summary>A page that was written.</summary>
public sealed record ReportResult
{
    public required string Output { get; init; }

    public required long OutputBytes { get; init; }

    /// <summary>Headings of the parts that the page has.</summary>
    public required IReadOnlyList<string> Sections { get; init; }
}
