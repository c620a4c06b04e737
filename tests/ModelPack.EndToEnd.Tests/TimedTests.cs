namespace ModelPack.EndToEnd.Tests;

/// <summary>Tests with limits of time: they run after all others, one at a time.</summary>
[CollectionDefinition(Name, DisableParallelization = true)]
public sealed class TimedTests
{
    /// <summary>The name.</summary>
    public const string Name = "timed";
}
