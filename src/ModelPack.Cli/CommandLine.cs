using System.CommandLine;
using System.CommandLine.Completions;
using System.CommandLine.Help;
using System.Reflection;
using System.Runtime.InteropServices;

namespace ModelPack.Cli;

/// <summary>From arguments to an exit code. Everything a command throws becomes one line here.</summary>
internal static class CommandLine
{
    public const string ProgramName = "modelpack";

    private const string VersionFlag = "--version";

    /// <summary>The tool's version without the source revision.</summary>
    public static string Version { get; } =
        (typeof(CommandLine).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion ?? "0.0.0").Split('+')[0];

    /// <summary>Runs the process: Ctrl-C and termination cancel, a second Ctrl-C ends it at once.</summary>
    public static int Run(string[] args)
    {
        using var cancel = new CancellationTokenSource();
        using PosixSignalRegistration interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, CancelOnce);
        using PosixSignalRegistration terminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, CancelOnce);
        return Run(args, CliHost.ForProcess(cancel.Token));

        void CancelOnce(PosixSignalContext context)
        {
            context.Cancel = !cancel.IsCancellationRequested;
            cancel.Cancel();
        }
    }

    /// <summary>Runs with the given streams; what the tests call.</summary>
    public static int Run(string[] args, CliHost host)
    {
        RootCommand root = CreateRoot(host, args);
        ParseResult parsed = root.Parse(args);
        var outcome = new Outcome(host, IsSet(parsed, args, GlobalOptions.Json), IsSet(parsed, args, GlobalOptions.Verbose));
        try
        {
            if (args.Length == 0)
            {
                root.Parse(["--help"]).Invoke(Configuration(host.Error, host));
                return ExitCodes.BadUsage;
            }

            bool answersAnyway = parsed.Action is HelpWithExamples or VersionAction || root.Directives.Any(d => parsed.GetResult(d) is not null);
            if (!answersAnyway && UsageErrors.Describe(parsed) is string problem)
            {
                return outcome.Usage(problem);
            }

            return parsed.Invoke(Configuration(host.Out, host));
        }
        catch (UsageException e)
        {
            string path = UsageErrors.Path(parsed.CommandResult.Command);
            return outcome.Usage($"{path}: {e.Message} (see '{path} --help')");
        }
        catch (Exception e)
        {
            return outcome.Failure(e);
        }
    }

    /// <summary>The command tree for one command line. Making all commands takes longer than many of them run, so the others are left out when the first word says which one is meant.</summary>
    /// <param name="host">The surroundings that the commands run in.</param>
    /// <param name="args">The command line; empty for the whole tree.</param>
    internal static RootCommand CreateRoot(CliHost host, params ReadOnlySpan<string> args)
    {
        var root = new RootCommand("Compiles and compresses trained models (ONNX, safetensors, Hugging Face checkpoints) into packed artifacts.")
        {
            HelpName = ProgramName,
        };
        foreach ((_, Func<CliHost, Command> create) in Needed(args))
        {
            root.Add(create(host));
        }

        foreach (Option option in GlobalOptions.All)
        {
            root.Add(option);
        }

        root.Directives.Clear();
        root.Add(new SuggestDirective());
        foreach (Option option in root.Options)
        {
            switch (option)
            {
                case HelpOption help:
                    help.Action = new HelpWithExamples(host);
                    help.Aliases.Clear();
                    help.Aliases.Add("-h");
                    help.Description = "Show help and examples";
                    break;
                case VersionOption version:
                    version.Action = new VersionAction();
                    version.Description = "Show the version";
                    break;
            }
        }

        return root;
    }

    /// <summary>All commands by name, in the order help lists them.</summary>
    internal static IReadOnlyList<(string Name, Func<CliHost, Command> Create)> Commands { get; } =
    [
        ("compile", CompileCommand.Create),
        ("calibrate", CalibrateCommand.Create),
        ("tune", TuneCommand.Create),
        ("pack", PackCommand.Create),
        ("unpack", UnpackCommand.Create),
        ("inspect", InspectCommand.Create),
        ("explain", ExplainCommand.Create),
        ("report", ReportCommand.Create),
        ("verify", VerifyCommand.Create),
        ("run", RunCommand.Create),
        ("eval", EvalCommand.Create),
        ("compare", CompareCommand.Create),
        ("export", ExportCommand.Create),
        ("check", CheckCommand.Create),
        ("formats", FormatsCommand.Create),
        ("bench", BenchCommand.Create),
        ("profile", ProfileCommand.Create),
        ("completion", CompletionCommand.Create),
    ];

    /// <summary>What a command line can refer to: the command it begins with, nothing for the version, everything else for help, completion, suggestions and errors.</summary>
    private static IEnumerable<(string Name, Func<CliHost, Command> Create)> Needed(ReadOnlySpan<string> args)
    {
        if (args is [VersionFlag])
        {
            return [];
        }

        string? first = args.IsEmpty ? null : args[0];
        foreach ((string Name, Func<CliHost, Command> Create) command in Commands)
        {
            if (command.Name == first)
            {
                return [command];
            }
        }

        return Commands;
    }

    private static InvocationConfiguration Configuration(TextWriter output, CliHost host) => new()
    {
        EnableDefaultExceptionHandler = false,
        ProcessTerminationTimeout = null,
        Output = output,
        Error = host.Error,
    };

    /// <summary>A flag, also when the rest of the line does not parse.</summary>
    private static bool IsSet(ParseResult parsed, string[] args, Option<bool> flag) =>
        parsed.Errors.Count == 0 ? parsed.GetValue(flag) : args.Contains(flag.Name, StringComparer.Ordinal);
}
