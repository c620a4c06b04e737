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
        var option = new Option<int>("--threads")
        {
            Description = "Worker threads; 0 means one per processor. Never changes the output",
            HelpName = "n",
            Recursive = true,
            DefaultValueFactory = _ => 0,
        };
        option.Validators.Add(r =>
        {
            if (r.Tokens.Count == 1 && int.TryParse(r.Tokens[0].Value, out int n) && n is < 0 or > 1024)
            {
                r.AddError($"--threads {r.Tokens[0].Value} is not from 0 to 1024");
            }
        });
        return option;
    }
}
