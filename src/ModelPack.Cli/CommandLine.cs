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
        RootCommand root = CreateRoot(host);
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

    /// <summary>The command tree.</summary>
    internal static RootCommand CreateRoot(CliHost host)
    {
        var root = new RootCommand("Compiles and compresses trained models (ONNX, safetensors, Hugging Face checkpoints) into packed artifacts.")
        {
            HelpName = ProgramName,
        };
        foreach (Command command in Commands(host))
        {
            root.Add(command);
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

    /// <summary>All commands in the order help lists them.</summary>
    private static IEnumerable<Command> Commands(CliHost host) =>
    [
        CompileCommand.Create(host),
        CalibrateCommand.Create(host),
        TuneCommand.Create(host),
        PackCommand.Create(host),
        UnpackCommand.Create(host),
        InspectCommand.Create(host),
        ExplainCommand.Create(host),
        VerifyCommand.Create(host),
        RunCommand.Create(host),
        EvalCommand.Create(host),
        CompareCommand.Create(host),
        ExportCommand.Create(host),
        FormatsCommand.Create(host),
        BenchCommand.Create(host),
        ProfileCommand.Create(host),
        CompletionCommand.Create(host),
    ];

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
