using ModelPack.Runtime;
using ModelPack.Runtime.Evaluation;
using ModelPack.Testing;
using ModelPack.Testing.Onnx;
using ModelPack.Tests.Toolchain;
using Xunit;

namespace ModelPack.Tests.Runtime;

public sealed class EvaluationTests
{
    internal const int Vocabulary = 50;

    [Theory]
    [InlineData(8)]
    [InlineData(13)]
    public void Perplexity_tableModel_equalsThePlainFormula(int window)
    {
        using var folder = new TempFolder();
        float[] table = SmallModels.Values(Vocabulary * Vocabulary, 1);
        ushort[] ids = [.. Enumerable.Range(0, 100).Select(i => (ushort)(i * i % Vocabulary))];
        using ModelSession session = ModelSession.Open(Save(folder, TableModel(table)));
        using TokenFile tokens = TokenFile.Open(SaveTokens(folder, ids));

        PerplexityResult result = PerplexityMeter.Measure(session, tokens, window);

        double sum = 0;
        int count = 0;
        for (int start = 0; start + window <= ids.Length; start += window)
        {
            for (int i = start; i < start + window - 1; i++)
            {
                IEnumerable<double> row = table.Skip(ids[i] * Vocabulary).Take(Vocabulary).Select(v => (double)v);
                sum += Math.Log(row.Sum(Math.Exp)) - table[(ids[i] * Vocabulary) + ids[i + 1]];
                count++;
            }
        }

        Assert.Equal(count, result.Tokens);
        Assert.Equal(sum / count, result.Nll, 6);
        Assert.Equal(Math.Exp(sum / count), result.Perplexity, 4);
    }

    [Fact]
    public void Perplexity_withAReference_addsDivergenceAndAgreement()
    {
        using var folder = new TempFolder();
        float[] table = SmallModels.Values(Vocabulary * Vocabulary, 1);
        float[] other = [.. table.Zip(SmallModels.Values(table.Length, 2), (a, b) => a + (0.5f * b))];
        ushort[] ids = [.. Enumerable.Range(0, 64).Select(i => (ushort)(i * i % Vocabulary))];
        using ModelSession reference = ModelSession.Open(Save(folder, TableModel(table)));
        using var second = new TempFolder();
        using ModelSession session = ModelSession.Open(Save(second, TableModel(other)));
        using TokenFile tokens = TokenFile.Open(SaveTokens(folder, ids));

        PerplexityResult result = PerplexityMeter.Measure(session, tokens, 8, reference: reference);
        PerplexityResult same = PerplexityMeter.Measure(reference, tokens, 8, reference: reference);

        double divergence = 0;
        int agreeing = 0;
        int[] predicted = [.. Enumerable.Range(0, 64).Where(i => i % 8 != 7)];
        foreach (int i in predicted)
        {
            double[] p = [.. table.Skip(ids[i] * Vocabulary).Take(Vocabulary).Select(v => (double)v)];
            double[] q = [.. other.Skip(ids[i] * Vocabulary).Take(Vocabulary).Select(v => (double)v)];
            (double a, double b) = (Math.Log(p.Sum(Math.Exp)), Math.Log(q.Sum(Math.Exp)));
            divergence += p.Zip(q, (x, y) => Math.Exp(x - a) * (x - a - y + b)).Sum();
            agreeing += Array.IndexOf(p, p.Max()) == Array.IndexOf(q, q.Max()) ? 1 : 0;
        }

        Assert.Equal(divergence / predicted.Length, result.Divergence!.Value, 6);
        Assert.Equal((double)agreeing / predicted.Length, result.Top1Agreement!.Value, 9);
        Assert.Equal(0, same.Divergence!.Value, 9);
        Assert.Equal(1, same.Top1Agreement);
        Assert.Equal(same.Nll, result.ReferenceNll);
        Assert.Equal(same.Perplexity, result.ReferencePerplexity);
        Assert.Null(PerplexityMeter.Measure(session, tokens, 8).Divergence);
    }

    [Fact]
    public void Perplexity_referenceOfAnotherVocabulary_isMP5023()
    {
        using var folder = new TempFolder();
        using var second = new TempFolder();
        using ModelSession session = ModelSession.Open(Save(folder, TableModel(new float[Vocabulary * Vocabulary])));
        using ModelSession reference = ModelSession.Open(second.Write("m.onnx", NetworkModel.Language()));
        using TokenFile tokens = TokenFile.Open(SaveTokens(folder, new ushort[64]));

        Assert.Equal(ErrorCodes.OutputsDiffer, Assert.Throws<ModelPackException>(() => PerplexityMeter.Measure(session, tokens, 8, reference: reference)).Code);
    }

    [Fact]
    public void Perplexity_imageModel_isMP5020()
    {
        using var folder = new TempFolder();
        using ModelSession session = ModelSession.Open(Save(folder, NetworkModel.Image()));
        using TokenFile tokens = TokenFile.Open(SaveTokens(folder, new ushort[600]));
        Assert.Equal(ErrorCodes.NotALanguageModel, Assert.Throws<ModelPackException>(() => PerplexityMeter.Measure(session, tokens)).Code);
    }

    [Fact]
    public void Perplexity_shortTextOrForeignIds_isMP5021()
    {
        using var folder = new TempFolder();
        using ModelSession session = ModelSession.Open(Save(folder, TableModel(new float[Vocabulary * Vocabulary])));
        using TokenFile few = TokenFile.Open(SaveTokens(folder, new ushort[7]));
        Assert.Equal(ErrorCodes.TooFewTokens, Assert.Throws<ModelPackException>(() => PerplexityMeter.Measure(session, few, 8)).Code);
    }

    [Fact]
    public void LogSumExp_oddLengths_equalsTheFormula()
    {
        for (int n = 1; n < 40; n++)
        {
            float[] row = [.. SmallModels.Values(n, (ulong)n).Select(v => v * 80)];
            double max = row.Max();
            Assert.Equal(max + Math.Log(row.Sum(v => Math.Exp(v - max))), LogSumExp.Of(row), 9);
        }
    }

    [Fact]
    public void Agreement_modelWithItself_isPerfectAndWithNoiseIsNot()
    {
        using var folder = new TempFolder();
        (string model, string artifact) = CompileTests.Compile(folder, "language", "int4");
        using ModelSession a = ModelSession.Open(model);
        using ModelSession b = ModelSession.Open(artifact);
        NamedTensor[] sample = [NamedTensor.Of("ids", [3L, 1, 4, 1, 5], 1, 5)];
        var same = new AgreementMeter();
        same.Add(a, a, sample);
        Assert.Equal((0, null, 1.0), (same.Results()[0].MaxAbsError, same.Results()[0].SqnrDb, same.Results()[0].Top1Agreement));
        Assert.Equal(1, same.Results()[0].Cosine, 9);
        var other = new AgreementMeter();
        other.Add(b, a, sample);
        Assert.InRange(other.Results()[0].SqnrDb!.Value, 5, 60);
        Assert.True(other.Results()[0].MaxAbsError > 0);
    }

    [Fact]
    public void Agreement_otherOutputs_isMP5023()
    {
        using var folder = new TempFolder();
        using ModelSession a = ModelSession.Open(Save(folder, Renamed("y")));
        using ModelSession b = ModelSession.Open(Save(folder, Renamed("z")));
        var error = Assert.Throws<ModelPackException>(() => new AgreementMeter().Add(a, b, [NamedTensor.Of("x", [1f], 1)]));
        Assert.Equal(ErrorCodes.OutputsDiffer, error.Code);
    }

    [Fact]
    public void Samples_missingFile_isMP5022AndFoldersAreSamples()
    {
        using var folder = new TempFolder();
        using ModelSession session = ModelSession.Open(Save(folder, Renamed("y")));
        foreach (string sample in new[] { "b", "a" })
        {
            Directory.CreateDirectory(folder[sample]);
            NpyFile.Write(Path.Combine(folder[sample], "x.npy"), DType.F32, new Shape(1), TensorData.FromBytes(BitConverter.GetBytes(sample == "a" ? 1f : 2f)));
        }

        Assert.Equal([1f, 2f], SampleInputs.FromFolder(session, folder.Path).Select(s => s[0].Values<float>()[0]));
        File.Delete(Path.Combine(folder["a"], "x.npy"));
        Assert.Equal(ErrorCodes.BadSample, Assert.Throws<ModelPackException>(() => SampleInputs.FromFolder(session, folder.Path).ToList()).Code);
    }

    /// <summary>logits = table[input_ids]; also asks for a mask, positions and token types, which must be filled in.</summary>
    internal static byte[] TableModel(float[] table) => new OnnxBuilder()
        .Input("input_ids", OnnxBuilder.Int64, "batch", "seq")
        .Input("attention_mask", OnnxBuilder.Int64, "batch", "seq")
        .Input("position_ids", OnnxBuilder.Int64, "batch", "seq")
        .Output("logits", OnnxBuilder.Float, "batch", "seq", Vocabulary)
        .Initializer("table", table, Vocabulary, Vocabulary)
        .Node("Mul", ["input_ids", "attention_mask"], ["masked"])
        .Node("Sub", ["position_ids", "position_ids"], ["zero"])
        .Node("Add", ["masked", "zero"], ["ids"])
        .Node("Gather", ["table", "ids"], ["logits"])
        .Build();

    private static byte[] Renamed(string output) => new OnnxBuilder()
        .Input("x", OnnxBuilder.Float, 1)
        .Output(output, OnnxBuilder.Float, 1)
        .Node("Neg", ["x"], [output])
        .Build();

    private static string Save(TempFolder folder, byte[] model)
    {
        string path = folder[$"m{Directory.GetFiles(folder.Path).Length}.onnx"];
        File.WriteAllBytes(path, model);
        return path;
    }

    private static string SaveTokens(TempFolder folder, ushort[] ids)
    {
        string path = folder["tokens.bin"];
        File.WriteAllBytes(path, [.. ids.SelectMany(BitConverter.GetBytes)]);
        return path;
    }
}
