using Microsoft.ML.OnnxRuntime.Tensors;
using ModelPack.Architectures;
using ModelPack.Runtime;
using ModelPack.Runtime.Evaluation;
using ModelPack.Runtime.Generation;
using ModelPack.Runtime.Text;
using ModelPack.Testing;
using ModelPack.Tests.Cli;
using ModelPack.Toolchain;
using Xunit;

namespace ModelPack.Tests.Runtime.Generation;

public sealed class TextGeneratorTests(SampleArtifacts sample) : IClassFixture<SampleArtifacts>
{
    private const string Prompt = "It was late in the evening when she";
    private static readonly ModelSessionOptions OneThread = new() { Threads = 1 };
    private static readonly GenerationOptions Drawn = new() { MaxTokens = 24, Temperature = 0.8, TopK = 40, TopP = 0.95, Seed = 7 };

    /// <summary>Also for a prompt of more than one chunk.</summary>
    [Theory]
    [InlineData(1)]
    [InlineData(18)]
    public void GenerateTokens_cached_areThoseOfTheFullGraph(int repeat)
    {
        using TextGenerator cached = TextGenerator.Open(sample.Cached, OneThread);
        using TextGenerator full = TextGenerator.Open(sample.Full, OneThread);
        int[] prompt = [.. Enumerable.Repeat(cached.Tokenizer.Encode(Prompt), repeat).SelectMany(i => i)];
        int[] expected = [.. full.GenerateTokens(prompt)];

        Assert.Equal((true, false, 256), (cached.HasCache, full.HasCache, cached.ContextLength));
        Assert.Equal(64, expected.Length);
        Assert.Equal(expected, cached.GenerateTokens(prompt));
    }

    /// <summary>Keys and values in 16 and 8 bits: an artifact, verified by compiling again, and a folder; a prompt of several chunks, and more tokens than room was made for.</summary>
    [Theory]
    [InlineData(GraphForm.CachedF16, "f16")]
    [InlineData(GraphForm.CachedInt8, "int8")]
    public void GenerateTokens_narrowCache_goesOnAsTheFullGraphForAWhile(GraphForm form, string type)
    {
        using var folder = new TempFolder();
        string artifact = folder["m.mpack"];
        ModelCompiler.Compile(new CompileRequest { Input = SampleArtifacts.Folder, Output = artifact, Recipe = "int4", Form = form });
        Assert.Empty(Verification.Verify(artifact, rederive: SampleArtifacts.Folder).Errors);
        using TextGenerator narrow = TextGenerator.Open(artifact, OneThread);
        using TextGenerator full = TextGenerator.Open(sample.Full, OneThread);
        int[] prompt = [.. Enumerable.Repeat(full.Tokenizer.Encode(Prompt), 18).SelectMany(i => i)];
        int[] expected = [.. full.GenerateTokens(prompt, new GenerationOptions { MaxTokens = 12 })];
        Assert.True(narrow.HasCache);
        Assert.Equal(expected, narrow.GenerateTokens(prompt, new GenerationOptions { MaxTokens = 12 }));

        (int code, string text, string error) = CliHarness.Run(["run", SampleArtifacts.Folder, "--prompt", Prompt, "--max-tokens", "8", "--kv-cache", type, "--quiet"]);
        Assert.True(code == 0 && text.Length > 8, error);
        (code, _, error) = CliHarness.Run(["run", artifact, "--prompt", Prompt, "--kv-cache", type]);
        Assert.Equal(1, code);
        Assert.Contains("MP5036", error, StringComparison.Ordinal);
        (code, _, error) = CliHarness.Run(["compile", SampleArtifacts.Folder, "-o", folder["n.mpack"], "--kv-cache=int9"]);
        Assert.Equal(2, code);
        Assert.Contains("--kv-cache 'int9' is not one of f32, f16, int8", error, StringComparison.Ordinal);
    }

    /// <summary>Attention in ONNX Runtime's operators, from prompts of several chunks; GenAI's way of filling prompts up does not go with it.</summary>
    [Theory]
    [InlineData(1)]
    [InlineData(18)]
    public void GenerateTokens_fusedAttention_areThoseOfTheFullGraph(int repeat)
    {
        using var folder = new TempFolder();
        string artifact = folder["m.mpack"];
        ModelCompiler.Compile(new CompileRequest { Input = SampleArtifacts.Folder, Output = artifact, Recipe = "int4", Form = GraphForm.CachedFused });
        Assert.Empty(Verification.Verify(artifact, rederive: SampleArtifacts.Folder).Errors);
        using TextGenerator fused = TextGenerator.Open(artifact, OneThread);
        using TextGenerator full = TextGenerator.Open(sample.Full, OneThread);
        int[] prompt = [.. Enumerable.Repeat(full.Tokenizer.Encode(Prompt), repeat).SelectMany(i => i)];

        Assert.True(fused.HasCache);
        Assert.Equal(full.GenerateTokens(prompt), fused.GenerateTokens(prompt));
        Assert.Equal(ErrorCodes.NoGenAiDecoder, Assert.Throws<ModelPackException>(() => Exporting.Export(artifact, "genai", folder["genai"])).Code);
    }

    /// <summary>Buffers grow when more comes than was expected, and nothing is lost by it; what an earlier sequence left in them is not seen.</summary>
    [Theory]
    [InlineData(GraphForm.Cached)]
    [InlineData(GraphForm.CachedFused)]
    public void SequenceState_beyondWhatWasExpected_goesOn(GraphForm form)
    {
        using ModelSession session = ModelInput.Open(SampleArtifacts.Folder, OneThread, form);
        LanguageModelSignature signature = LanguageModelSignature.Of(session, window: 1);
        using var pool = new KeyValuePool(session, signature);
        int[] ids = [.. Enumerable.Range(5, 230)];
        var last = new List<float[]>();
        foreach (long expected in new[] { 256L, 3, 150, 0 })
        {
            // The second and the third one have the memory of the one before, of which the first has enough for all.
            using var state = new SequenceState(session, signature, pool, expected);
            Assert.Equal(0, pool.IdleBytes);
            ReadOnlySpan<float> logits = expected == 256 ? state.Append(ids, CancellationToken.None) : state.Append([ids[0], ids[1], ids[2]], CancellationToken.None);
            for (int i = 3; i < ids.Length && expected != 256; i++)
            {
                logits = state.Append([ids[i]], CancellationToken.None);
            }

            last.Add(logits.ToArray());
        }

        Assert.InRange(pool.IdleBytes, 1, KeyValuePool.MostIdleBytes);
        Assert.All(last, logits => Assert.InRange(last[0].Zip(logits, (x, y) => Math.Abs(x - y)).Max(), 0, 1e-4f));
    }

    /// <summary>One memory for past and present: every token is where it was put, however often room was made and in whichever memory.</summary>
    [Theory]
    [InlineData(4096)]
    [InlineData(200)]
    [InlineData(0)]
    public void SharedKeyValues_keepsEveryHeadOfEveryToken(long expected)
    {
        using var memory = new SharedKeyValues("past_key_values.0.key", TensorElementType.Float, sizeof(float), heads: 3, channels: 8);
        for (int round = 0; round < 2; round++)
        {
            for (int past = 0, step = 70; past < 1500; past += step, step = step == 70 ? 1 : step == 1 ? 129 : 70)
            {
                int total = past + step;
                memory.Prepare(past, total, expected);
                Assert.Same(memory.Past, memory.Present);
                long[] shape = memory.Past.GetTensorTypeAndShape().Shape;
                Assert.Equal((1L, 3L, 8L), (shape[0], shape[1], shape[3]));
                Assert.InRange(shape[2], total, Math.Max(1.5 * total, total + 128));
                Span<float> values = memory.Past.GetTensorMutableDataAsSpan<float>();
                for (int head = 0; head < 3; head++)
                {
                    Span<float> own = values.Slice((int)(head * shape[2] * 8), total * 8);
                    for (int i = 0; i < past * 8; i++)
                    {
                        Assert.Equal((head * 100_000) + i, own[i]);
                    }

                    for (int i = past * 8; i < own.Length; i++)
                    {
                        own[i] = (head * 100_000) + i;
                    }
                }

                memory.Advance();
            }

            Assert.InRange(memory.AllocatedBytes, 1500 * 3 * 8 * sizeof(float), 4096 * 3 * 8 * sizeof(float));
            memory.Reset();
        }
    }

    /// <summary>Sequences beside each other and one after the other share a pool of memory and nothing else.</summary>
    [Fact]
    public void GenerateTokens_manyAtOnce_areThoseOfEachAlone()
    {
        using TextGenerator generator = TextGenerator.Create(ModelInput.Open(SampleArtifacts.Folder, TextGenerator.ForGeneration(OneThread), GraphForm.CachedFused), ModelInput.Files(SampleArtifacts.Folder, TextGenerator.MaxFileBytes));
        var options = new GenerationOptions { MaxTokens = 12 };
        int[][] prompts = [.. Enumerable.Range(0, 16).Select(i => (int[])[.. Enumerable.Range(40 * i, 3 + (9 * i))])];
        int[][] alone = [.. prompts.Select(p => (int[])[.. generator.GenerateTokens(p, options)])];
        int[][] together = new int[prompts.Length][];
        Parallel.For(0, prompts.Length, new ParallelOptions { MaxDegreeOfParallelism = 8 }, i => together[i] = [.. generator.GenerateTokens(prompts[i], options)]);
        Assert.Equal(alone, together);
    }

    /// <summary>Memory that is idle is bounded; what is returned after the end is freed.</summary>
    [Fact]
    public void KeyValuePool_keepsAFewAndNoMore()
    {
        using ModelSession session = ModelInput.Open(SampleArtifacts.Folder, OneThread, GraphForm.CachedFused);
        var pool = new KeyValuePool(session, LanguageModelSignature.Of(session, window: 1));
        IKeyValueMemory[][] sets = [.. Enumerable.Range(0, 5).Select(_ => pool.Rent()!)];
        Assert.Equal(16, sets[0].Length);
        foreach (IKeyValueMemory memory in sets.SelectMany(s => s))
        {
            memory.Prepare(0, 1, 2048); // 16 MB of every sequence.
        }

        Array.ForEach(sets[..3], pool.Return);
        Assert.Equal(3 << 24, pool.IdleBytes);
        Assert.Same(sets[2], pool.Rent());
        Array.ForEach(sets[2..], pool.Return);
        Assert.Equal(4 << 24, pool.IdleBytes);
        IKeyValueMemory[] late = pool.Rent()!;
        pool.Dispose();
        pool.Return(late);
        Assert.Equal(0, pool.IdleBytes);
        Assert.Throws<ObjectDisposedException>(() => late[0].Prepare(0, 1, 1));
    }

    [Fact]
    public void Generate_sameSeed_sameText_otherSeed_otherText()
    {
        using TextGenerator generator = TextGenerator.Open(sample.Cached, OneThread);
        string first = generator.Generate(Prompt, Drawn).Text;
        Assert.Equal(first, generator.Generate(Prompt, Drawn).Text);
        Assert.NotEqual(first, generator.Generate(Prompt, Drawn with { Seed = 8 }).Text);
    }

    [Fact]
    public async Task GenerateAsync_givesThePiecesOfTheText()
    {
        using TextGenerator generator = TextGenerator.Open(sample.Cached, OneThread);
        var streamed = new List<string>();
        await foreach (string piece in generator.GenerateAsync(Prompt, Drawn))
        {
            streamed.Add(piece);
        }

        Assert.InRange(streamed.Count, 10, Drawn.MaxTokens);
        Assert.Equal(generator.Generate(Prompt, Drawn).Text, string.Concat(streamed));
    }

    /// <summary>As README shows it.</summary>
    [Fact]
    public async Task GenerateAsync_asInReadme()
    {
        string artifact = sample.Cached;
        using var output = new StringWriter();
        using TextGenerator generator = TextGenerator.Open(artifact);
        await foreach (string piece in generator.GenerateAsync("The old man", new GenerationOptions { MaxTokens = 40 }))
        {
            output.Write(piece);
        }

        Assert.StartsWith(" ", output.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task GenerateAsync_cancelled_throws()
    {
        using var cancel = new CancellationTokenSource();
        using TextGenerator generator = TextGenerator.Open(sample.Cached, OneThread);
        await Assert.ThrowsAnyAsync<OperationCanceledException>(async () =>
        {
            await foreach (string _ in generator.GenerateAsync(Prompt, null, cancel.Token))
            {
                await cancel.CancelAsync();
            }
        });
    }

    [Fact]
    public void Generate_stopString_endsBeforeIt()
    {
        using TextGenerator generator = TextGenerator.Open(sample.Cached, OneThread);
        GenerationResult whole = generator.Generate(Prompt);
        string stop = whole.Text[17..23]; // Begins and ends within tokens.
        GenerationResult cut = generator.Generate(Prompt, new GenerationOptions { StopStrings = [stop] });

        Assert.Equal((StopReason.MaxTokens, 64), (whole.StopReason, whole.Tokens));
        Assert.Equal(StopReason.StopString, cut.StopReason);
        Assert.Equal(whole.Text[..whole.Text.IndexOf(stop, StringComparison.Ordinal)], cut.Text);
    }

    [Fact]
    public void Generate_contextFull_endsThere()
    {
        using TextGenerator generator = TextGenerator.Open(sample.Cached, OneThread);
        GenerationResult result = generator.Generate(Prompt, new GenerationOptions { MaxTokens = 1000 });
        Assert.Equal((StopReason.ContextLength, 256), (result.StopReason, result.PromptTokens + result.Tokens));
        Assert.True(result.FirstTokenSeconds > 0 && result.TokensPerSecond > 0);
    }

    /// <summary>A configuration that names the first token of the greedy text as the end.</summary>
    [Theory]
    [InlineData("generation_config.json", """{"eos_token_id":[5,ID]}""", StopReason.EndOfText)]
    [InlineData("generation_config.json", """{"eos_token_id":null}""", StopReason.MaxTokens)]
    [InlineData("config.json", """{"eos_token_id":ID}""", StopReason.EndOfText)]
    [InlineData("config.json", """{"text_config":{"eos_token_id":ID,"max_position_embeddings":8}}""", StopReason.EndOfText)]
    public void Generate_endToken_ends(string name, string json, StopReason expected)
    {
        using TextGenerator generator = TextGenerator.Open(sample.Cached, OneThread);
        int[] prompt = [.. generator.Tokenizer.Encode("The sea")];
        int first = generator.GenerateTokens(prompt).First();
        using TextGenerator changed = WithFile(name, json.Replace("ID", $"{first}", StringComparison.Ordinal));
        Assert.Equal(expected, changed.Generate("The sea", new GenerationOptions { MaxTokens = 3 }).StopReason);
    }

    /// <summary>Graphs with LongRoPE or dynamic scaling are right up to their original length only.</summary>
    [Theory]
    [InlineData("""{}""", null)]
    [InlineData("""{"max_position_embeddings":128}""", 128)]
    [InlineData("""{"text_config":{"max_position_embeddings":128}}""", 128)]
    [InlineData("""{"max_position_embeddings":128,"original_max_position_embeddings":32,"rope_scaling":{"type":"longrope"}}""", 32)]
    [InlineData("""{"max_position_embeddings":128,"rope_parameters":{"rope_type":"dynamic","original_max_position_embeddings":64}}""", 64)]
    [InlineData("""{"max_position_embeddings":128,"rope_scaling":{"rope_type":"llama3","original_max_position_embeddings":64}}""", 128)]
    public void Open_configuration_givesTheContext(string config, int? expected)
    {
        using TextGenerator generator = WithFile("config.json", config);
        Assert.Equal(expected, generator.ContextLength);
    }

    [Fact]
    public void Open_damagedConfiguration_isMP5031()
    {
        var error = Assert.Throws<ModelPackException>(() => WithFile("config.json", """{"eos_token_id":"x"}"""));
        Assert.Equal((ErrorCodes.BadTokenizer, sample.Cached), (error.Code, error.Path));
        Assert.Contains("config.json: eos_token_id is not a number", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Generate_cancelled_stopsAndFrees()
    {
        using var cancel = new CancellationTokenSource();
        TextGenerator generator = TextGenerator.Open(sample.Cached, OneThread);
        int pieces = 0;
        Assert.ThrowsAny<OperationCanceledException>(() => generator.Generate(Prompt, null, _ =>
        {
            if (++pieces == 3)
            {
                cancel.Cancel();
            }
        }, cancel.Token));
        Assert.Equal(3, pieces);
        Assert.Equal(64, generator.Generate(Prompt).Tokens); // Sequences are independent.
        generator.Dispose();
        Assert.Throws<ObjectDisposedException>(() => generator.Generate(Prompt));
    }

    [Theory]
    [InlineData("")]
    [InlineData("x x x x x x x x x x x x x x x x x x x x x x x x x x x x x x x x")]
    public void Generate_badPrompt_isMP5033(string prompt)
    {
        using TextGenerator generator = TextGenerator.Open(sample.Cached, OneThread);
        var error = Assert.Throws<ModelPackException>(() => generator.Generate(string.Concat(Enumerable.Repeat(prompt, 9))));
        Assert.Equal((ErrorCodes.BadPrompt, sample.Cached), (error.Code, error.Path));
    }

    [Fact]
    public void Generate_optionsOutOfRange_areRefused()
    {
        using TextGenerator generator = TextGenerator.Open(sample.Cached, OneThread);
        GenerationOptions[] bad =
        [
            new() { MaxTokens = 0 }, new() { TopK = -1 }, new() { TopP = 0 }, new() { TopP = 1.1 }, new() { TopP = double.NaN },
            new() { Temperature = -1 }, new() { Temperature = double.NaN }, new() { StopStrings = [""] },
        ];
        Assert.All(bad, o => Assert.Throws<ArgumentOutOfRangeException>(() => generator.Generate(Prompt, o)));
        Assert.All(bad, o => Assert.Throws<ArgumentOutOfRangeException>(() => generator.GenerateTokens([1], o)));
    }

    /// <summary>A tokenizer that does not belong to the model says so before ONNX Runtime looks for a row that is not there.</summary>
    [Theory]
    [InlineData(4096)]
    [InlineData(-1)]
    public void Generate_tokenThatTheModelDoesNotHave_isMP5040(int id)
    {
        using TextGenerator generator = TextGenerator.Open(sample.Cached, OneThread);
        var error = Assert.Throws<ModelPackException>(() => generator.GenerateTokens([5, id], new GenerationOptions { MaxTokens = 1 }).ToArray());
        Assert.Equal(ErrorCodes.TokenNotInModel, error.Code);
        Assert.Contains("none of the 4096", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Open_modelWithoutTokenizer_isMP5030()
    {
        var error = Assert.Throws<ModelPackException>(() => TextGenerator.Open(Path.Combine(SampleArtifacts.Folder, "model.onnx")));
        Assert.Equal(ErrorCodes.NoTokenizer, error.Code);
    }

    /// <summary>As of files beside a model: an artifact says that it has none.</summary>
    [Fact]
    public void Open_artifactWithoutTokenizer_isMP5030()
    {
        using var folder = new TempFolder();
        ModelCompiler.Compile(new CompileRequest { Input = Path.Combine(SampleArtifacts.Folder, "model.onnx"), Output = folder["m.mpack"], Recipe = "int4" });
        var error = Assert.Throws<ModelPackException>(() => TextGenerator.Open(folder["m.mpack"]));
        Assert.Equal(ErrorCodes.NoTokenizer, error.Code);
    }

    [Fact]
    public void Chat_artifactWithoutTemplate_isMP5035()
    {
        using TextGenerator generator = TextGenerator.Open(sample.Cached, OneThread);
        var error = Assert.Throws<ModelPackException>(() => generator.Chat([new ChatMessage("user", "Hi")]));
        Assert.Equal(ErrorCodes.BadChatTemplate, error.Code);
        Assert.Contains("no chat template", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Open_otherModel_isMP5020()
    {
        using var folder = new TempFolder();
        string path = folder.Write("m.onnx", SmallModels.Mlp(SmallModels.Values(SmallModels.K * SmallModels.N, 1), SmallModels.Values(SmallModels.N, 2), external: false));
        Assert.Equal(ErrorCodes.NotALanguageModel, Assert.Throws<ModelPackException>(() => TextGenerator.Open(path)).Code);
    }

    [Fact]
    public void Run_prompt_writesTheTextAndALineAboutIt()
    {
        using TextGenerator generator = TextGenerator.Open(sample.Cached, OneThread);
        string expected = generator.Generate("The sea", new GenerationOptions { MaxTokens = 12 }).Text;
        string[] args = ["--prompt", "The sea", "--max-tokens", "12", "--threads", "1"];

        (int code, string text, string error) = CliHarness.Run(["run", sample.Cached, .. args]);
        Assert.Equal((0, expected + "\n"), (code, text));
        Assert.Matches(@"^12 tokens after 2 of the prompt; first after .*, then .* tokens/s; ended by max tokens\n$", error);

        (code, text, error) = CliHarness.Run(["run", sample.Full, "--quiet", .. args]);
        Assert.Equal((0, expected + "\n", ""), (code, text, error));

        (code, text, error) = CliHarness.Run(["run", sample.Full, "--json", .. args]);
        System.Text.Json.JsonElement json = System.Text.Json.JsonDocument.Parse(text).RootElement;
        Assert.Equal((0, expected, 2, 12, "max_tokens"), (code, json.GetProperty("text").GetString(), json.GetProperty("prompt_tokens").GetInt32(), json.GetProperty("tokens").GetInt32(), json.GetProperty("stop_reason").GetString()));
        Assert.True(json.GetProperty("first_token_seconds").GetDouble() > 0 && json.GetProperty("tokens_per_second").GetDouble() > 0);
        Assert.Contains("compiled without --kv-cache", error, StringComparison.Ordinal);

        (code, text, _) = CliHarness.Run(["run", SampleArtifacts.Folder, "--quiet", .. args]);
        Assert.Equal((0, true), (code, text.Length > 10));
    }

    [Theory]
    [InlineData(2, "not a number above 0 and up to 1", "--prompt", "x", "--top-p", "0")]
    [InlineData(2, "not a number from 0 to 100", "--prompt", "x", "--temperature", "NaN")]
    [InlineData(2, "not a whole number from 1", "--prompt", "x", "--max-tokens", "0")]
    [InlineData(2, "--stop is empty", "--prompt", "x", "--stop", "")]
    [InlineData(2, "--top-k needs a text to continue", "--top-k", "3")]
    [InlineData(2, "does not go with --input", "--prompt", "x", "--input", "input_ids=random")]
    [InlineData(1, "error MP5033: the prompt is empty", "--prompt", "")]
    public void Run_wrongOptions_areOneLine(int expected, string line, params string[] args)
    {
        (int code, string text, string error) = CliHarness.Run(["run", sample.Cached, .. args]);
        Assert.Equal((expected, ""), (code, text));
        Assert.Contains(line, error, StringComparison.Ordinal);
        Assert.Single(error.TrimEnd().Split('\n'));
    }

    [Fact]
    public void PrintableText_keepsLinesAndTabs_andNothingThatATerminalObeys() => Assert.Equal("a\n\tb?[31mc?", ModelPack.Cli.Words.PrintableText("a\n\tb\u001b[31mc\r"));

    /// <summary>The sample with one of its files replaced; no other configuration.</summary>
    private TextGenerator WithFile(string name, string text) => TextGenerator.Create(
        ModelSession.Open(sample.Cached, OneThread),
        file => file == name ? System.Text.Encoding.UTF8.GetBytes(text)
            : file == "tokenizer.json" ? File.ReadAllBytes(Path.Combine(SampleArtifacts.Folder, file)) : (ReadOnlyMemory<byte>?)null);
}
