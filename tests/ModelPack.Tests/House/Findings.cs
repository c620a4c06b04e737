using Xunit;

namespace ModelPack.Tests.House;

/// <summary>Fails with every finding on a line of its own, not only the first few.</summary>
internal static class Findings
{
    public static void None<T>(IEnumerable<T> findings)
    {
        T[] all = [.. findings];
        Assert.True(all.Length == 0, $"{all.Length} found:\n  {string.Join("\n  ", all)}");
    }
}
