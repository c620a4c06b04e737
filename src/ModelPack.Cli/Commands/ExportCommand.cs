using System.CommandLine;
using ModelPack.Toolchain;
using Spectre.Console;

namespace ModelPack.Cli;

/// <summary><c>modelpack export</c>.</summary>
internal static class ExportCommand
{
    private static readonly string[] Kinds = ["onnx", "safetensors", "gguf", "compressed-tensors", "fp8", "gptq", "awq", "genai"];

    private static readonly Dictionary<string, DType> Plain = new(StringComparer.Ordinal) { ["f32"] = DType.F32, ["bf16"] = DType.BF16, ["f16"] = DType.F16 };

    public static Command Create(CliHost host)
    {
        var input = new Argument<string>("artifact") { Description = "An .mpack file made by compile, or a checkpoint folder or GGUF file as it is" };
        var to = new Option<string>("--to") { Description = "onnx, safetensors, gguf, compressed-tensors, gptq or awq (folders for vLLM and transformers), fp8 (folder with 128x128 blocks) or genai (folder for ONNX Runtime GenAI, of an artifact compiled with --kv-cache)", HelpName = "kind", Required = true };
        var output = new Option<string>("--output", "-o") { Description = "The main file to write", HelpName = "path", Required = true };
        var dense = new Option<bool>("--dense") { Description = "For onnx: dense float weights and the original operators instead of quantised ones" };
        var others = new Option<string?>("--others") { Description = "For gguf, compressed-tensors, gptq and awq: write weights whose encoding the format does not have as f32, bf16 or f16. Without, they are an error: nothing is quantised again", HelpName = "dtype" };
        var activations = new Option<string?>("--activations") { Description = "For compressed-tensors: dynamic (runtimes round activations to 8 bits) or none; default as the recipe does, and for fp8", HelpName = "how" };
        var packed = new Option<bool>("--packed") { Description = "For onnx: packed weights and operators of ModelPack's library for ONNX Runtime, which C, C++ and Python hosts register" };
        Option<MemorySize?> shard = SizeOption.CreateOptional("--shard-size", "For folders: most bytes of tensors in a .safetensors file, default 5GB; more make shards and an index");
        Option<string> resume = ResumeOption.Create("an export of 1 GB and more; onnx and genai start over");
        to.CompletionSources.Add(Kinds);
        var command = new Command("export", "Write the model for other runtimes") { input, to, output, dense, packed, others, activations, shard, resume };
        command.SetAction(parsed => Session.Run(host, parsed, session =>
        {
            string kind = session.Get(to)!;
            if (!Kinds.Contains(kind, StringComparer.Ordinal))
            {
                string? near = Suggestions.Nearest(kind, Kinds);
                throw new UsageException($"--to '{kind}' is not one of {string.Join(", ", Kinds)}" + (near is null ? "" : $"; did you mean '{near}'?"));
            }

            if (session.Get(dense) && session.Get(packed))
            {
                throw new UsageException("--dense and --packed exclude each other");
            }

            string? rest = session.Get(others);
            if (rest is not null && !Plain.ContainsKey(rest))
            {
                throw new UsageException($"--others '{rest}' is not one of {string.Join(", ", Plain.Keys)}");
            }

            string? round = session.Get(activations);
            if (round is not (null or "dynamic" or "none"))
            {
                throw new UsageException($"--activations '{round}' is not one of dynamic, none");
            }

            ExportForm form = session.Get(dense) ? ExportForm.Dense : session.Get(packed) ? ExportForm.Packed : ExportForm.Stock;
            var options = new ExportOptions { Form = form, Others = rest is null ? null : Plain[rest], RoundActivations = round is null ? null : round == "dynamic", MaxShardBytes = session.Get(shard)?.Bytes, Resume = ResumeOption.Get(session, resume) };
            ExportResult result = Exporting.Export(session.Get(input), kind, session.Get(output)!, options, session.Progress, session.Cancellation);
            session.Show(result, JsonOutput.Types.ExportResult, console =>
            {
                foreach (string file in result.Files)
                {
                    console.WriteLine(Words.Printable(file));
                }

                ResumeOption.Write(console, result.ResumedTensors);
                console.WriteLine($"loadable by {string.Join(", ", result.LoadableBy)}  ({Words.Seconds(result.Seconds)})");
            });
            foreach (string warning in session.Quiet ? [] : result.Warnings)
            {
                session.ErrorLine($"{result.Input}: warning: {warning}");
            }

            return ExitCodes.Done;
        }));
        return command;
    }
}
