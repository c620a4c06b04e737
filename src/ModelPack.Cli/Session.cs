using System.CommandLine;
using System.Text.Json.Serialization.Metadata;
using ModelPack.Toolchain;
using Spectre.Console;

namespace ModelPack.Cli;

/// <summary>One command being carried out: its options, and where results go.</summary>
internal sealed class Session
{
    private readonly CliHost _host;
    private readonly ParseResult _parsed;
    private readonly ProgressLine? _progress;
    private bool _resultsToError;

    private Session(CliHost host, ParseResult parsed)
    {
        _host = host;
        _parsed = parsed;
        Json = parsed.GetValue(GlobalOptions.Json);
        Quiet = parsed.GetValue(GlobalOptions.Quiet);
        Verbose = parsed.GetValue(GlobalOptions.Verbose);
        _progress = host.ErrorIsTerminal && !Json && !Quiet ? new ProgressLine(host.Error, TimeProvider.System, host.Width) : null;
    }

    public bool Json { get; }

    public bool Quiet { get; }

    public bool Verbose { get; }

    /// <summary>Worker threads as asked for; 0 means one per processor.</summary>
    public int Threads => _parsed.GetValue(GlobalOptions.Threads);

    public CancellationToken Cancellation => _host.Cancellation;

    /// <summary>Takes progress reports; null when nobody would see them.</summary>
    public IProgress<ToolProgress>? Progress => _progress;

    /// <summary>Runs <paramref name="body"/> with the progress line taken down at its end, whatever happens.</summary>
    public static int Run(CliHost host, ParseResult parsed, Func<Session, int> body)
    {
        var session = new Session(host, parsed);
        try
        {
            return body(session);
        }
        finally
        {
            session._progress?.Dispose();
        }
    }

    public T Get<T>(Argument<T> argument) => _parsed.GetRequiredValue(argument);

    public T? Get<T>(Option<T> option) => _parsed.GetValue(option);

    /// <summary>Whether the option is on the command line.</summary>
    public bool IsGiven(Option option) => _parsed.GetResult(option) is { Implicit: false };

    /// <summary>Writes to stdout at once, what is made piece by piece; nothing reaches a terminal that it would obey.</summary>
    public void Stream(string text)
    {
        _host.Out.Write(_host.OutIsTerminal ? Words.PrintableText(text) : text);
        _host.Out.Flush();
    }

    /// <summary>Stdout carries data (<c>-o -</c>): results and JSON go to stderr instead.</summary>
    public void KeepStdoutForData() => _resultsToError = true;

    /// <summary>Shows the result: as JSON, as text, or with <c>--quiet</c> not at all.</summary>
    public void Show<T>(T result, JsonTypeInfo<T> json, Action<IAnsiConsole> text)
    {
        _progress?.Dispose();
        if (Json)
        {
            JsonOutput.Write(_resultsToError ? _host.Error : _host.Out, result, json);
        }
        else if (!Quiet)
        {
            text(_host.OpenConsole(_resultsToError));
        }
    }

    /// <summary>One line on stderr that is not an error of its own, such as each finding of <c>verify</c>.</summary>
    public void ErrorLine(string line)
    {
        _progress?.Dispose();
        _host.Error.WriteLine(Words.Printable(line));
    }
}
