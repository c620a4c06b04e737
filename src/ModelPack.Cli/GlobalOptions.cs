using System.CommandLine;

namespace ModelPack.Cli;

/// <summary>Options that every command has.</summary>
internal static class GlobalOptions
{
    public static Option<bool> Json { get; } = new("--json")
    {
        Description = "Print one JSON document on stdout instead of text; errors become {\"error\": {...}}",
        Recursive = true,
    };

    public static Option<bool> Quiet { get; } = new("--quiet", "-q")
    {
        Description = "Print no result text and no progress; errors stay",
        Recursive = true,
    };

    public static Option<bool> Verbose { get; } = new("--verbose", "-v")
    {
        Description = "Print more: every tensor, and the stack of an internal error",
        Recursive = true,
    };

    public static Option<int> Threads { get; } = MakeThreads();

    public static IReadOnlyList<Option> All { get; } = [Json, Quiet, Verbose, Threads];

    private static Option<int> MakeThreads()
    {
        Option<int> option = NumberOption.Create("--threads", "Worker threads; 0 means one per processor. Never changes the output", 0, 0, 1024);
        option.Recursive = true;
        return option;
    }
}
