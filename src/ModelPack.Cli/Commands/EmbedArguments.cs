using System.CommandLine;
using ModelPack.Toolchain;
using Spectre.Console;

namespace ModelPack.Cli;

/// <summary>The option of <c>run</c> that makes vectors of texts.</summary>
internal sealed class EmbedArguments
{
    private const int ShownValues = 4;
    private const int ShownCharacters = 40;

    /// <summary>The texts.</summary>
    public Option<string[]> Texts { get; } = new("--embed", "-e") { Description = "Make a vector of this text; needs an artifact of an encoder's folder (BERT and its kin). Repeatable: all go through the model together; with --output as one .npy file", HelpName = "text" };

    /// <summary>Carries the command out.</summary>
    public int Run(Session session, string model, string? output, WeightStorage weights)
    {
        EmbedResult result = TextEmbedding.Embed(model, session.Get(Texts) ?? [], output, session.Threads, weights, session.Cancellation);
        session.Show(result, JsonOutput.Types.EmbedResult, console => Write(console, result));
        return ExitCodes.Done;
    }

    private static void Write(IAnsiConsole console, EmbedResult result)
    {
        var table = new TextTable("text", "tokens", "cosine to the first", "first values");
        foreach (EmbeddedText text in result.Embeddings)
        {
            string shown = text.Text.Length > ShownCharacters ? text.Text[..ShownCharacters] + "..." : text.Text;
            table.Add(shown, Words.Count(text.Tokens, "token"), Words.Number(Cosine(result.Embeddings[0].Values, text.Values)), string.Join(' ', text.Values.Take(ShownValues).Select(v => Words.Number(v))));
        }

        table.WriteTo(console);
        console.WriteLine($"{result.Dimensions} dimensions, pooling {result.Pooling}{string.Concat(result.DenseLayers.Select(d => $", dense {d}"))}{(result.Normalized ? ", length 1" : "")}; load {Words.Seconds(result.LoadSeconds)}, run {Words.Seconds(result.Seconds)}{(result.File is null ? "" : $"; {result.File}")}");
    }

    private static double Cosine(IReadOnlyList<float> a, IReadOnlyList<float> b)
    {
        double Dot(IReadOnlyList<float> x, IReadOnlyList<float> y) => x.Zip(y, (u, v) => (double)u * v).Sum();
        double length = Math.Sqrt(Dot(a, a) * Dot(b, b));
        return length > 0 ? Dot(a, b) / length : 0;
    }
}
