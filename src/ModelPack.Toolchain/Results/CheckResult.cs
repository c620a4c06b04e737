namespace ModelPack.Toolchain;

/// <summary>Whether another runtime can load a model, and what stands in the way.</summary>
public sealed record CheckResult
{
    public required string Path { get; init; }

    /// <summary>The runtime: <c>vllm</c>, <c>transformers</c>, <c>ort</c> or <c>llamacpp</c>.</summary>
    public required string Target { get; init; }

    /// <summary>False when there is an error among the findings.</summary>
    public bool Ok => Findings.All(f => f.Severity != "error");

    /// <summary>The way the weights are quantised, as the files declare it; <c>none</c> for plain weights.</summary>
    public required string Format { get; init; }

    public required IReadOnlyList<CheckFinding> Findings { get; init; }

    public required int TensorsChecked { get; init; }

    public required double Seconds { get; init; }
}

/// <summary>Something that keeps a model from being loaded, or from giving what it should.</summary>
/// <param name="Rule">Name of the rule, for example <c>scale-not-finite</c>. Names do not change.</param>
/// <param name="Severity"><c>error</c>: it fails to load or computes something else; <c>warning</c>: it is slower, or depends on the version.</param>
/// <param name="Message">What is wrong, in one line.</param>
/// <param name="Tensor">The tensor or module concerned; null for none.</param>
public sealed record CheckFinding(string Rule, string Severity, string Message, string? Tensor = null);
