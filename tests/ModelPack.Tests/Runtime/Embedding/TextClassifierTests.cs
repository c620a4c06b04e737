using System.Collections.Immutable;
using System.Text.Json;
using ModelPack.Runtime.Embedding;
using ModelPack.Testing;
using ModelPack.Tests.Architectures;
using ModelPack.Tests.Cli;
using ModelPack.Tests.Runtime.Text;
using ModelPack.Toolchain;
using Xunit;

namespace ModelPack.Tests.Runtime.Embedding;

/// <summary>From texts to labels, against the scalar encoder on the ids.</summary>
public sealed class TextClassifierTests
{
    private const double Tolerance = 1e-5;

    private static readonly string[] Texts = ["hello, how are you?", "unwanted", "", "HeLLo! running running running"];

    [Theory]
    [InlineData("bert classes", null)]
    [InlineData("bert classes", "multi_label_classification")]
    [InlineData("bert classes", "regression")]
    [InlineData("distilbert classes", "single_label_classification")]
    public void Classify_scores_areThoseOfTheDefinition(string name, string? problem)
    {
        using var folder = new TempFolder();
        (RandomCheckpoint checkpoint, string prefix, string path) = Write(folder, name, problem);
        ModelCompiler.Compile(new CompileRequest { Input = path, Output = folder["m.mpack"], Recipe = "lossless" });
        using TextClassifier classifier = TextClassifier.Open(folder["m.mpack"]);
        string[] labels = name == "bert classes" ? ["a", "b", "c"] : ["LABEL_0", "LABEL_1"];
        Assert.Equal(labels, classifier.Labels);

        IReadOnlyList<ImmutableArray<TextScore>> scores = classifier.Classify(Texts, batch: 3);

        for (int t = 0; t < Texts.Length; t++)
        {
            long[] ids = [.. classifier.Tokenize(Texts[t]).Select(i => (long)i)];
            double[] logits = new ScalarEncoder(checkpoint, prefix).Run(ids, [.. ids.Select(_ => 1L)], new long[ids.Length]).Rows[0];
            double[] expected = [.. logits.Select(v => problem switch
            {
                "regression" => v,
                "multi_label_classification" => 1 / (1 + Math.Exp(-v)),
                _ => Math.Exp(v) / logits.Sum(Math.Exp),
            })];
            Assert.Equal(expected.Order().Reverse().ToArray(), scores[t].Select(s => s.Score).ToArray(), (x, y) => Math.Abs(x - y) < Tolerance);
            Assert.All(scores[t], s => Assert.Equal(expected[Array.IndexOf(labels, s.Label)], s.Score, Tolerance));
            Assert.Equal(scores[t].Select(s => s.Label), classifier.Classify(Texts[t]).Select(s => s.Label)); // Whatever else is in the batch.
        }
    }

    [Theory]
    [InlineData("bert", "ForSequenceClassification")]
    [InlineData("bert tokens", "ForSequenceClassification")]
    [InlineData("bert spans", "start_logits")]
    [InlineData("bert masked, old names", "ForSequenceClassification")]
    public void Open_modelWithoutTheHead_isMP5071(string name, string message)
    {
        using var folder = new TempFolder();
        (_, _, string path) = Write(folder, name, null);
        var error = Assert.Throws<ModelPackException>(() => TextClassification.Classify(path, ["hello"]));
        Assert.Equal(ErrorCodes.NotAClassifier, error.Code);
        Assert.Contains(message, error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("""{"0":"a","1":"b","7":"c"}""", "id2label names '7', and the model has 3 labels")]
    [InlineData("""{"0":"a","1":"b","01":"c"}""", "id2label names '01'")]
    [InlineData("""{"0":"a","1":"b"}""", "id2label does not name 2")]
    public void Open_labelsThatDoNotFit_isMP5071(string labels, string message)
    {
        using var folder = new TempFolder();
        (_, _, string path) = Write(folder, "bert classes", null);
        ModelCompiler.Compile(new CompileRequest { Input = path, Output = folder["m.mpack"], Recipe = "lossless" });
        using var session = ModelPack.Runtime.ModelSession.Open(folder["m.mpack"]);
        byte[] config = JsonSerializer.SerializeToUtf8Bytes(new { architectures = new[] { "BertForSequenceClassification" }, id2label = JsonSerializer.Deserialize<JsonElement>(labels) });
        var error = Assert.Throws<ModelPackException>(() => TextClassifier.Create(session, file => file switch { "config.json" => config, "vocab.txt" => WordPieceTokenizerTests.Vocabulary(), _ => (ReadOnlyMemory<byte>?)null }));
        Assert.Equal(ErrorCodes.NotAClassifier, error.Code);
        Assert.Contains(message, error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Command_classify_printsLabelsAndScores()
    {
        using var folder = new TempFolder();
        (_, _, string path) = Write(folder, "bert classes", null);

        (int code, string json, _) = CliHarness.Run("run", path, "--classify", "hello", "--classify", "how are you?", "--json");

        Assert.Equal(0, code);
        using JsonDocument document = JsonDocument.Parse(json);
        JsonElement second = document.RootElement.GetProperty("texts")[1];
        Assert.Equal(("how are you?", 6), (second.GetProperty("text").GetString(), second.GetProperty("tokens").GetInt32()));
        JsonElement[] scores = [.. second.GetProperty("scores").EnumerateArray()];
        Assert.Equal((scores[0].GetProperty("label").GetString(), scores[0].GetProperty("score").GetDouble()), (second.GetProperty("label").GetString(), second.GetProperty("score").GetDouble()));
        Assert.Equal(1, scores.Sum(s => s.GetProperty("score").GetDouble()), Tolerance);

        (code, string text, _) = CliHarness.Run("run", path, "--classify", "hello");
        Assert.Equal(0, code);
        Assert.Matches("hello +3 tokens +[abc] +0\\.[0-9]+", text);

        Assert.Equal(2, CliHarness.Run("run", path, "--classify", "hello", "--prompt", "x").ExitCode);
        Assert.Equal(2, CliHarness.Run("run", path, "--classify", "hello", "--embed", "x").ExitCode);
        Assert.Equal(2, CliHarness.Run("run", path, "--classify", "hello", "--output", "x").ExitCode);
    }

    private static (RandomCheckpoint Checkpoint, string Prefix, string Path) Write(TempFolder folder, string name, string? problem)
    {
        (RandomCheckpoint checkpoint, string prefix) = EncoderCases.Make(name);
        if (problem is not null)
        {
            checkpoint.Config["problem_type"] = problem;
        }

        string path = checkpoint.Write(folder);
        folder.Write("checkpoint/vocab.txt", WordPieceTokenizerTests.Vocabulary());
        return (checkpoint, prefix, path);
    }
}
