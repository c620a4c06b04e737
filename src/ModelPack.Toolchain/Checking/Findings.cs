namespace ModelPack.Toolchain;

/// <summary>Collects what a check finds. A rule that many tensors break is told for the first few.</summary>
internal sealed class Findings
{
    private const int MaxPerRule = 8;

    private readonly List<CheckFinding> _all = [];
    private readonly Dictionary<string, int> _counts = new(StringComparer.Ordinal);

    public IReadOnlyList<CheckFinding> All =>
    [
        .. _all,
        .. _counts.Where(c => c.Value > MaxPerRule).OrderBy(c => c.Key, StringComparer.Ordinal)
            .Select(c => new CheckFinding(c.Key, _all.First(f => f.Rule == c.Key).Severity, $"and {c.Value - MaxPerRule} more of this kind")),
    ];

    public void Error(string rule, string message, string? tensor = null) => Add(rule, "error", message, tensor);

    public void Warning(string rule, string message, string? tensor = null) => Add(rule, "warning", message, tensor);

    /// <summary>An error of a reader: its code is the rule.</summary>
    public void Error(ModelPackException e) => Add(e.Code.ToString(), "error", e.Message, e.Tensor);

    private void Add(string rule, string severity, string message, string? tensor)
    {
        int count = _counts[rule] = _counts.GetValueOrDefault(rule) + 1;
        if (count <= MaxPerRule)
        {
            _all.Add(new CheckFinding(rule, severity, message, tensor));
        }
    }
}
