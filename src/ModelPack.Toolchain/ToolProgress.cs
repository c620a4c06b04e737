namespace ModelPack.Toolchain;

/// <summary>How far a long operation has come.</summary>
/// <param name="Activity">What is being done: <c>import</c>, <c>passes</c>, <c>pack</c>, <c>verify</c>, <c>evaluate</c>, ...</param>
/// <param name="Done">Units done so far; bytes unless the activity says otherwise.</param>
/// <param name="Total">Units in all; 0 when unknown.</param>
/// <param name="Item">The tensor or file being worked on.</param>
public readonly record struct ToolProgress(string Activity, long Done, long Total, string? Item = null);
