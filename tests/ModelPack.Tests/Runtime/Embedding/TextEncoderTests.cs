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
    [InlineData("max+mean", """{"pooling_mode_mean_tokens":true,"pooling_mode_max_tokens":true}""", true)]
    [InlineData("cls+mean_sqrt_length+last_token", """{"pooling_mode_lasttoken":true,"pooling_mode_mean_sqrt_len_tokens":true,"pooling_mode_cls_token":true}""", false)]
    public void Embed_poolings_areThoseOfTheFiles(string pooling, string config, bool normalize)
    {
        using var folder = new TempFolder();
        (RandomCheckpoint checkpoint, string path) = Write(folder, "bert", config, normalize);
        ModelCompiler.Compile(new CompileRequest { Input = path, Output = folder["m.mpack"], Recipe = "lossless" });
        using TextEncoder encoder = TextEncoder.Open(folder["m.mpack"]);

        IReadOnlyList<float[]> vectors = encoder.Embed(Texts, batch: 3);

        Assert.Equal((24 * pooling.Split('+').Length, normalize, 37), (encoder.Dimensions, encoder.Normalized, encoder.MaxTokens));
        Assert.Equal(pooling.Replace("_", "", StringComparison.Ordinal), string.Join('+', encoder.Poolings), ignoreCase: true);
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
        Assert.Equal((TextPooling.Mean, false, 35), (encoder.Poolings.Single(), encoder.Normalized, encoder.MaxTokens));
        IReadOnlyList<float[]> vectors = encoder.Embed(Texts);
        for (int i = 0; i < Texts.Length; i++)
        {
            double[] expected = Expected(checkpoint, "", [.. encoder.Tokenize(Texts[i]).Select(t => (long)t)], "mean", false);
            Assert.All(expected.Zip(vectors[i]), p => Assert.Equal(p.First, p.Second, Tolerance));
        }
    }

    /// <summary>Dense layers and lengths in the order of the modules, behind two poolings; weights in f32 and bf16.</summary>
    [Theory]
    [InlineData("Dense,Normalize", "torch.nn.modules.activation.Tanh", true, DType.F32)]
    [InlineData("Normalize,Dense", "torch.nn.modules.linear.Identity", false, DType.BF16)]
    [InlineData("Dense,Dense", "torch.nn.modules.activation.ReLU", true, DType.F16)]
    [InlineData("Normalize,Dense,Normalize", "torch.nn.modules.activation.Sigmoid", true, DType.F32)]
    [InlineData("Dense", "torch.nn.modules.activation.SiLU", false, DType.F32)]
    public void Embed_denseLayers_areThoseOfTheFiles(string modules, string activation, bool bias, DType dtype)
    {
        using var folder = new TempFolder();
        (RandomCheckpoint checkpoint, string path) = Write(folder, "bert", """{"pooling_mode_mean_tokens":true,"pooling_mode_max_tokens":true}""", false);
        string[] behind = modules.Split(',');
        folder.Write("checkpoint/modules.json", JsonSerializer.Serialize(behind.Prepend("Pooling").Prepend("Transformer").Select((m, i) => new { idx = i, name = $"{i}", path = m == "Transformer" ? "" : $"{i}_{m}", type = $"sentence_transformers.models.{m}" })));
        var layers = new List<(float[] Weight, float[] Bias, int Outputs)?>();
        int width = 48;
        for (int i = 0; i < behind.Length; i++)
        {
            if (behind[i] == "Normalize")
            {
                layers.Add(null);
                continue;
            }

            int outputs = width == 48 ? 7 : 5;
            layers.Add(WriteDense(folder, $"{i + 2}_Dense", width, outputs, activation, bias, dtype));
            width = outputs;
        }

        ModelCompiler.Compile(new CompileRequest { Input = path, Output = folder["m.mpack"], Recipe = "lossless" });
        using TextEncoder encoder = TextEncoder.Open(folder["m.mpack"]);
        Assert.Equal((width, behind[^1] == "Normalize"), (encoder.Dimensions, encoder.Normalized));
        Assert.Equal(layers.Where(l => l is not null).Select(l => l!.Value.Outputs), encoder.DenseLayers);
        IReadOnlyList<float[]> vectors = encoder.Embed(Texts);
        for (int t = 0; t < Texts.Length; t++)
        {
            double[] x = Expected(checkpoint, "", [.. encoder.Tokenize(Texts[t]).Select(i => (long)i)], "max+mean", false);
            foreach ((float[] Weight, float[] Bias, int Outputs)? layer in layers)
            {
                double length = Math.Sqrt(x.Sum(v => v * v));
                x = layer is not (float[] w, float[] b, int n) ? [.. x.Select(v => v / length)] : [.. Enumerable.Range(0, n).Select(o => activation.Split('.')[^1] switch
                {
                    "Tanh" => Math.Tanh(Sum(o)),
                    "ReLU" => Math.Max(0, Sum(o)),
                    "Sigmoid" => 1 / (1 + Math.Exp(-Sum(o))),
                    "SiLU" => Sum(o) / (1 + Math.Exp(-Sum(o))),
                    _ => Sum(o),
                })];
                double Sum(int o) => x.Select((v, i) => v * layer!.Value.Weight[(o * x.Length) + i]).Sum() + layer!.Value.Bias[o];
            }

            Assert.All(x.Zip(vectors[t]), p => Assert.Equal(p.First, p.Second, Tolerance));
        }
    }

    [Theory]
    [InlineData("in", 5070, "a dense layer takes 23 values, and 24 come to it")]
    [InlineData("function", 1514, "activation_function 'GELU'")]
    [InlineData("bin", 1514, "there is no 2_Dense/model.safetensors")]
    [InlineData("shape", 5070, "the tensor is [7,24], the configuration says [6,24]")]
    [InlineData("cut", 5070, "does not lie in the file")]
    [InlineData("header", 5070, "shorter than its header says")]
    [InlineData("name", 5070, "linear.bias")]
    public void Open_denseLayerWrong_isAnError(string defect, int code, string message)
    {
        using var folder = new TempFolder();
        (_, string path) = Write(folder, "bert", """{"pooling_mode_mean_tokens":true}""", false);
        folder.Write("checkpoint/modules.json", """[{"type":"a.Transformer","path":""},{"type":"a.Pooling","path":"1_Pooling"},{"type":"a.Dense","path":"2_Dense"}]""");
        WriteDense(folder, "2_Dense", defect == "in" ? 23 : 24, 7, defect == "function" ? "torch.nn.GELU" : "torch.nn.Tanh", bias: defect != "name", DType.F32);
        (string config, string weights) = (Path.Combine(path, "2_Dense/config.json"), Path.Combine(path, "2_Dense/model.safetensors"));
        switch (defect)
        {
            case "bin":
                File.Move(weights, Path.ChangeExtension(weights, ".bin"));
                break;
            case "shape":
                File.WriteAllText(config, File.ReadAllText(config).Replace("\"out_features\":7", "\"out_features\":6", StringComparison.Ordinal));
                break;
            case "name":
                File.WriteAllText(config, File.ReadAllText(config).Replace("\"bias\":false", "\"bias\":true", StringComparison.Ordinal));
                break;
            case "cut":
                File.WriteAllBytes(weights, File.ReadAllBytes(weights)[..^40]);
                break;
            case "header":
                File.WriteAllBytes(weights, File.ReadAllBytes(weights)[..20]);
                break;
        }

        var error = Assert.Throws<ModelPackException>(() => TextEmbedding.Embed(path, ["hello"]));
        Assert.Equal(code, error.Code.Number);
        Assert.Contains(message, error.Message, StringComparison.Ordinal);
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
    [InlineData("modules.json", """[{"type":"sentence_transformers.models.Transformer","path":""},{"type":"sentence_transformers.models.CNN","path":"2_CNN"}]""", "module of type 'CNN' in '2_CNN'", 1514)]
    [InlineData("modules.json", """[{"type":"sentence_transformers.models.Transformer","path":""},{"type":"sentence_transformers.models.Normalize","path":"1_Normalize"}]""", "module 'Normalize' without Pooling", 1514)]
    [InlineData("modules.json", """[{"type":"a.Pooling","path":"1_Pooling"},{"type":"a.Pooling","path":"1_Pooling"}]""", "a second module 'Pooling'", 1514)]
    [InlineData("modules.json", """[{"type":"a.Pooling","path":"1_Pooling"},{"type":"a.Dense","path":"3_Dense"}]""", "3_Dense/config.json, which is not there", 1514)]
    [InlineData("modules.json", """[{"type":"sentence_transformers.models.Pooling","path":"9_Pooling"}]""", "9_Pooling/config.json, which is not there", 1514)]
    [InlineData("1_Pooling/config.json", """{"pooling_mode_attention":true}""", "pooling by attention", 1514)]
    [InlineData("1_Pooling/config.json", """{"pooling_mode_mean_tokens":true,"pooling_mode_median_tokens":true}""", "mean_tokens and median_tokens", 1514)]
    [InlineData("1_Pooling/config.json", """{"pooling_mode_mean_tokens":false}""", "pooling by nothing", 1514)]
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

    /// <summary>Writes the files of a dense layer; its weights as they are read.</summary>
    private static (float[] Weight, float[] Bias, int Outputs) WriteDense(TempFolder folder, string name, int inputs, int outputs, string activation, bool bias, DType dtype)
    {
        folder.Write($"checkpoint/{name}/config.json", $$"""{"in_features":{{inputs}},"out_features":{{outputs}},"bias":{{(bias ? "true" : "false")}},"activation_function":"{{activation}}"}""");
        int size = dtype == DType.F32 ? 4 : 2;
        float[] values = Values.Weights((ulong)inputs, (inputs + (bias ? 1 : 0)) * outputs);
        using var data = new MemoryStream();
        for (int i = 0; i < values.Length; i++)
        {
            ushort half = dtype == DType.F16 ? BitConverter.HalfToUInt16Bits((Half)values[i]) : (ushort)(BitConverter.SingleToUInt32Bits(values[i]) >> 16);
            values[i] = dtype switch { DType.F32 => values[i], DType.F16 => (float)BitConverter.UInt16BitsToHalf(half), _ => BitConverter.UInt32BitsToSingle((uint)half << 16) };
            data.Write(dtype == DType.F32 ? BitConverter.GetBytes(values[i]) : BitConverter.GetBytes(half));
        }

        int weightBytes = inputs * outputs * size;
        string type = dtype.ToString();
        string biasEntry = bias ? $$""","linear.bias":{"dtype":"{{type}}","shape":[{{outputs}}],"data_offsets":[{{weightBytes}},{{data.Length}}]}""" : "";
        byte[] header = System.Text.Encoding.UTF8.GetBytes($$"""{"__metadata__":{"format":"pt"},"linear.weight":{"dtype":"{{type}}","shape":[{{outputs}},{{inputs}}],"data_offsets":[0,{{weightBytes}}]}{{biasEntry}}}""");
        folder.Write($"checkpoint/{name}/model.safetensors", [.. BitConverter.GetBytes((long)header.Length), .. header, .. data.ToArray()]);
        return (values[..(inputs * outputs)], bias ? values[(inputs * outputs)..] : new float[outputs], outputs);
    }

    private static double[] Expected(RandomCheckpoint checkpoint, string prefix, long[] ids, string pooling, bool normalize)
    {
        double[][] rows = new ScalarEncoder(checkpoint, prefix).Run(ids, [.. ids.Select(_ => 1L)], new long[ids.Length]).Rows;
        double[] vector = [.. pooling.Split('+').SelectMany(word => Enumerable.Range(0, rows[0].Length).Select(c => word switch
        {
            "cls" => rows[0][c],
            "max" => rows.Max(r => r[c]),
            "mean" => rows.Average(r => r[c]),
            "weighted_mean" => rows.Select((r, t) => (t + 1) * r[c]).Sum() / Enumerable.Range(1, rows.Length).Sum(),
            "last_token" => rows[^1][c],
            _ => rows.Sum(r => r[c]) / Math.Sqrt(rows.Length),
        }))];
        double length = normalize ? Math.Sqrt(vector.Sum(v => v * v)) : 1;
        return [.. vector.Select(v => v / length)];
    }
}
