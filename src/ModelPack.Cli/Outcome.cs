namespace ModelPack.Cli;

/// <summary>How a command that did not succeed is reported: one line on stderr, with <c>--json</c> also an object on stdout, and an exit code.</summary>
internal sealed class Outcome(CliHost host, bool json, bool verbose)
{
    public int Usage(string line)
    {
        Report(line, new ErrorDocument { Code = "usage", Message = line });
        return ExitCodes.BadUsage;
    }

    public int Failure(Exception exception)
    {
        switch (Unwrap(exception))
        {
            case OperationCanceledException e when host.Cancellation.IsCancellationRequested:
                string what = e is InterruptedWriteException ? e.Message : "cancelled";
                Report($"{CommandLine.ProgramName}: {what}", new ErrorDocument { Code = "cancelled", Message = what });
                return ExitCodes.Cancelled;

            case ModelPackException e:
                Report(e.Line, new ErrorDocument { Code = e.Code.ToString(), Path = e.Path, Message = e.Message, Tensor = e.Tensor, OffsetBytes = e.OffsetBytes });
                ShowStack(e);
                return ExitCodes.BadInput;

            // The system refused: disk full, a file that vanished, no permission. Not ours to number, not a bug.
            case Exception e when e is IOException or UnauthorizedAccessException:
                string detail = Words.Printable(e.Message);
                Report($"{CommandLine.ProgramName}: error: {detail}", new ErrorDocument { Code = "system", Message = detail });
                ShowStack(e);
                return ExitCodes.BadInput;

            case var e:
                string bug = Words.Printable($"{e.GetType().Name}: {e.Message}");
                string hint = verbose ? "" : "; --verbose shows the stack";
                Report($"{CommandLine.ProgramName}: internal error: {bug} (this is a bug{hint})", new ErrorDocument { Code = "internal", Message = bug });
                ShowStack(e);
                return ExitCodes.Internal;
        }
    }

    /// <summary>Parallel loops wrap what their bodies throw; the first error that says something is the one to show.</summary>
    private static Exception Unwrap(Exception exception)
    {
        while (exception is AggregateException or System.Reflection.TargetInvocationException && exception.InnerException is Exception inner)
        {
            exception = exception is AggregateException many
                ? many.Flatten().InnerExceptions.FirstOrDefault(e => e is ModelPackException) ?? many.Flatten().InnerExceptions.FirstOrDefault(e => e is not OperationCanceledException) ?? inner
                : inner;
        }

        return exception;
    }

    private void Report(string line, ErrorDocument document)
    {
        if (json)
        {
            JsonOutput.Write(host.Out, new ErrorEnvelope { Error = document }, JsonOutput.Types.ErrorEnvelope);
        }

        host.Error.WriteLine(line);
    }

    private void ShowStack(Exception e)
    {
        if (verbose)
        {
            host.Error.WriteLine(e.ToString());
        }
    }
}
