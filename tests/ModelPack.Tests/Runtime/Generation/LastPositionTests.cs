using ModelPack.Runtime;
using ModelPack.Runtime.Generation;
using ModelPack.Runtime.Graphs;
using ModelPack.Testing;
using ModelPack.Testing.Onnx;
using ModelPack.Tests.Architectures;
using ModelPack.Toolchain;
using Xunit;

namespace ModelPack.Tests.Runtime.Generation;

/// <summary>Generation computes the scores behind the last token only; they are those of a session that computes all.</summary>
public sealed class LastPositionTests(SampleArtifacts sample) : IClassFixture<SampleArtifacts>
{
    private const int Hidden = 8;
    private const int Vocabulary = 96;
    private static readonly ModelSessionOptions Options = new() { Threads = 1 };
    private static readonly ModelSessionOptions Last = TextGenerator.ForGeneration(Options);

    /// <summary>An artifact that runs our kernels, the same with stock operators as an .onnx file beside its weights, and an .onnx file by others' rules.</summary>
    [Theory]
    [InlineData("artifact")]
    [InlineData("export")]
    [InlineData("model.onnx")]
    public void Open_forGeneration_givesTheLastRowOfAll(string kind)
    {
        using var folder = new TempFolder();
        string path = kind == "artifact" ? sample.Full : Path.Combine(SampleArtifacts.Folder, kind);
        if (kind == "export")
        {
            path = folder["m.onnx"];
            Exporting.Export(sample.Full, "onnx", path);
        }

        using ModelSession all = ModelSession.Open(path, Options);
        using ModelSession last = ModelSession.Open(path, Last);
        Assert.Equal((false, true), (all.GivesLastPosition, last.GivesLastPosition));
        AssertLastRows(all, last, batch: 2);
    }

    /// <summary>Heads with and without a product of their own, with caps of the scores, of experts and of latent attention.</summary>
    [Theory]
    [MemberData(nameof(Families))]
    public void Families_giveTheLastRowOfAll(string name)
    {
        using var folder = new TempFolder();
        string path = FamilyCases.Make(name).Write(folder);
        using ModelSession all = ModelInput.Open(path, Options);
        using ModelSession last = ModelInput.Open(path, Last);
        Assert.True(last.GivesLastPosition);
        AssertLastRows(all, last, batch: 2);
    }

    public static TheoryData<string> Families => [.. FamilyCases.Names];

    /// <summary>Token for token what the scores of all positions say, from prompts of one chunk, of several, and of a whole number of them.</summary>
    [Theory]
    [InlineData(5)]
    [InlineData(128)]
    [InlineData(150)]
    public void GenerateTokens_areTheGreatestScoresOfAllPositions(int count)
    {
        using TextGenerator generator = TextGenerator.Open(sample.Cached, Options);
        using ModelSession all = ModelSession.Open(sample.Full, Options);
        var ids = FamilyCases.Ids(count, seed: 5).ToList();
        int[] tokens = [.. generator.GenerateTokens([.. ids.Select(i => (int)i)], new GenerationOptions { MaxTokens = 12 })];
        Assert.NotEmpty(tokens);
        foreach (int token in tokens)
        {
            NamedTensor logits = all.Run(NamedTensor.Of("input_ids", ids.ToArray(), 1, ids.Count)).Single();
            ReadOnlySpan<float> row = logits.Values<float>()[^(int)logits.Shape.Dims[^1]..];
            Assert.Equal(IndexOfMax(row), token);
            ids.Add(token);
        }
    }

    /// <summary>What may look at other positions, or is read by something else, stays as it is.</summary>
    [Theory]
    [InlineData("product", true)]
    [InlineData("gemm", true)]
    [InlineData("scaled", true)]
    [InlineData("capped in f16", true)]
    [InlineData("normed over positions", false)]
    [InlineData("scores read twice", false)]
    [InlineData("scores in between given", false)]
    [InlineData("weight computed from tokens", false)]
    [InlineData("positions as columns", false)]
    [InlineData("fixed window", false)]
    [InlineData("old opset", false)]
    [InlineData("other name", false)]
    [InlineData("subgraph", false)]
    public void TryKeepOnly_heads(string head, bool expected)
    {
        byte[] model = Model(head);
        byte[]? rewritten = LastPosition.TryKeepOnly(model);
        Assert.Equal(expected, rewritten is not null);
        if (!expected)
        {
            return;
        }

        using var folder = new TempFolder();
        File.WriteAllBytes(folder["m.onnx"], model);
        using ModelSession all = ModelSession.Open(folder["m.onnx"], Options);
        using ModelSession last = ModelSession.Open(folder["m.onnx"], Last);
        Assert.True(last.GivesLastPosition);
        AssertLastRows(all, last, batch: 2);
    }

    [Fact]
    public void Open_damagedFile_isTheErrorOfOnnxRuntime()
    {
        using var folder = new TempFolder();
        File.WriteAllBytes(folder["m.onnx"], [.. Model("product").AsSpan(0, 200)]);
        Assert.Equal(ErrorCodes.SessionNotCreated, Assert.Throws<ModelPackException>(() => ModelSession.Open(folder["m.onnx"], Last)).Code);
    }

    /// <summary>Ids to an embedding, and a head.</summary>
    private static byte[] Model(string head)
    {
        OnnxBuilder model = new OnnxBuilder(head == "old opset" ? 10 : 17)
            .Input("input_ids", OnnxBuilder.Int64, "batch", head == "fixed window" ? 4 : "seq")
            .Output(head == "other name" ? "scores" : "logits", OnnxBuilder.Float, "batch", "seq", Vocabulary)
            .Initializer("table", SmallModels.Values(Vocabulary * Hidden, 1), Vocabulary, Hidden)
            .Initializer("w", SmallModels.Values(Vocabulary * Hidden, 2), Hidden, Vocabulary)
            .Initializer("cap", [2f])
            .Initializer("flat", (ReadOnlySpan<long>)[-1, Hidden], 2)
            .Initializer("vocabulary", (ReadOnlySpan<long>)[Vocabulary], 1)
            .Node("Gather", ["table", "input_ids"], ["x"]);
        switch (head)
        {
            case "gemm":
                model.Node("Reshape", ["x", "flat"], ["rows"]).Node("Gemm", ["rows", "table"], ["product"], attributes: ("transB", 1L))
                    .Node("Shape", ["x"], ["shape"], attributes: [("start", 0L), ("end", 2L)]).Node("Concat", ["shape", "vocabulary"], ["size"], attributes: ("axis", 0L)).Node("Reshape", ["product", "size"], ["logits"]);
                break;
            case "positions as columns":
                model.Node("Transpose", ["x"], ["turned"], attributes: ("perm", new long[] { 2, 0, 1 })).Node("Reshape", ["turned", "flat"], ["rows"]).Node("Gemm", ["rows", "table"], ["product"], attributes: [("transA", 1L), ("transB", 1L)])
                    .Node("Shape", ["x"], ["shape"], attributes: [("start", 0L), ("end", 2L)]).Node("Concat", ["shape", "vocabulary"], ["size"], attributes: ("axis", 0L)).Node("Reshape", ["product", "size"], ["logits"]);
                break;
            case "scaled":
                model.Node("MatMul", ["x", "w"], ["h"]).Node("Mul", ["cap", "h"], ["s"]).Node("Add", ["s", "cap"], ["logits"]);
                break;
            case "capped in f16":
                model.Node("MatMul", ["x", "w"], ["h"]).Node("Tanh", ["h"], ["t"]).Node("Cast", ["t"], ["half"], attributes: ("to", 10L)).Node("Cast", ["half"], ["logits"], attributes: ("to", 1L));
                break;
            case "normed over positions":
                model.Node("MatMul", ["x", "w"], ["h"]).Node("Softmax", ["h"], ["logits"], attributes: ("axis", 1L));
                break;
            case "scores read twice":
                model.Node("MatMul", ["x", "w"], ["h"]).Node("Tanh", ["h"], ["logits"]).Node("Softmax", ["h"], ["other"]).Output("other", OnnxBuilder.Float, "batch", "seq", Vocabulary);
                break;
            case "scores in between given":
                model.Node("MatMul", ["x", "w"], ["h"]).Node("Tanh", ["h"], ["logits"]).Output("h", OnnxBuilder.Float, "batch", "seq", Vocabulary);
                break;
            case "weight computed from tokens":
                model.Node("Transpose", ["x"], ["turned"], attributes: ("perm", new long[] { 0, 2, 1 })).Node("MatMul", ["x", "turned"], ["logits"]);
                break;
            default:
                model.Node("MatMul", ["x", "w"], [head == "other name" ? "scores" : "logits"]);
                break;
        }

        if (head == "subgraph")
        {
            model.Node("If", ["yes"], ["z"], attributes: ("then_branch", new OnnxBuilder().Node("Identity", ["logits"], ["y"])));
        }

        return model.Build();
    }

    private static int IndexOfMax(ReadOnlySpan<float> values)
    {
        int best = 0;
        for (int i = 1; i < values.Length; i++)
        {
            best = values[i] > values[best] ? i : best;
        }

        return best;
    }

    private static void AssertLastRows(ModelSession all, ModelSession last, int batch)
    {
        const int tokens = 7;
        NamedTensor ids = NamedTensor.Of("input_ids", FamilyCases.Ids(batch * tokens, seed: 9), batch, tokens);
        NamedTensor expected = all.Run(ids).Single(o => o.Name == "logits");
        NamedTensor actual = last.Run(ids).Single(o => o.Name == "logits");
        int vocabulary = (int)expected.Shape.Dims[^1];
        Assert.Equal(new Shape(batch, 1, vocabulary), actual.Shape);
        for (int b = 0; b < batch; b++)
        {
            ReadOnlySpan<float> row = expected.Values<float>().Slice((((b + 1) * tokens) - 1) * vocabulary, vocabulary);
            for (int i = 0; i < vocabulary; i++)
            {
                Assert.Equal(row[i], actual.Values<float>()[(b * vocabulary) + i], 2e-5f * (1 + Math.Abs(row[i])));
            }
        }
    }
}
