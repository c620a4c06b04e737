namespace ModelPack.Testing;

/// <summary>Tests that take minutes, and say little more than when they are shorter, run in full when <c>MODELPACK_LONG_TESTS</c> is set: <c>.ci/run</c> sets it.</summary>
public static class LongTests
{
    /// <summary>True when they are to run in full.</summary>
    public static bool Wanted { get; } = Environment.GetEnvironmentVariable("MODELPACK_LONG_TESTS") is { Length: > 0 } and not "0";
}
