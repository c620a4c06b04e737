using ModelPack.Runtime.Generation;
using ModelPack.Testing;
using ModelPack.Toolchain;

namespace ModelPack.EndToEnd.Tests.GenAi;

/// <summary>Folders of <c>export --to genai</c>, loaded by ONNX Runtime GenAI itself: its greedy texts must be those of our own generator, alone and in batches of prompts of different lengths.</summary>
public sealed class GenAiTests : IClassFixture<GenAiHost>
{
    private const int Length = 60;

    private static readonly string[] Prompts = ["It was late in the evening when she", "The old man", "He said that"];

    private readonly GenAiHost _host;

    public GenAiTests(GenAiHost host) => _host = host;

    [SkippableTheory]
    [InlineData("lossless", "Cached")]
    [InlineData("int4", "Cached")]
    [InlineData("int8", "CachedF16")]
    public void GenAi_writes_what_the_artifact_writes(string recipe, string form)
    {
        _host.Require();
        using var folder = new TempFolder();
        ModelCompiler.Compile(new CompileRequest { Input = SamplePaths.Checkpoint, Output = folder["m.mpack"], Recipe = recipe, Form = Enum.Parse<ModelPack.Architectures.GraphForm>(form) });
        ExportResult exported = Exporting.Export(folder["m.mpack"], "genai", folder["genai"]);
        Assert.Empty(exported.Warnings);
        Assert.Empty(Checking.Check(folder["genai"], "ort").Findings);

        string[] lines = _host.Run(folder["genai"], Length, Prompts);

        using TextGenerator generator = TextGenerator.Open(folder["m.mpack"]);
        Assert.Equal((2 * Prompts.Length) + 1, lines.Length);
        int widest = Prompts.Max(p => generator.Tokenizer.Encode(p).Length);
        for (int i = 0; i < Prompts.Length; i++)
        {
            int[] prompt = [.. generator.Tokenizer.Encode(Prompts[i])];
            int[] text = [.. generator.GenerateTokens(prompt, new GenerationOptions { MaxTokens = Length - prompt.Length })];
            Assert.Equal(Length, prompt.Length + text.Length);
            Assert.Equal([.. prompt, .. text], Ids(lines[i]));

            int[] batched = Ids(lines[Prompts.Length + i]);
            Assert.Equal(prompt, batched[..prompt.Length]);
            Assert.Equal(text[..(Length - widest)], batched[widest..]); // What is between fills the prompt up.
        }

        Assert.Equal(generator.Tokenizer.Decode(Ids(lines[Prompts.Length])).ReplaceLineEndings(" "), lines[^1]);
    }

    private static int[] Ids(string line) => [.. line.Split(' ').Select(int.Parse)];
}

/// <summary>A program with ONNX Runtime GenAI in it, built once for all tests when packages can be had.</summary>
public sealed class GenAiHost : IDisposable
{
    private readonly PeerProgram _program = new("GenAi");

    /// <summary>Skips the calling test where the program cannot be built, and in an ordinary run.</summary>
    public void Require()
    {
        Skip.IfNot(LongTests.Wanted, "builds a program with ONNX Runtime GenAI; runs in .ci/run");
        Skip.If(_program.Failure.Length > 0, $"Microsoft.ML.OnnxRuntimeGenAI cannot be had: {_program.Failure}");
    }

    /// <summary>Lines of ids: every prompt continued alone, then all in one batch; then the text of the first.</summary>
    public string[] Run(string model, int length, IEnumerable<string> prompts) => _program.Run([model, $"{length}", .. prompts]);

    public void Dispose() => _program.Dispose();
}
