using System.CommandLine;
using ModelPack.Toolchain;
using Spectre.Console;

namespace ModelPack.Cli;

/// <summary><c>modelpack eval</c>.</summary>
internal static class EvalCommand
{
    public static Command Create(CliHost host)
    {
        var model = new Argument<string>("model") { Description = "An .mpack or .onnx file, or a checkpoint folder" };
        var tokens = new Option<string?>("--tokens") { Description = "A token file (uint16, little-endian): measures perplexity", HelpName = "file" };
        Option<int> window = NumberOption.Create("--window", "Tokens per window; windows do not overlap", 256, 2, 1 << 20);
        var reference = new Option<string?>("--reference") { Description = "A model to agree with: measures error, SQNR, cosine and top-1 agreement; with --tokens how far its predictions are (divergence), also from logits saved of it", HelpName = "model" };
        var save = new Option<string?>("--save-logits") { Description = "Write the model's predictions of the tokens, so that --reference can take this file for the model: 2 bytes per token and word of the vocabulary", HelpName = "file" };
        var data = new Option<string?>("--data") { Description = "A folder of .npy inputs named after the model's inputs, for --reference; without it: random inputs", HelpName = "folder" };
        var weights = new WeightArguments();
        var command = new Command("eval", "Measure a model's quality: perplexity on tokens, or agreement with a reference") { model, tokens, window, reference, save, data };
        foreach (Option option in weights.All)
        {
            command.Add(option);
        }

        command.SetAction(parsed => Session.Run(host, parsed, session =>
        {
            if (session.Get(save) is not null && session.Get(tokens) is null)
            {
                throw new UsageException("--save-logits writes predictions of tokens: say which, --tokens <file>");
            }

            EvalResult result = (session.Get(tokens), session.Get(reference)) switch
            {
                (string file, var other) when session.Get(data) is null => Evaluation.Perplexity(session.Get(model), file, session.Get(window), session.Threads, other, weights.Get(session), session.Get(save), session.Progress, session.Cancellation),
                (null, string other) => Evaluation.Agreement(session.Get(model), other, session.Get(data), session.Threads, weights.Get(session), session.Progress, session.Cancellation),
                (null, null) => throw new UsageException("say what to measure: --tokens <file> for perplexity or --reference <model> for agreement"),
                _ => throw new UsageException("--data holds inputs for --reference; with --tokens the tokens are the inputs"),
            };
            session.Show(result, JsonOutput.Types.EvalResult, console => Write(console, result));
            return ExitCodes.Done;
        }));
        return command;
    }

    private static void Write(IAnsiConsole console, EvalResult result)
    {
        if (result.Perplexity is double perplexity)
        {
            string against = result.Divergence is double divergence ? $"  divergence {Words.Number(divergence)}  top-1 {Words.Percent(result.Top1Agreement)}  reference {Words.Fixed(result.ReferencePerplexity, 3)}" : "";
            console.WriteLine($"perplexity {Words.Fixed(perplexity, 3)}  nll {Words.Fixed(result.Nll, 5)}{against}  over {Words.Count(result.Tokens ?? 0, "token")} in {Words.Seconds(result.Seconds)}");
            if (result.ContextualSparsity is ContextualSparsity zeros)
            {
                console.WriteLine($"contextual sparsity {Words.Percent(zeros.Mean)} of the activations of {Words.Count(zeros.Perceptrons, "perceptron")} ({Words.Percent(zeros.Least)} to {Words.Percent(zeros.Most)})");
            }

            return;
        }

        var table = new TextTable("output", ">max abs error", ">SQNR dB", ">cosine", ">top-1");
        foreach (OutputAgreement output in result.Outputs)
        {
            table.Add(output.Name, Words.Number(output.MaxAbsError), Words.Fixed(output.SqnrDb, 1), Words.Fixed(output.Cosine, 6), Words.Percent(output.Top1Agreement));
        }

        table.WriteTo(console);
        console.WriteLine($"{result.Data ?? ""}  {Words.Seconds(result.Seconds)}".Trim());
    }
}
