using Spectre.Console;

namespace ModelPack.Cli;

/// <summary>The surroundings of one invocation: streams, terminal, cancellation.</summary>
internal sealed class CliHost
{
    public required TextWriter Out { get; init; }

    public required TextWriter Error { get; init; }

    /// <summary>Whether progress may be drawn on <see cref="Error"/>.</summary>
    public bool ErrorIsTerminal { get; init; }

    /// <summary>Whether <see cref="Out"/> is a terminal: colours and wrapping at its width.</summary>
    public bool OutIsTerminal { get; init; }

    /// <summary>Columns to wrap at.</summary>
    public Func<int> Width { get; init; } = static () => 100;

    public CancellationToken Cancellation { get; init; }

    public Func<string, string?> Environment { get; init; } = System.Environment.GetEnvironmentVariable;

    /// <summary>The process's own console.</summary>
    public static CliHost ForProcess(CancellationToken cancellation) => new()
    {
        Out = Console.Out,
        Error = Console.Error,
        ErrorIsTerminal = !Console.IsErrorRedirected,
        OutIsTerminal = !Console.IsOutputRedirected,
        Width = TerminalWidth,
        Cancellation = cancellation,
    };

    /// <summary>A console for tables; plain text unless it is a terminal that wants colours.</summary>
    public IAnsiConsole OpenConsole(bool toError = false)
    {
        TextWriter writer = toError ? Error : Out;
        bool terminal = toError ? ErrorIsTerminal : OutIsTerminal;
        bool colours = terminal && string.IsNullOrEmpty(Environment("NO_COLOR")) && Environment("TERM") != "dumb";
        IAnsiConsole console = AnsiConsole.Create(new AnsiConsoleSettings
        {
            Ansi = colours ? AnsiSupport.Detect : AnsiSupport.No,
            ColorSystem = colours ? ColorSystemSupport.Detect : ColorSystemSupport.NoColors,
            Interactive = InteractionSupport.No,
            Out = new AnsiConsoleOutput(terminal ? writer : new TrimmedLines(writer)),
        });

        // Nothing wraps in a file or pipe: one record stays one line for grep and cut.
        console.Profile.Width = terminal ? Math.Max(40, Width()) : 4000;
        return console;
    }

    private static int TerminalWidth()
    {
        try
        {
            return Console.IsOutputRedirected && Console.IsErrorRedirected ? 100 : Math.Max(40, Console.WindowWidth);
        }
        catch (IOException)
        {
            return 100;
        }
    }
}
