using System.CommandLine;
using ModelPack.Architectures;
using ModelPack.Passes;
using ModelPack.Toolchain;
using Spectre.Console;

namespace ModelPack.Cli;

/// <summary><c>modelpack compile</c>.</summary>
internal static class CompileCommand
{
    public static Command Create(CliHost host)
    {
        var input = new Argument<string>("input") { Description = "An .onnx file, a .safetensors file, a checkpoint folder or a .gguf file" };
        var weightsOnly = new Option<bool>("--weights-only") { Description = "A checkpoint folder as tensors without a graph, which cannot be run; the default where no graph can be built for its architecture" };
        Option<string?> cache = CacheOption.Create("A checkpoint folder as a graph that takes and gives keys and values of earlier tokens (past_key_values.N, present.N), for generating token by token; kept as f32, f16, or int8 with a scale per head and token; 'fused': f32, with attention in ONNX Runtime's own operators, which generates fastest");
        var output = new Option<string?>("--output", "-o") { Description = "The artifact to write; not needed with --dry-run", HelpName = "out.mpack" };
        var recipe = new Option<string?>("--recipe", "-r") { Description = $"A built-in recipe ({string.Join(", ", RecipeCatalog.Names)}), a recipe file, or a number format of 'modelpack formats' such as mxfp4 or nf4(block=128). Without it: what fits the kind of model", HelpName = "name|file.json" };
        var sets = new Option<string[]>("--set") { Description = "Override one option of one pass, for example quantize.block=64. Repeatable", HelpName = "pass.option=value" };
        Option<string> target = TargetOption.Create(arithmetic: true);
        var allowFloat = new Option<bool>("--allow-float") { Description = "Target int8-only: compile even if some nodes cannot run on integers, and list them" };
        var accuracy = new Option<string?>("--accuracy")
        {
            Description = "identical: plain float weights (f32, bf16, f16) on ONNX Runtime's operators, bit for bit as before; exact: f32 arithmetic on the stored weights; fast: kernels may round activations to 8 bits, quicker with about 0.5 % error per product. Default: identical for recipe lossless on a model, else exact",
            HelpName = "identical|exact|fast",
        };
        accuracy.AcceptOnlyFromAmong("identical", "exact", "fast");
        var stock = new Option<bool>("--stock-operators") { Description = "Run on operators of ONNX Runtime alone, without ModelPack's own kernels" };
        var profile = new Option<string>("--profile") { Description = "Choose kernels by a machine's measurements: a file made by profile -o, or a built-in name (profile --list)", HelpName = "file|name" };
        Option<TimeSpan?> tune = TimeOption.Create("--tune", "Measure the model's matrix products on this machine for so long and take the fastest kernels; what was measured is kept for the next time. The artifact then depends on the machine");
        Option<int> tuneRows = NumberOption.Create("--tune-rows", "With --tune: rows of activations; 1 for generating text, many for reading it", 1, 1, 4096);
        TargetArguments search = TargetArguments.Create("Recipe auto: ");
        CalibrationArguments calibration = CalibrationArguments.Create();
        Option<MemorySize> maxMemory = SizeOption.Create("--max-memory", "Memory for buffers", MemorySize.GiB(2));
        Option<string> level = LevelOption.Create();
        Option<string> resume = ResumeOption.Create("an input of 1 GB and more; not with --eval-tokens");
        var seed = new Option<ulong>("--seed") { Description = "Seed for random choices, recorded in the artifact", HelpName = "n", DefaultValueFactory = _ => 0 };
        Option<bool> portable = PortableOption.Create();
        var wrapper = new Option<string?>("--wrapper") { Description = "Also write a C# class with the model's inputs and outputs as members, which needs ModelPack.Runtime", HelpName = "file.cs" };
        var wrapperClass = new Option<string>("--wrapper-class") { Description = "Full name of that class", HelpName = "namespace.name", DefaultValueFactory = _ => "PackedModels.Model" };
        var wrapperFile = new Option<string?>("--wrapper-file") { Description = "Where that class looks for the artifact, relative to the program's folder; without it, under the artifact's file name", HelpName = "path" };
        var dryRun = new Option<bool>("--dry-run") { Description = "Only show sizes, memory and time that are to be expected; writes nothing" };
        var evalTokens = new Option<string?>("--eval-tokens") { Description = "A token file (uint16, little-endian): measure perplexity before and after", HelpName = "file" };
        Option<int> window = NumberOption.Create("--window", "Tokens per evaluation window", 256, 2, 1 << 20);
        var tensors = new Option<bool>("--tensors") { Description = "List every tensor, not only a summary by kind" };
        recipe.CompletionSources.Add(static _ => [.. RecipeCatalog.Names, .. RecipeCatalog.Formats]);
        var command = new Command("compile", "Compile a model into a packed artifact")
        {
            input, output, weightsOnly, cache, recipe, sets, search.Bits, search.Size, search.Loss, calibration.Data, calibration.Samples, calibration.Window, calibration.Cache, target, allowFloat, accuracy, stock, profile, tune, tuneRows, level, maxMemory, resume, portable, seed, wrapper, wrapperClass, wrapperFile, dryRun, evalTokens, window, tensors,
        };
        command.SetAction(parsed => Session.Run(host, parsed, session =>
        {
            string model = session.Get(input);
            string artifact = session.Get(output) ?? (session.Get(dryRun)
                ? Path.ChangeExtension(Path.TrimEndingDirectorySeparator(model), ".mpack")
                : throw new UsageException("say where to write the artifact: -o <out.mpack>"));
            CompileResult result = ModelCompiler.Compile(
                new CompileRequest
                {
                    Input = model,
                    Output = artifact,
                    WeightsOnly = session.Get(weightsOnly),
                    Form = CacheOption.Get(session, cache) ?? GraphForm.Full,
                    Recipe = session.Get(recipe),
                    Sets = session.Get(sets) ?? [],
                    TuneTarget = search.Get(session),
                    Calibration = session.Get(calibration.Data),
                    CalibrationOptions = calibration.Options(session),
                    Target = TargetOption.Get(session, target),
                    AllowFloat = session.Get(allowFloat),
                    Accuracy = session.Get(accuracy),
                    StockOperators = session.Get(stock),
                    Profile = session.Get(profile),
                    Tune = session.Get(tune),
                    TuneRows = session.Get(tuneRows),
                    Level = LevelOption.Parse(session.Get(level)),
                    MaxMemoryBytes = session.Get(maxMemory).Bytes,
                    Resume = ResumeOption.Get(session, resume),
                    Portable = session.Get(portable),
                    Threads = session.Threads,
                    Seed = session.Get(seed),
                    Wrapper = session.Get(wrapper) is string source ? new WrapperRequest(source, session.Get(wrapperClass)!, session.Get(wrapperFile)) : null,
                    DryRun = session.Get(dryRun),
                    EvalTokens = session.Get(evalTokens),
                    EvalWindow = session.Get(window),
                },
                session.Progress,
                session.Cancellation);
            session.Show(result, JsonOutput.Types.CompileResult, console => Write(console, result, session.Get(tensors) || session.Verbose));
            return ExitCodes.Done;
        }));
        return command;
    }

    private static void Write(IAnsiConsole console, CompileResult result, bool everyTensor)
    {
        string about = result.DryRun ? " (dry run: estimates, nothing written)" : "";
        console.WriteLine($"{Words.Printable(result.Output)}  {result.Recipe}  {ByteSize.Format(result.InputBytes)} -> {ByteSize.Format(result.OutputBytes)}  ({Words.Ratio(result.Ratio)} smaller){about}");
        if (result.RecipeReason is string reason)
        {
            console.WriteLine($"recipe {result.Recipe}: {Words.Printable(reason)}; --recipe names another");
        }

        ResumeOption.Write(console, result.ResumedTensors);
        console.WriteLine();
        if (everyTensor)
        {
            WriteTensors(console, result.Tensors);
            console.WriteLine();
        }

        WriteKinds(console, KindSummary.Of(result.Tensors));
        console.WriteLine();
        if (result.PerplexityAfter is double after)
        {
            string change = result.PerplexityBefore is double before and > 0
                ? $"{Words.Fixed(before, 3)} -> {Words.Fixed(after, 3)}  ({((after / before) - 1) * 100:+0.00;-0.00;0.00} %)"
                : Words.Fixed(after, 3);
            console.WriteLine($"perplexity   {change}");
        }

        if (result.Tuning is KernelTuning tuning)
        {
            string left = tuning.Unmeasured == 0 ? "" : $", no time for {tuning.Unmeasured}";
            console.WriteLine($"kernels      {Words.Count(tuning.Measured, "product")} measured in {Words.Seconds(tuning.Seconds)}, {tuning.Known} known{left}; {tuning.Changed} of {Words.Count(tuning.Choices, "choice")} changed");
        }

        string evaluation = result.EvaluationSeconds is double seconds ? $" (+ {Words.Seconds(seconds)} evaluation)" : "";
        console.WriteLine($"time         {Words.Seconds(result.Seconds)}{evaluation}");
        console.WriteLine($"peak memory  {ByteSize.Format(result.PeakMemoryBytes)}");
        foreach (string warning in result.Warnings)
        {
            console.WriteLine($"warning: {Words.Printable(warning)}");
        }

        foreach (string note in everyTensor ? result.Notes : [])
        {
            console.WriteLine($"note: {Words.Printable(note)}");
        }
    }

    private static void WriteKinds(IAnsiConsole console, IReadOnlyList<KindSummary> kinds)
    {
        var table = new TextTable("kind", ">tensors", ">before", ">after", ">ratio", ">rel. error", ">worst");
        foreach (KindSummary kind in kinds)
        {
            table.Add(
                kind.Kind,
                Words.Number(kind.Tensors),
                ByteSize.Format(kind.InputBytes),
                ByteSize.Format(kind.OutputBytes),
                kind.OutputBytes == 0 ? "-" : Words.Ratio((double)kind.InputBytes / kind.OutputBytes),
                Words.Percent(kind.RelativeError),
                Words.Percent(kind.WorstError));
        }

        table.WriteTo(console);
    }

    private static void WriteTensors(IAnsiConsole console, IReadOnlyList<CompiledTensor> tensors)
    {
        var table = new TextTable("tensor", "shape", "encoding", ">before", ">after", ">rel. error");
        foreach (CompiledTensor tensor in tensors)
        {
            table.Add(tensor.Name, Words.Dims(tensor.Shape), tensor.Encoding, ByteSize.Format(tensor.InputBytes), ByteSize.Format(tensor.OutputBytes), Words.Percent(tensor.RelativeError));
        }

        table.WriteTo(console);
    }
}
