namespace ModelPack.EndToEnd.Tests;

/// <summary>Tests that take minutes and say little more than their shorter siblings are run when <c>MODELPACK_LONG_TESTS</c> is set.</summary>
internal static class LongTests
{
    /// <summary>True when they are to be run.</summary>
    public static bool Wanted => Environment.GetEnvironmentVariable("MODELPACK_LONG_TESTS") is { Length: > 0 } and not "0";
}
