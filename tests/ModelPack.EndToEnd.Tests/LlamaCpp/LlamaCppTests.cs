using System.Globalization;
using System.Runtime.InteropServices;
using System.Text;
using System.Text.Json.Nodes;
using ModelPack.Runtime;
using ModelPack.Runtime.Text;
using ModelPack.Testing;
using ModelPack.Tests.Architectures;
using ModelPack.Toolchain;

namespace ModelPack.EndToEnd.Tests.LlamaCpp;

/// <summary>GGUF files of <c>export</c>, loaded by llama.cpp itself: it must predict what the artifact predicts.</summary>
public sealed class LlamaCppTests : IClassFixture<LlamaCppHost>
{
    private const int Window = 256;

    private const int Windows = 6;

    private readonly LlamaCppHost _host;

    public LlamaCppTests(LlamaCppHost host) => _host = host;

    /// <summary>
    /// llama.cpp keeps keys and values in f16 and rounds activations to 8 bits in blocks for quantized weights, so results are near, not equal: a wrong order of codes, rows or heads makes perplexities of hundreds.
    /// </summary>
    /// <param name="recipe">Recipe.</param>
    /// <param name="difference">Largest relative difference of perplexities.</param>
    /// <param name="agreement">Least share of positions with the same likeliest token.</param>
    [SkippableTheory]
    [InlineData("lossless", 0.001, 0.985)]
    [InlineData("gguf-q8_0", 0.002, 0.98)]
    [InlineData("gguf-q4_0", 0.004, 0.96)]
    [InlineData("gguf-q6_k", 0.004, 0.96)]
    [InlineData("int4(block=128,scale=f16)", 0.004, 0.96)]
    [InlineData("int5(scale=f16)", 0.004, 0.96)]
    [InlineData("mxfp4", 0.004, 0.96)]
    [InlineData("nvfp4", 0.004, 0.96)]
    public void Llama_cpp_predicts_what_the_artifact_predicts(string recipe, double difference, double agreement)
    {
        _host.Require();
        using var folder = new TempFolder();
        string artifact = folder["m.mpack"];
        ModelCompiler.Compile(new CompileRequest { Input = SamplePaths.Checkpoint, Output = artifact, Recipe = recipe });
        Exporting.Export(artifact, "gguf", folder["m.gguf"]);

        (double perplexity, int[] likeliest) = _host.Run(folder["m.gguf"], SamplePaths.EvalTokens, Window, Windows);

        (double expected, int[] tokens) = Predict(artifact, SamplePaths.EvalTokens, Window, Windows);
        Assert.True(Math.Abs(perplexity - expected) <= difference * expected, $"llama.cpp {perplexity}, artifact {expected}");
        double same = likeliest.Zip(tokens, (a, b) => a == b ? 1.0 : 0).Average();
        Assert.True(same >= agreement, $"{same:0.000} of {tokens.Length} likeliest tokens agree");
    }

    /// <summary>Measured: perplexities differ by 5e-4 at most, one of 31 likeliest tokens once. LongRoPE's other set of factors, for example, makes a difference of 2 %.</summary>
    /// <remarks>Small random models of every family that is written, with settings that llama.cpp has as well: windows shorter than the text, caps that bite, all kinds of layers.</remarks>
    [SkippableTheory]
    [InlineData("llama llama3", "{}")]
    [InlineData("qwen2", """{"use_sliding_window":false,"rope_scaling":null}""")]
    [InlineData("qwen3", "{}")]
    [InlineData("phi3", """{"sliding_window":null}""")]
    [InlineData("phi4-mini, part of heads turned", "{}")]
    [InlineData("phi3 longrope", """{"max_position_embeddings":1024,"original_max_position_embeddings":512}""")]
    [InlineData("gemma2", """{"query_pre_attn_scalar":12,"num_hidden_layers":4}""")]
    [InlineData("gemma3", """{"query_pre_attn_scalar":16,"num_hidden_layers":7,"sliding_window_pattern":6,"rope_local_base_freq":10000.0}""")]
    [InlineData("mixtral", """{"sliding_window":null}""")]
    [InlineData("qwen3 moe", """{"mlp_only_layers":[]}""")]
    public void Llama_cpp_predicts_what_random_families_predict(string name, string settings)
    {
        const int window = 32;
        const int windows = 8;
        _host.Require();
        using var folder = new TempFolder();
        RandomCheckpoint checkpoint = FamilyCases.Make(name, change: c =>
        {
            foreach ((string key, JsonNode? value) in JsonNode.Parse(settings)!.AsObject())
            {
                c[key] = value?.DeepClone();
            }
        });
        string path = checkpoint.Write(folder);
        folder.Write("checkpoint/tokenizer.json", Tokenizer);
        folder.Write("tokens.bin", MemoryMarshal.AsBytes<ushort>(FamilyCases.Ids(window * windows, seed: 9).Select(i => (ushort)i).ToArray()).ToArray());
        ModelCompiler.Compile(new CompileRequest { Input = path, Output = folder["m.mpack"], Recipe = "lossless" });
        ExportResult exported = Exporting.Export(folder["m.mpack"], "gguf", folder["m.gguf"]);
        Assert.Empty(exported.Warnings);
        Assert.True(Checking.Check(folder["m.gguf"], "llamacpp").Ok);

        (double perplexity, int[] likeliest) = _host.Run(folder["m.gguf"], folder["tokens.bin"], window, windows);

        (double expected, int[] tokens) = Predict(folder["m.mpack"], folder["tokens.bin"], window, windows);
        Assert.True(Math.Abs(perplexity - expected) <= 0.002 * expected, $"llama.cpp {perplexity}, artifact {expected}");
        double same = likeliest.Zip(tokens, (a, b) => a == b ? 1.0 : 0).Average();
        Assert.True(same >= 0.93, $"{same:0.000} of {tokens.Length} likeliest tokens agree");
    }

    /// <summary>A vocabulary of SentencePiece, with a token per byte: llama.cpp takes texts apart as our tokenizer does.</summary>
    [SkippableFact]
    public void Llama_cpp_takes_texts_apart_as_the_tokenizer_does()
    {
        _host.Require();
        using var folder = new TempFolder();
        foreach (string file in (string[])["config.json", "model.safetensors"])
        {
            File.Copy(Path.Combine(SamplePaths.Checkpoint, file), folder.Write($"sp/{file}", ""), overwrite: true);
        }

        string json = Pieces();
        folder.Write("sp/tokenizer.json", json);
        folder.Write("sp/tokenizer_config.json", """{"bos_token":"<s>","eos_token":"</s>"}""");
        Exporting.Export(folder["sp"], "gguf", folder["m.gguf"], new ExportOptions());
        string[] texts = ["the cat sat", "  two  spaces ", "na\u00EFve \u6F22 \U0001F600 end", "the\ncat\tthe", "thethecats", "a<s>the</s> b", "xyz 0123"];

        string[] lines = _host.Tokenize(folder["m.gguf"], texts);

        BytePairTokenizer tokenizer = BytePairTokenizer.Parse(Encoding.UTF8.GetBytes(json));
        Assert.Equal(texts.Select(t => string.Join(' ', tokenizer.Encode(t))), lines);
    }

    /// <summary>Bytes, letters, and pieces of some words in the order in which they are merged.</summary>
    private static string Pieces()
    {
        var vocabulary = new JsonObject { ["<unk>"] = 0, ["<s>"] = 1, ["</s>"] = 2 };
        for (int b = 0; b < 256; b++)
        {
            vocabulary[$"<0x{b:X2}>"] = vocabulary.Count;
        }

        foreach (char letter in "\u2581abcdehnopstw\u00EF")
        {
            vocabulary[letter.ToString()] = vocabulary.Count;
        }

        var merges = new JsonArray();
        foreach ((string left, string right) in ((string, string)[])[("t", "h"), ("th", "e"), ("\u2581", "the"), ("a", "t"), ("c", "at"), ("\u2581", "cat"), ("s", "at"), ("\u2581", "\u2581"), ("\u2581", "t"), ("e", "n"), ("en", "d"), ("cat", "s")])
        {
            merges.Add(new JsonArray(left, right));
            vocabulary[left + right] = vocabulary.Count;
        }

        return new JsonObject
        {
            ["added_tokens"] = new JsonArray([.. ((string[])["<unk>", "<s>", "</s>"]).Select((t, i) => (JsonNode)new JsonObject { ["id"] = i, ["content"] = t, ["special"] = true, ["normalized"] = false })]),
            ["normalizer"] = JsonNode.Parse("""{"type":"Sequence","normalizers":[{"type":"Prepend","prepend":"\u2581"},{"type":"Replace","pattern":{"String":" "},"content":"\u2581"}]}"""),
            ["post_processor"] = JsonNode.Parse("""{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"<s>","type_id":0}},{"Sequence":{"id":"A","type_id":0}}],"special_tokens":{"<s>":{"id":"<s>","ids":[1],"tokens":["<s>"]}}}"""),
            ["decoder"] = JsonNode.Parse("""{"type":"Sequence","decoders":[{"type":"Replace","pattern":{"String":"\u2581"},"content":" "},{"type":"ByteFallback"},{"type":"Fuse"},{"type":"Strip","content":" ","start":1,"stop":0}]}"""),
            ["model"] = new JsonObject { ["type"] = "BPE", ["unk_token"] = "<unk>", ["byte_fallback"] = true, ["fuse_unk"] = true, ["vocab"] = vocabulary, ["merges"] = merges },
        }.ToJsonString();
    }

    /// <summary>Byte-level BPE with a token per id of the small models; texts are not taken apart.</summary>
    private const string Tokenizer = """
        {"added_tokens":[{"id":1,"content":"<s>","special":true},{"id":2,"content":"</s>","special":true}],
         "pre_tokenizer":{"type":"ByteLevel","add_prefix_space":false,"use_regex":true},"decoder":{"type":"ByteLevel"},
         "model":{"type":"BPE","vocab":{"a":0,"<s>":1,"</s>":2,"b":3,"ab":4},"merges":["a b"]}}
        """;

    private static (double Perplexity, int[] Likeliest) Predict(string artifact, string tokens, int width, int windows)
    {
        using PackedModel model = PackedModel.Open(artifact);
        long[] ids = [.. MemoryMarshal.Cast<byte, ushort>(File.ReadAllBytes(tokens).AsSpan(0, 2 * width * windows)).ToArray().Select(id => (long)id)];
        double loss = 0;
        var likeliest = new List<int>();
        for (int i = 0; i < windows; i++)
        {
            long[] window = ids[(i * width)..((i + 1) * width)];
            float[] logits = model.Run(NamedTensor.Of("input_ids", window, 1, width))[0].Values<float>().ToArray();
            int vocabulary = logits.Length / width;
            for (int t = 0; t + 1 < width; t++)
            {
                ReadOnlySpan<float> row = logits.AsSpan(t * vocabulary, vocabulary);
                double sum = 0;
                int best = 0;
                for (int v = 0; v < vocabulary; v++)
                {
                    best = row[v] > row[best] ? v : best;
                    sum += Math.Exp(row[v]);
                }

                loss += Math.Log(sum) - row[(int)window[t + 1]];
                if (i == 0)
                {
                    likeliest.Add(best);
                }
            }
        }

        return (Math.Exp(loss / (windows * (width - 1))), [.. likeliest]);
    }
}

/// <summary>A program with llama.cpp in it (LLamaSharp), built once for all tests when packages can be had.</summary>
public sealed class LlamaCppHost : IDisposable
{
    private readonly PeerProgram _program = new("LlamaCpp");

    /// <summary>Skips the calling test where the program cannot be built, and in an ordinary run.</summary>
    public void Require()
    {
        Skip.IfNot(LongTests.Wanted, "builds a program with llama.cpp; runs in .ci/run");
        Skip.If(RuntimeInformation.ProcessArchitecture is not (Architecture.X64 or Architecture.Arm64), "LLamaSharp has no llama.cpp for this processor");
        Skip.If(_program.Failure.Length > 0, $"LLamaSharp cannot be had: {_program.Failure}");
    }

    /// <summary>Perplexity of windows of tokens, and the likeliest token after each of the first window but the last.</summary>
    public (double Perplexity, int[] Likeliest) Run(string gguf, string tokens, int window, int windows)
    {
        string[] lines = _program.Run(gguf, tokens, window.ToString(CultureInfo.InvariantCulture), windows.ToString(CultureInfo.InvariantCulture));
        return (double.Parse(lines[0], CultureInfo.InvariantCulture), [.. lines[1].Split(' ').Select(t => int.Parse(t, CultureInfo.InvariantCulture))]);
    }

    /// <summary>The ids of texts, one line each, with what the vocabulary puts around them.</summary>
    public string[] Tokenize(string gguf, string[] texts) => _program.Run([gguf, "--tokenize", .. texts]);

    public void Dispose() => _program.Dispose();
}
