using System.Text.Json;
using ModelPack.Runtime.Embedding;
using ModelPack.Testing;
using ModelPack.Tests.Architectures;
using ModelPack.Tests.Cli;
using ModelPack.Tests.Runtime.Text;
using ModelPack.Toolchain;
using Xunit;

namespace ModelPack.Tests.Runtime.Embedding;

/// <summary>From texts to vectors, against the scalar encoder on the ids and pooling by hand.</summary>
public sealed class TextEncoderTests
{
    private const float Tolerance = 1e-5f;

    private static readonly string[] Texts = ["hello, how are you?", "unwanted", "", "HeLLo! running running running"];

    [Theory]
    [InlineData("mean", """{"pooling_mode_mean_tokens":true,"pooling_mode_cls_token":false,"word_embedding_dimension":24}""", false)]
    [InlineData("cls", """{"pooling_mode_cls_token":true,"pooling_mode_mean_tokens":false}""", true)]
    [InlineData("max", """{"pooling_mode_max_tokens":true}""", false)]
    [InlineData("mean_sqrt_length", """{"pooling_mode_mean_sqrt_len_tokens":true}""", true)]
    [InlineData("mean", """{"pooling_mode":"mean"}""", true)]
    [InlineData("weighted_mean", """{"pooling_mode_weightedmean_tokens":true,"pooling_mode_mean_tokens":false}""", false)]
    [InlineData("last_token", """{"pooling_mode_lasttoken":true}""", true)]
    public void Embed_poolings_areThoseOfTheFiles(string pooling, string config, bool normalize)
    {
        using var folder = new TempFolder();
        (RandomCheckpoint checkpoint, string path) = Write(folder, "bert", config, normalize);
        ModelCompiler.Compile(new CompileRequest { Input = path, Output = folder["m.mpack"], Recipe = "lossless" });
        using TextEncoder encoder = TextEncoder.Open(folder["m.mpack"]);

        IReadOnlyList<float[]> vectors = encoder.Embed(Texts, batch: 3);

        Assert.Equal((24, normalize, 37), (encoder.Dimensions, encoder.Normalized, encoder.MaxTokens));
        Assert.Equal(pooling.Replace("_", "", StringComparison.Ordinal), encoder.Pooling.ToString(), ignoreCase: true);
        for (int i = 0; i < Texts.Length; i++)
        {
            double[] expected = Expected(checkpoint, "", [.. encoder.Tokenize(Texts[i]).Select(t => (long)t)], pooling, normalize);
            Assert.All(expected.Zip(vectors[i]), p => Assert.Equal(p.First, p.Second, Tolerance));
            Assert.All(encoder.Embed(Texts[i]).Zip(vectors[i]), p => Assert.Equal(p.First, p.Second, Tolerance)); // Whatever else is in the batch.
        }
    }

    /// <summary>Padding by the configuration's token, positions counted behind it, most tokens two less than the table of positions has rows.</summary>
    [Fact]
    public void Embed_roberta_countsPositionsBehindPadding()
    {
        using var folder = new TempFolder();
        (RandomCheckpoint checkpoint, string path) = Write(folder, "roberta", null, false);
        ModelCompiler.Compile(new CompileRequest { Input = path, Output = folder["m.mpack"], Recipe = "lossless" });
        using TextEncoder encoder = TextEncoder.Open(folder["m.mpack"]);
        Assert.Equal((TextPooling.Mean, false, 35), (encoder.Pooling, encoder.Normalized, encoder.MaxTokens));
        IReadOnlyList<float[]> vectors = encoder.Embed(Texts);
        for (int i = 0; i < Texts.Length; i++)
        {
            double[] expected = Expected(checkpoint, "", [.. encoder.Tokenize(Texts[i]).Select(t => (long)t)], "mean", false);
            Assert.All(expected.Zip(vectors[i]), p => Assert.Equal(p.First, p.Second, Tolerance));
        }
    }

    [Fact]
    public void Embed_unigramTokenizer_isThatOfTheFolder()
    {
        using var folder = new TempFolder();
        (RandomCheckpoint checkpoint, string path) = Write(folder, "roberta", null, false);
        folder.Write("checkpoint/tokenizer.json", """
            {"model":{"type":"Unigram","unk_id":3,"vocab":[["<s>",0],["<pad>",0],["</s>",0],["<unk>",0],["▁hello",-3],["▁",-2],["he",-2],["llo",-2],["▁un",-2],["want",-3],["ed",-2]]},
             "pre_tokenizer":{"type":"Metaspace","replacement":"▁","add_prefix_space":true},"post_processor":{"type":"RobertaProcessing","cls":["<s>",0],"sep":["</s>",2]}}
            """);
        ModelCompiler.Compile(new CompileRequest { Input = path, Output = folder["m.mpack"], Recipe = "lossless" });
        using TextEncoder encoder = TextEncoder.Open(folder["m.mpack"]);
        Assert.Equal((int[])[0, 4, 8, 9, 10, 5, 3, 2], encoder.Tokenize("hello unwanted 漢字"));
        double[] expected = Expected(checkpoint, "", [0, 4, 8, 9, 10, 5, 3, 2], "mean", false);
        Assert.All(expected.Zip(encoder.Embed("hello unwanted 漢字")), p => Assert.Equal(p.First, p.Second, Tolerance));
    }

    [Fact]
    public void Tokenize_longText_isCutOffInsideTheSpecialTokens()
    {
        using var folder = new TempFolder();
        (_, string path) = Write(folder, "bert", null, false);
        folder.Write("checkpoint/sentence_bert_config.json", """{"max_seq_length":7,"do_lower_case":true}""");
        ModelCompiler.Compile(new CompileRequest { Input = path, Output = folder["m.mpack"], Recipe = "lossless" });
        using TextEncoder encoder = TextEncoder.Open(folder["m.mpack"]);
        Assert.Equal((int[])[2, 13, 13, 13, 13, 13, 3], encoder.Tokenize("HELLO hello Hello hello hello hello hello"));
        Assert.Equal(24, encoder.Embed("hello hello hello hello hello hello").Length);
    }

    [Theory]
    [InlineData("modules.json", """[{"type":"sentence_transformers.models.Transformer","path":""},{"type":"sentence_transformers.models.Dense","path":"2_Dense"}]""", "module of type 'Dense' in '2_Dense'", 1514)]
    [InlineData("modules.json", """[{"type":"sentence_transformers.models.Pooling","path":"9_Pooling"}]""", "9_Pooling/config.json, which is not there", 1514)]
    [InlineData("1_Pooling/config.json", """{"pooling_mode_attention":true}""", "pooling by attention", 1514)]
    [InlineData("1_Pooling/config.json", """{"pooling_mode_mean_tokens":true,"pooling_mode_max_tokens":true}""", "mean_tokens and max_tokens", 1514)]
    [InlineData("sentence_bert_config.json", """{"max_seq_length":1}""", "at most 1 tokens", 1514)]
    [InlineData("modules.json", "[", "not JSON", 5031)]
    [InlineData("vocab.txt", "a\n", "[UNK]", 5031)]
    [InlineData("vocab.txt", null, "neither tokenizer.json nor vocab.txt", 5030)]
    public void Open_filesWrong_isAnError(string file, string? content, string message, int code)
    {
        using var folder = new TempFolder();
        (_, string path) = Write(folder, "bert", """{"pooling_mode_mean_tokens":true}""", true);
        File.Delete(Path.Combine(path, file));
        if (content is not null)
        {
            File.WriteAllText(Path.Combine(path, file), content);
        }

        var error = Assert.Throws<ModelPackException>(() => TextEmbedding.Embed(path, ["hello"]));
        Assert.Equal(code, error.Code.Number);
        Assert.Contains(message, error.Message, StringComparison.Ordinal);
        Assert.Equal(path, error.Path);
    }

    [Theory]
    [InlineData("bert classes", "BertModel")]
    [InlineData("bert tokens", "BertModel")]
    public void Open_modelWithAHead_isMP1515(string name, string message)
    {
        using var folder = new TempFolder();
        var error = Assert.Throws<ModelPackException>(() => TextEmbedding.Embed(EncoderCases.Make(name).Checkpoint.Write(folder), ["hello"]));
        Assert.Equal(ErrorCodes.NotAnEncoder, error.Code);
        Assert.Contains(message, error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Open_languageModel_isMP1515()
    {
        using var folder = new TempFolder();
        Assert.Equal(ErrorCodes.NotAnEncoder, Assert.Throws<ModelPackException>(() => TextEmbedding.Embed(FamilyCases.Make("llama").Write(folder), ["hello"])).Code);
    }

    [Fact]
    public void Command_embed_printsVectors_andWritesThem()
    {
        using var folder = new TempFolder();
        (_, string path) = Write(folder, "bert", """{"pooling_mode_mean_tokens":true}""", true);
        ModelCompiler.Compile(new CompileRequest { Input = path, Output = folder["m.mpack"], Recipe = "int8", Sets = ["quantize.min_elements=500"] });

        (int code, string json, _) = CliHarness.Run("run", folder["m.mpack"], "--embed", "hello", "--embed", "how are you?", "--output", folder["out"], "--json");

        Assert.Equal(0, code);
        using JsonDocument document = JsonDocument.Parse(json);
        JsonElement root = document.RootElement;
        Assert.Equal((24, "mean", true), (root.GetProperty("dimensions").GetInt32(), root.GetProperty("pooling").GetString(), root.GetProperty("normalized").GetBoolean()));
        JsonElement second = root.GetProperty("embeddings")[1];
        Assert.Equal(("how are you?", 6), (second.GetProperty("text").GetString(), second.GetProperty("tokens").GetInt32()));
        float[] values = [.. second.GetProperty("values").EnumerateArray().Select(v => v.GetSingle())];
        Assert.Equal(1, values.Sum(v => (double)v * v), 1e-5);
        using NpyFile file = NpyFile.Open(folder["out/embeddings.npy"]);
        Assert.Equal(new Shape(2, 24), file.Shape);

        (code, string text, _) = CliHarness.Run("run", path, "--embed", "hello");
        Assert.Equal(0, code);
        Assert.Contains("24 dimensions, pooling mean, length 1", text, StringComparison.Ordinal);

        Assert.Equal(2, CliHarness.Run("run", path, "--embed", "hello", "--prompt", "x").ExitCode);
        Assert.Equal(2, CliHarness.Run("run", path, "--embed", "hello", "--input", "input_ids=random").ExitCode);
    }

    private static (RandomCheckpoint Checkpoint, string Path) Write(TempFolder folder, string name, string? pooling, bool normalize)
    {
        (RandomCheckpoint checkpoint, _) = EncoderCases.Make(name);
        string path = checkpoint.Write(folder);
        folder.Write("checkpoint/vocab.txt", WordPieceTokenizerTests.Vocabulary());
        if (pooling is not null)
        {
            string end = normalize ? """,{"idx":2,"name":"2","path":"2_Normalize","type":"sentence_transformers.models.Normalize"}""" : "";
            folder.Write("checkpoint/modules.json", $$"""[{"idx":0,"name":"0","path":"","type":"sentence_transformers.models.Transformer"},{"idx":1,"name":"1","path":"1_Pooling","type":"sentence_transformers.models.Pooling"}{{end}}]""");
            folder.Write("checkpoint/1_Pooling/config.json", pooling);
        }

        return (checkpoint, path);
    }

    private static double[] Expected(RandomCheckpoint checkpoint, string prefix, long[] ids, string pooling, bool normalize)
    {
        double[][] rows = new ScalarEncoder(checkpoint, prefix).Run(ids, [.. ids.Select(_ => 1L)], new long[ids.Length]).Rows;
        double[] vector = [.. Enumerable.Range(0, rows[0].Length).Select(c => pooling switch
        {
            "cls" => rows[0][c],
            "max" => rows.Max(r => r[c]),
            "mean" => rows.Average(r => r[c]),
            "weighted_mean" => rows.Select((r, t) => (t + 1) * r[c]).Sum() / Enumerable.Range(1, rows.Length).Sum(),
            "last_token" => rows[^1][c],
            _ => rows.Sum(r => r[c]) / Math.Sqrt(rows.Length),
        })];
        double length = normalize ? Math.Sqrt(vector.Sum(v => v * v)) : 1;
        return [.. vector.Select(v => v / length)];
    }
}
