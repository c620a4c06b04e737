using ModelPack.Cli;
using Xunit;

namespace ModelPack.Tests.Cli;

public sealed class OutcomeTests
{
    [Fact]
    public void ModelPackException_is_its_line_and_exit_code_1()
    {
        var exception = new ModelPackException(ErrorCodes.FileTruncated, "F16[64,64] needs 8192 bytes but has 4096", "m.onnx", "x", 0x1000);

        (int code, string output, string error) = Report(exception, json: false, verbose: false);

        Assert.Equal(1, code);
        Assert.Equal("", output);
        Assert.Equal("m.onnx: error MP1003: tensor 'x' at 0x1000: F16[64,64] needs 8192 bytes but has 4096\n", error);
    }

    [Fact]
    public void ModelPackException_with_json_is_also_a_document()
    {
        var exception = new ModelPackException(ErrorCodes.FileTruncated, "short", "m.onnx", "x", 4096);

        (_, string output, string error) = Report(exception, json: true, verbose: false);

        Assert.Equal(
            """
            {
              "error": {
                "code": "MP1003",
                "path": "m.onnx",
                "message": "tensor 'x' at 0x1000: short",
                "tensor": "x",
                "offset_bytes": 4096
              }
            }

            """,
            output);
        Assert.StartsWith("m.onnx: error MP1003: ", error, StringComparison.Ordinal);
    }

    [Fact]
    public void Error_of_a_parallel_loop_is_the_error_of_its_body()
    {
        var inner = new ModelPackException(ErrorCodes.FileTruncated, "short", "m.onnx");

        (int code, _, string error) = Report(new AggregateException(new OperationCanceledException(), new AggregateException(inner)), json: false, verbose: false);

        Assert.Equal(1, code);
        Assert.Equal(inner.Line + "\n", error);
    }

    [Fact]
    public void Unforeseen_exception_is_an_internal_error_with_a_hint_and_exit_code_3()
    {
        (int code, string output, string error) = Report(new InvalidOperationException("no\nway"), json: false, verbose: false);

        Assert.Equal(3, code);
        Assert.Equal("", output);
        Assert.Equal("modelpack: internal error: InvalidOperationException: no?way (this is a bug; --verbose shows the stack)\n", error);
    }

    [Fact]
    public void Unforeseen_exception_with_verbose_shows_the_stack()
    {
        (int code, _, string error) = Report(Thrown(), json: false, verbose: true);

        Assert.Equal(3, code);
        Assert.Contains($"at ModelPack.Tests.Cli.{nameof(OutcomeTests)}.{nameof(Thrown)}", error, StringComparison.Ordinal);
    }

    [Fact]
    public void Cancellation_asked_for_is_exit_code_130_and_otherwise_a_bug()
    {
        Assert.Equal(130, Report(new OperationCanceledException(), json: false, verbose: false, cancelled: true).ExitCode);
        Assert.Equal(130, Report(new AggregateException(new OperationCanceledException()), json: false, verbose: false, cancelled: true).ExitCode);
        Assert.Equal(3, Report(new OperationCanceledException(), json: false, verbose: false, cancelled: false).ExitCode);
    }

    [Fact]
    public void Refusal_of_the_system_is_one_line_and_exit_code_1()
    {
        (int code, _, string error) = Report(new IOException("No space left on device : 'x'"), json: false, verbose: false);

        Assert.Equal(1, code);
        Assert.Equal("modelpack: error: No space left on device : 'x'\n", error);
    }

    private static (int ExitCode, string Out, string Error) Report(Exception exception, bool json, bool verbose, bool cancelled = false)
    {
        var output = new StringWriter { NewLine = "\n" };
        var error = new StringWriter { NewLine = "\n" };
        var host = new CliHost { Out = output, Error = error, Cancellation = new CancellationToken(cancelled) };
        int code = new Outcome(host, json, verbose).Failure(exception);
        return (code, output.ToString(), error.ToString());
    }

    private static InvalidOperationException Thrown()
    {
        try
        {
            throw new InvalidOperationException("seen");
        }
        catch (InvalidOperationException e)
        {
            return e;
        }
    }
}
