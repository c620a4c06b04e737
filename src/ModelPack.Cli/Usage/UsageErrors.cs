using System.CommandLine;
using System.CommandLine.Parsing;

namespace ModelPack.Cli;

/// <summary>Turns parse errors into one line with a suggestion.</summary>
internal static class UsageErrors
{
    /// <summary>The line for a command line that cannot be run, or null when it can.</summary>
    public static string? Describe(ParseResult result)
    {
        Command command = result.CommandResult.Command;
        string? problem = MistypedOption(result, command) ?? MistypedCommand(result, command);
        if (problem is null && result.Errors.Count > 0)
        {
            problem = Sentence(result.Errors[0].Message);
        }

        return problem is null ? null : $"{Path(command)}: {problem} (see '{Path(command)} --help')";
    }

    /// <summary>The command with those above it: <c>modelpack bench model</c>.</summary>
    public static string Path(Command command)
    {
        string name = command is RootCommand ? CommandLine.ProgramName : command.Name;
        return command.Parents.OfType<Command>().FirstOrDefault() is Command parent ? $"{Path(parent)} {name}" : name;
    }

    /// <summary>A word such as <c>--recpie</c> that the parser took for an argument because no option has that name.</summary>
    private static string? MistypedOption(ParseResult result, Command command)
    {
        foreach (Token token in result.Tokens)
        {
            if (token.Type == TokenType.DoubleDash)
            {
                return null;
            }

            if (token.Type == TokenType.Argument && token.Value.Length > 1 && token.Value[0] == '-')
            {
                string name = token.Value.Split('=', ':')[0];
                string? near = Suggestions.Nearest(name, KnownOptions(command));
                return $"unknown option '{name}'" + (near is null ? "" : $"; did you mean '{near}'?");
            }
        }

        return null;
    }

    private static string? MistypedCommand(ParseResult result, Command command)
    {
        Command[] subcommands = [.. command.Subcommands.Where(c => !c.Hidden)];
        if (subcommands.Length == 0 || result.UnmatchedTokens.Count == 0)
        {
            return null;
        }

        string typed = result.UnmatchedTokens[0];
        string? near = Suggestions.Nearest(typed, subcommands.Select(c => c.Name));
        return $"unknown command '{typed}'" + (near is null ? $"; commands: {string.Join(", ", subcommands.Select(c => c.Name))}" : $"; did you mean '{near}'?");
    }

    private static IEnumerable<string> KnownOptions(Command command)
    {
        IEnumerable<Option> own = command.Options;
        IEnumerable<Option> inherited = command.Parents.OfType<Command>().SelectMany(p => p.Options.Where(o => o.Recursive).Concat(p.Parents.OfType<Command>().SelectMany(g => g.Options.Where(o => o.Recursive))));
        return own.Concat(inherited).Where(o => !o.Hidden).SelectMany(o => o.Aliases.Where(a => a.StartsWith("--", StringComparison.Ordinal)).Prepend(o.Name));
    }

    /// <summary>The parser's sentence as the rest of a line: lower case first letter, no full stop.</summary>
    private static string Sentence(string message)
    {
        string line = message.ReplaceLineEndings(" ").TrimEnd('.', ' ')
            .Replace("as expected type 'System.UInt64'", "as a whole number", StringComparison.Ordinal);
        return line.Length > 1 && char.IsUpper(line[0]) && !char.IsUpper(line[1]) ? char.ToLowerInvariant(line[0]) + line[1..] : line;
    }
}
