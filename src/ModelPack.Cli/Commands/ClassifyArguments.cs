using System.CommandLine;
using ModelPack.Toolchain;
using Spectre.Console;

namespace ModelPack.Cli;

/// <summary>The option of <c>run</c> that gives labels to texts.</summary>
internal sealed class ClassifyArguments
{
    private const int ShownLabels = 3;
    private const int ShownCharacters = 40;

    /// <summary>The texts.</summary>
    public Option<string[]> Texts { get; } = new("--classify") { Description = "Give this text a label, with its score; needs an artifact of an encoder's folder with the head ForSequenceClassification. Repeatable", HelpName = "text" };

    /// <summary>Carries the command out.</summary>
    public int Run(Session session, string model, WeightStorage weights)
    {
        ClassifyResult result = TextClassification.Classify(model, session.Get(Texts) ?? [], session.Threads, weights, session.Cancellation);
        session.Show(result, JsonOutput.Types.ClassifyResult, console => Write(console, result));
        return ExitCodes.Done;
    }

    private static void Write(IAnsiConsole console, ClassifyResult result)
    {
        var table = new TextTable("text", "tokens", "label", "score", "next");
        foreach (ClassifiedText text in result.Texts)
        {
            string shown = text.Text.Length > ShownCharacters ? text.Text[..ShownCharacters] + "..." : text.Text;
            string next = string.Join(", ", text.Scores.Skip(1).Take(ShownLabels).Select(s => $"{s.Label} {Words.Number(s.Score)}"));
            table.Add(shown, Words.Count(text.Tokens, "token"), text.Label ?? "", text.Score is double score ? Words.Number(score) : "", next);
        }

        table.WriteTo(console);
        console.WriteLine($"load {Words.Seconds(result.LoadSeconds)}, run {Words.Seconds(result.Seconds)}");
    }
}
