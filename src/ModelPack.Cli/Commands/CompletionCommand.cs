using System.CommandLine;

namespace ModelPack.Cli;

/// <summary><c>modelpack completion bash|zsh|fish|pwsh</c>: prints a script that asks this program for completions.</summary>
internal static class CompletionCommand
{
    public static Command Create(CliHost host)
    {
        var shell = new Argument<string>("shell") { Description = "bash, zsh, fish or pwsh", HelpName = "bash|zsh|fish|pwsh" };
        shell.CompletionSources.Add([.. CompletionScripts.All.Keys.Order(StringComparer.Ordinal)]);
        var command = new Command("completion", "Print a script that completes commands, options and values in your shell") { shell };
        command.SetAction(parsed =>
        {
            string name = parsed.GetRequiredValue(shell);
            if (!CompletionScripts.All.TryGetValue(name, out string? script))
            {
                string? near = Suggestions.Nearest(name, CompletionScripts.All.Keys);
                throw new UsageException($"unknown shell '{name}'; " + (near is null ? "known: bash, zsh, fish, pwsh" : $"did you mean '{near}'?"));
            }

            host.Out.Write(script);
            return ExitCodes.Done;
        });
        return command;
    }
}
