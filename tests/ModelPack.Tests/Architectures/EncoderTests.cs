using ModelPack.Architectures;
using ModelPack.Compiler;
using ModelPack.Runtime;
using ModelPack.Testing;
using ModelPack.Toolchain;
using Xunit;

namespace ModelPack.Tests.Architectures;

/// <summary>Encoders of every family and head against plain loops written from their published definitions, in padded batches.</summary>
public sealed class EncoderTests
{
    /// <summary>Values reach 2 to 9; measured: up to 5e-6.</summary>
    private const double Tolerance = 2e-5;

    private const int Width = 15;

    public static TheoryData<string> Cases => [.. EncoderCases.Names];

    [Theory]
    [MemberData(nameof(Cases))]
    public void Outputs_ofRandomModel_areThoseOfTheDefinition(string name)
    {
        (RandomCheckpoint checkpoint, string prefix) = EncoderCases.Make(name);
        (long[] ids, long[] mask, long[] types) = EncoderCases.Batch(Padding(checkpoint));
        var oracle = new ScalarEncoder(checkpoint, prefix);
        (double[][] Rows, double[]? Pooled)[] expected = [.. Enumerable.Range(0, 2).Select(i => oracle.Run(Part(ids, i), Part(mask, i), Part(types, i)))];
        using var folder = new TempFolder();
        using ModelSession session = ModelInput.Open(checkpoint.Write(folder), new ModelSessionOptions { Threads = 1 });

        IReadOnlyList<NamedTensor> outputs = Run(session, ids, mask, types);

        if (name.EndsWith("spans", StringComparison.Ordinal))
        {
            Assert.Equal(["start_logits", "end_logits"], outputs.Select(o => o.Name));
            for (int side = 0; side < 2; side++)
            {
                Assert.Equal(new Shape(2, Width), outputs[side].Shape);
                Assert.True(FamilyTests.WorstError(outputs[side].Values<float>(), [.. expected.SelectMany(e => e.Rows).Select(r => (double[])[r[side]])]) < Tolerance);
            }

            return;
        }

        Assert.Equal(expected[0].Pooled is null ? 1 : 2, outputs.Count);
        Assert.Equal(name.Contains("classes", StringComparison.Ordinal) || name == "mpnet, few buckets" ? 2 : 3, outputs[0].Shape.Rank);
        double worst = FamilyTests.WorstError(outputs[0].Values<float>(), [.. expected.SelectMany(e => e.Rows)]);
        Assert.True(worst < Tolerance, $"max abs error {worst}");
        if (expected[0].Pooled is not null)
        {
            Assert.True(FamilyTests.WorstError(outputs.Single(o => o.Name == "pooler_output").Values<float>(), [.. expected.Select(e => e.Pooled!)]) < Tolerance);
        }
    }

    /// <summary>The batch shows what it is made for: without mask, types or padding token the definition gives other values, by far more than the tolerance.</summary>
    [Theory]
    [InlineData("bert", true, true)]
    [InlineData("roberta", true, false)]
    [InlineData("mpnet", true, false)]
    [InlineData("distilbert", true, false)]
    public void Batch_maskAndTypesAndPadding_changeTheValues(string name, bool masks, bool types)
    {
        (RandomCheckpoint checkpoint, string prefix) = EncoderCases.Make(name);
        (long[] ids, long[] mask, long[] kinds) = EncoderCases.Batch(Padding(checkpoint));
        var oracle = new ScalarEncoder(checkpoint, prefix);
        double Change(long[] i, long[] m, long[] t) => FamilyTests.WorstError([.. oracle.Run(Part(i, 0), Part(m, 0), Part(t, 0)).Rows.SelectMany(r => r).Select(v => (float)v)], oracle.Run(Part(ids, 0), Part(mask, 0), Part(kinds, 0)).Rows);
        Assert.Equal(masks, Change(ids, [.. mask.Select(_ => 1L)], kinds) > 100 * Tolerance);
        Assert.Equal(types, Change(ids, mask, new long[ids.Length]) > 100 * Tolerance);
        Assert.True(Change([.. ids.Select((id, i) => i == 3 ? 9 : id)], mask, kinds) > 100 * Tolerance);
    }

    /// <summary>Padding changes nothing of the texts it fills up.</summary>
    [Theory]
    [InlineData("bert")]
    [InlineData("roberta")]
    [InlineData("mpnet")]
    public void Padding_doesNotChangeATextsVectors(string name)
    {
        using var folder = new TempFolder();
        (RandomCheckpoint checkpoint, _) = EncoderCases.Make(name);
        (long[] ids, long[] mask, long[] types) = EncoderCases.Batch(Padding(checkpoint));
        using ModelSession session = ModelInput.Open(checkpoint.Write(folder), new ModelSessionOptions { Threads = 1 });
        float[] padded = Run(session, ids, mask, types)[0].Values<float>()[(Width * 24)..((Width + 9) * 24)].ToArray();
        float[] alone = Run(session, ids[Width..(Width + 9)], mask[Width..(Width + 9)], types[Width..(Width + 9)], batch: 1)[0].Values<float>().ToArray();
        Assert.All(padded.Zip(alone), p => Assert.Equal(p.First, p.Second, 1e-5f));
    }

    /// <summary>Every tensor of every case: without it there is no graph, so none is forgotten; a pooler may be missing as a whole.</summary>
    [Theory]
    [MemberData(nameof(Cases))]
    public void Checkpoint_anyTensorMissing_isMP1506(string name)
    {
        (RandomCheckpoint checkpoint, _) = EncoderCases.Make(name);
        foreach (string tensor in checkpoint.Tensors.Keys.ToArray())
        {
            (long[], float[]) value = checkpoint.Tensors[tensor];
            checkpoint.Tensors.Remove(tensor);
            var error = Assert.Throws<ModelPackException>(() => ArchitectureCatalog.Build(checkpoint.ToModel()));
            Assert.Equal(ErrorCodes.WeightMissing, error.Code);
            Assert.True(error.Tensor == tensor || tensor.EndsWith(".gamma", StringComparison.Ordinal) || tensor.EndsWith("word_embeddings.weight", StringComparison.Ordinal), $"{tensor}: {error.Message}");
            checkpoint.Tensors[tensor] = value;
        }
    }

    [Fact]
    public void Checkpoint_leftovers_areCarriedAndNamed_andOthersAreMP1507()
    {
        (RandomCheckpoint checkpoint, _) = EncoderCases.Make("bert masked, old names");
        checkpoint.Add("bert.embeddings.position_ids", 1, 0, 1, 37);
        checkpoint.Add("bert.pooler.dense.weight", 1, 0, 24, 24);
        checkpoint.Add("cls.seq_relationship.weight", 1, 0, 2, 24);
        checkpoint.Add("cls.predictions.decoder.weight", 1, 0, EncoderCases.Vocabulary, 24);
        Model model = ArchitectureCatalog.Build(checkpoint.ToModel());
        Assert.Equal(["bert.embeddings.position_ids", "bert.pooler.dense.weight", "cls.predictions.decoder.weight", "cls.seq_relationship.weight"], model.CarriedTensors.Select(t => t.Name).Order(StringComparer.Ordinal));
        Assert.Equal(3, ArchitectureCatalog.Extras(model).Count);

        checkpoint.Add("bert.encoder.layer.2.output.dense.weight", 1, 0, 24, 40);
        Assert.Equal(ErrorCodes.WeightUnused, Assert.Throws<ModelPackException>(() => ArchitectureCatalog.Build(checkpoint.ToModel())).Code);
    }

    [Theory]
    [InlineData("bert", "position_embedding_type", "\"relative_key\"", 1505)]
    [InlineData("bert", "is_decoder", "true", 1505)]
    [InlineData("bert", "hidden_act", "\"mish\"", 1505)]
    [InlineData("bert", "num_attention_heads", "7", 1504)]
    [InlineData("bert", "type_vocab_size", "0", 1503)]
    [InlineData("distilbert", "n_layers", "\"two\"", 1503)]
    [InlineData("mpnet", "relative_attention_num_buckets", "6", 1503)]
    [InlineData("bert", "vocab_size", "54", 1509)]
    [InlineData("bert classes", "id2label", "{\"0\":\"a\"}", 1508)]
    public void Config_valueWrong_isAnError(string name, string key, string value, int code)
    {
        (RandomCheckpoint checkpoint, _) = EncoderCases.Make(name);
        checkpoint.Config[key] = System.Text.Json.Nodes.JsonNode.Parse(value);
        Assert.Equal(code, Assert.Throws<ModelPackException>(() => ArchitectureCatalog.Build(checkpoint.ToModel())).Code.Number);
    }

    [Fact]
    public void Form_withCache_isMP1511() =>
        Assert.Equal(ErrorCodes.GraphNotBuilt, Assert.Throws<ModelPackException>(() => ArchitectureCatalog.Build(EncoderCases.Make("bert").Checkpoint.ToModel(), GraphForm.Cached)).Code);

    /// <summary>Lossless: the same values and the same files; with fewer bits near to them, on kernels for packed weights.</summary>
    [Theory]
    [InlineData("bert", "lossless", 1e-4)]
    [InlineData("bert", "int8", 0.05)]
    [InlineData("roberta masked", "int8", 0.05)]
    [InlineData("distilbert classes", "int8", 0.05)]
    [InlineData("mpnet", "int4", 0.5)]
    public void Compile_andRun_isNearTheFolder(string name, string recipe, double relative)
    {
        using var folder = new TempFolder();
        (RandomCheckpoint checkpoint, _) = EncoderCases.Make(name);
        string path = checkpoint.Write(folder);
        string[] sets = recipe == "lossless" ? [] : ["quantize.min_elements=500"];
        CompileResult compiled = ModelCompiler.Compile(new CompileRequest { Input = path, Output = folder["m.mpack"], Recipe = recipe, Sets = sets });

        EvalResult result = Evaluation.Agreement(folder["m.mpack"], path, null);

        Assert.InRange(result.Cosine!.Value, 1 - relative, 1.0001);
        Assert.Empty(compiled.Warnings);
        Assert.True(Verification.Verify(folder["m.mpack"], against: recipe == "lossless" ? path : null, rederive: path).Ok);
        if (recipe != "lossless")
        {
            Assert.Contains(compiled.Tensors, t => t.Name.EndsWith("0.output.dense.weight", StringComparison.Ordinal) || t.Name.EndsWith("ffn.lin2.weight", StringComparison.Ordinal) ? t.OutputBytes < t.InputBytes : false);
        }
        else
        {
            FilePacking.Unpack(folder["m.mpack"], folder["unpacked"]);
            Assert.All(Comparison.Compare(path, folder["unpacked"]).Tensors, t => Assert.Equal(0, t.MaxAbsError));
        }
    }

    /// <summary>Calibration takes windows of tokens; perplexity does not, since every token is seen.</summary>
    [Fact]
    public void Calibration_byTokens_works_andPerplexityIsMP5020()
    {
        using var folder = new TempFolder();
        (RandomCheckpoint checkpoint, _) = EncoderCases.Make("roberta masked");
        string path = checkpoint.Write(folder);
        byte[] tokens = new byte[2 * 16 * 12];
        for (int i = 0; i < tokens.Length; i += 2)
        {
            tokens[i] = (byte)(4 + (i * 7 % 40));
        }

        folder.Write("tokens.bin", tokens);
        CompileResult compiled = ModelCompiler.Compile(new CompileRequest
        {
            Input = path,
            Output = folder["m.mpack"],
            Recipe = "int4-calibrated",
            Calibration = folder["tokens.bin"],
            CalibrationOptions = new CalibrationOptions { Window = 16 },
            Sets = ["quantize.min_elements=500"],
        });
        Assert.DoesNotContain(compiled.Warnings, w => w.Contains("does not use", StringComparison.Ordinal));
        Assert.InRange(Evaluation.Agreement(folder["m.mpack"], path, null).Cosine!.Value, 0.5, 1.0001);

        Assert.Equal(ErrorCodes.NotALanguageModel, Assert.Throws<ModelPackException>(() => Evaluation.Perplexity(folder["m.mpack"], folder["tokens.bin"], 16)).Code);
        Assert.Equal(ErrorCodes.NotALanguageModel, Assert.Throws<ModelPackException>(() => Evaluation.Perplexity(path, folder["tokens.bin"], 16)).Code);
        string bare = EncoderCases.Make("bert").Checkpoint.Write(folder, "bare");
        Assert.Equal(ErrorCodes.NotALanguageModel, Assert.Throws<ModelPackException>(() => Evaluation.Perplexity(bare, folder["tokens.bin"], 16)).Code);
    }

    [Theory]
    [InlineData("bert masked, old names")]
    [InlineData("bert")]
    public void Recipe_withoutAName_isThatOfLinearLayers(string name)
    {
        using var folder = new TempFolder();
        CompileResult result = ModelCompiler.Compile(new CompileRequest { Input = EncoderCases.Make(name).Checkpoint.Write(folder), Output = folder["m.mpack"], DryRun = true });
        Assert.NotEqual("int4", result.Recipe);
    }

    private static int Padding(RandomCheckpoint checkpoint) => (int?)checkpoint.Config["pad_token_id"] ?? 1;

    private static long[] Part(long[] values, int text) => values[(text * Width)..((text + 1) * Width)];

    private static IReadOnlyList<NamedTensor> Run(ModelSession session, long[] ids, long[] mask, long[] types, int batch = 2)
    {
        NamedTensor[] all = [NamedTensor.Of("input_ids", ids, batch, ids.Length / batch), NamedTensor.Of("attention_mask", mask, batch, ids.Length / batch), NamedTensor.Of("token_type_ids", types, batch, ids.Length / batch)];
        return session.Run([.. all.Where(t => session.Inputs.Any(i => i.Name == t.Name))]);
    }
}
