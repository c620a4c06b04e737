using System.CommandLine;
using ModelPack.Toolchain;
using Spectre.Console;

namespace ModelPack.Cli;

/// <summary><c>modelpack verify</c>.</summary>
internal static class VerifyCommand
{
    public static Command Create(CliHost host)
    {
        var file = new Argument<string>("artifact") { Description = "An .mpack file; - reads stdin" };
        var against = new Option<string?>("--against") { Description = "Also compare every decoded tensor with this original", HelpName = "original" };
        var rederive = new Option<string?>("--rederive") { Description = "Also compile this original again from the recorded recipe and compare bytes", HelpName = "original" };
        var calibration = new Option<string?>("--calibration") { Description = "For --rederive: the calibration data that the artifact was compiled with", HelpName = "data" };
        var basePath = new Option<string?>("--base") { Description = "The base of a file packed with one: also check that the files come back as they were", HelpName = "file" };
        var stored = new Option<bool>("--stored") { Description = "Only check the stored bytes, without decoding: finds every damaged byte, as fast as the disk or the hash" };
        var prepared = new Option<string?>("--prepared") { Description = "Also check the decoded weights of this artifact that run --prepared keeps in this folder", HelpName = "folder" };
        var command = new Command("verify", "Check every checksum of an artifact, stored and decoded; exit code 1 when anything is wrong") { file, stored, against, rederive, calibration, basePath, prepared };
        command.SetAction(parsed => Session.Run(host, parsed, session =>
        {
            bool storedOnly = session.Get(stored);
            if (storedOnly && (session.Get(against) ?? session.Get(rederive) ?? session.Get(calibration) ?? session.Get(basePath)) is not null)
            {
                throw new UsageException("--stored decodes nothing, so it does not go with --against, --rederive, --calibration or --base");
            }

            using var source = StandardStreams.Source(session, session.Get(file));
            VerifyResult result = storedOnly
                ? Verification.VerifyStored(source.Path, session.Threads, session.Get(prepared), session.Progress, session.Cancellation)
                : Verification.Verify(source.Path, session.Get(against), session.Get(rederive), session.Threads, session.Get(basePath), session.Get(calibration), session.Get(prepared), session.Progress, session.Cancellation);
            result = result with { Path = source.Shown };
            session.Show(result, JsonOutput.Types.VerifyResult, console => Write(console, result));
            foreach (string error in result.Errors)
            {
                session.ErrorLine(error);
            }

            return result.Ok ? ExitCodes.Done : ExitCodes.BadInput;
        }));
        return command;
    }

    private static void Write(IAnsiConsole console, VerifyResult result)
    {
        string verdict = result.Ok ? "ok" : Words.Count(result.Errors.Count, "error");
        console.WriteLine($"{Words.Printable(result.Path)}: {verdict}  {Words.Count(result.TensorsChecked, "tensor")}, {ByteSize.Format(result.BytesChecked)} checked in {Words.Seconds(result.Seconds)}");
        if (result.Note is not null)
        {
            console.WriteLine(Words.Printable(result.Note));
        }

        if (result.Rederived is bool same)
        {
            console.WriteLine(same ? "compiled again: the same bytes" : "compiled again: different bytes");
        }

        if (result.Differences.Count > 0)
        {
            console.WriteLine();
            CompareCommand.WriteTensors(console, result.Differences);
        }
    }
}
