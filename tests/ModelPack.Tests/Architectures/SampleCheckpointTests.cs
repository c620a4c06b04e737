using System.Runtime.InteropServices;
using ModelPack.Runtime;
using ModelPack.Testing;
using ModelPack.Toolchain;
using Xunit;

namespace ModelPack.Tests.Architectures;

/// <summary>The sample model as a checkpoint folder, without the graph that lies beside it.</summary>
public sealed class SampleCheckpointTests
{
    private const int Tokens = 32;
    private const int Vocabulary = 4096;
    private static readonly string Sample = RepositoryTree.PathTo("samples", "models", "tinyllama");

    [Fact]
    public void Logits_areThoseOfTheReference()
    {
        using var folder = new TempFolder();
        float[] expected = MemoryMarshal.Cast<byte, float>(File.ReadAllBytes(RepositoryTree.PathTo("tests", "ModelPack.Tests", "Architectures", "golden", "tinyllama.reference_logits.f32.bin"))).ToArray();
        using ModelSession session = ModelInput.Open(CopyWithoutGraph(folder), new ModelSessionOptions { Threads = 1 });

        NamedTensor logits = session.Run(NamedTensor.Of("input_ids", FirstTokens(), 1, Tokens)).Single();

        Assert.Equal(Tokens * Vocabulary, expected.Length);
        float worst = 0;
        for (int i = 0; i < expected.Length; i++)
        {
            worst = Math.Max(worst, Math.Abs(logits.Values<float>()[i] - expected[i]));
        }

        Assert.InRange(worst, 0, 2e-3f);
    }

    /// <summary>The whole text only in long runs: 337 windows take a minute.</summary>
    [Fact]
    public void Perplexity_isThatOfTheModel()
    {
        using var folder = new TempFolder();
        string tokens = Path.Combine(Sample, "eval_dev.tokens.bin");
        if (!LongTests.Wanted)
        {
            tokens = folder.Write("some.bin", File.ReadAllBytes(tokens).AsSpan(0, 8 * 256 * sizeof(ushort)));
        }

        double built = Evaluation.Perplexity(CopyWithoutGraph(folder), tokens).Perplexity!.Value;

        Assert.Equal(LongTests.Wanted ? 38.748 : Evaluation.Perplexity(Path.Combine(Sample, "model.onnx"), tokens).Perplexity!.Value, built, 3);
    }

    internal static string CopyWithoutGraph(TempFolder folder)
    {
        foreach (string name in new[] { "config.json", "model.safetensors", "tokenizer.json", "vocab.json", "merges.txt" })
        {
            folder.Write($"tinyllama/{name}", File.ReadAllBytes(Path.Combine(Sample, name)));
        }

        return folder["tinyllama"];
    }

    private static long[] FirstTokens()
    {
        ushort[] ids = new ushort[Tokens];
        using TokenFile file = TokenFile.Open(Path.Combine(Sample, "eval_dev.tokens.bin"));
        file.Read(0, ids);
        return [.. ids.Select(i => (long)i)];
    }
}
