using System.CommandLine;
using ModelPack.Toolchain;
using Spectre.Console;

namespace ModelPack.Cli;

/// <summary><c>modelpack check</c>.</summary>
internal static class CheckCommand
{
    public static Command Create(CliHost host)
    {
        var path = new Argument<string>("path") { Description = "A checkpoint folder, a .gguf or an .onnx file, or a folder of ONNX Runtime GenAI, of any tool" };
        var target = new Option<string>("--target") { Description = "vllm, transformers (folders), ort (.onnx, or a folder with genai_config.json) or llamacpp (.gguf)", HelpName = "runtime", Required = true };
        target.CompletionSources.Add([.. Checking.Targets]);
        var command = new Command("check", "Check whether another runtime can load a model, without that runtime; exit code 1 when it cannot") { path, target };
        command.SetAction(parsed => Session.Run(host, parsed, session =>
        {
            string runtime = session.Get(target)!;
            if (!Checking.Targets.Contains(runtime, StringComparer.Ordinal))
            {
                string? near = Suggestions.Nearest(runtime, Checking.Targets);
                throw new UsageException($"--target '{runtime}' is not one of {string.Join(", ", Checking.Targets)}" + (near is null ? "" : $"; did you mean '{near}'?"));
            }

            CheckResult result = Checking.Check(session.Get(path), runtime, session.Cancellation);
            session.Show(result, JsonOutput.Types.CheckResult, console => Write(console, result));
            foreach (CheckFinding finding in result.Findings.Where(f => f.Severity == "error" || !session.Quiet))
            {
                session.ErrorLine(Line(result.Path, finding));
            }

            return result.Ok ? ExitCodes.Done : ExitCodes.BadInput;
        }));
        return command;
    }

    private static string Line(string path, CheckFinding finding)
    {
        string where = finding.Tensor is null || finding.Message.StartsWith("tensor '", StringComparison.Ordinal) ? "" : $"tensor '{finding.Tensor}': ";
        string code = finding.Rule.StartsWith("MP", StringComparison.Ordinal) ? finding.Rule : $"{ErrorCodes.NotLoadable}";
        string rule = code == finding.Rule ? "" : $" [{finding.Rule}]";
        return $"{path}: {finding.Severity} {code}: {where}{finding.Message}{rule}";
    }

    private static void Write(IAnsiConsole console, CheckResult result)
    {
        int errors = result.Findings.Count(f => f.Severity == "error");
        int warnings = result.Findings.Count - errors;
        string verdict = errors > 0 ? Words.Count(errors, "error") : "loadable";
        string also = warnings > 0 ? $", {Words.Count(warnings, "warning")}" : "";
        console.WriteLine($"{Words.Printable(result.Path)}: {verdict}{also} for {result.Target}  ({result.Format}, {Words.Count(result.TensorsChecked, "tensor")}, {Words.Seconds(result.Seconds)})");
    }
}
