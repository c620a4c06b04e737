using System.CommandLine;
using ModelPack.Toolchain;
using Spectre.Console;

namespace ModelPack.Cli;

/// <summary><c>modelpack run</c>.</summary>
internal static class RunCommand
{
    public static Command Create(CliHost host)
    {
        var model = new Argument<string>("model") { Description = "An .mpack or .onnx file, or a checkpoint folder" };
        var inputs = new Option<string[]>("--input", "-i") { Description = "A .npy file for an input, or name=random. Repeatable", HelpName = "name=file.npy" };
        var output = new Option<string?>("--output", "-o") { Description = "A folder for the outputs, one .npy file each", HelpName = "folder" };
        var seed = new Option<ulong>("--seed") { Description = "Seed of random inputs, or of the tokens drawn", HelpName = "n", DefaultValueFactory = _ => 0 };
        var weights = new WeightArguments();
        var prompt = new PromptArguments();
        var embed = new EmbedArguments();
        var classify = new ClassifyArguments();
        var command = new Command("run", "Run a model once, let a language model continue a text, or make vectors or labels of texts") { model, inputs, output, seed };
        foreach (Option option in (Option[])[.. weights.All, embed.Texts, classify.Texts, .. prompt.All])
        {
            command.Add(option);
        }

        command.SetAction(parsed => Session.Run(host, parsed, session =>
        {
            if (session.Get(prompt.Prompt) is string text)
            {
                return session.IsGiven(inputs) || session.IsGiven(output) || session.IsGiven(embed.Texts) || session.IsGiven(classify.Texts)
                    ? throw new UsageException("--prompt is the input: it does not go with --input, --embed, --classify and --output")
                    : prompt.Run(session, session.Get(model), text, session.Get(seed), weights.Get(session));
            }

            prompt.RefuseWithoutPrompt(session);
            if (session.IsGiven(embed.Texts))
            {
                return session.IsGiven(inputs) || session.IsGiven(classify.Texts) ? throw new UsageException("--embed is the input: it does not go with --input and --classify") : embed.Run(session, session.Get(model), session.Get(output), weights.Get(session));
            }

            if (session.IsGiven(classify.Texts))
            {
                return session.IsGiven(inputs) || session.IsGiven(output) ? throw new UsageException("--classify is the input: it does not go with --input, --embed and --output") : classify.Run(session, session.Get(model), weights.Get(session));
            }

            string[] given = session.Get(inputs) ?? [];
            if (Array.Find(given, i => i.IndexOf('=', StringComparison.Ordinal) <= 0) is string wrong)
            {
                throw new UsageException($"--input '{wrong}' is not of the form name=file.npy");
            }

            RunResult result = Execution.Run(session.Get(model), given, session.Get(output), session.Get(seed), session.Threads, weights.Get(session), session.Cancellation);
            session.Show(result, JsonOutput.Types.RunResult, console => Write(console, result));
            return ExitCodes.Done;
        }));
        return command;
    }

    private static void Write(IAnsiConsole console, RunResult result)
    {
        var table = new TextTable("output", "dtype", "shape", "first values", "file");
        foreach (RunOutput output in result.Outputs)
        {
            table.Add(output.Name, output.DType, Words.Dims(output.Shape), string.Join(' ', output.FirstValues.Select(v => Words.Number(v))), output.File ?? "");
        }

        table.WriteTo(console);
        console.WriteLine($"load {Words.Seconds(result.LoadSeconds)}, run {Words.Seconds(result.Seconds)}");
    }
}
