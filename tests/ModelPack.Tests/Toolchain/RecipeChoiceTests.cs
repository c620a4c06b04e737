using System.Text;
using ModelPack.Compiler;
using ModelPack.Testing;
using ModelPack.Testing.Onnx;
using ModelPack.Tests.Runtime;
using ModelPack.Toolchain;
using Xunit;

namespace ModelPack.Tests.Toolchain;

/// <summary>The recipe that a model gets when none is named.</summary>
public sealed class RecipeChoiceTests : IDisposable
{
    private readonly TempFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData(false, "int4", "a language model")]
    [InlineData(true, "int4-calibrated", "calibration data")]
    public void For_languageModel_takesFourBits(bool calibrated, string recipe, string reason) =>
        Expect(Onnx(NetworkModel.Language()), calibrated, recipe, reason);

    [Theory]
    [InlineData(false, "int8")]
    [InlineData(true, "w8a8")]
    public void For_convolutions_takesEightBits(bool calibrated, string recipe) =>
        Expect(Onnx(Network("Conv", SmallModels.Values(32 * 16 * 9, 1), 32, 16, 3, 3)), calibrated, recipe, "a convolutional network");

    [Fact]
    public void For_tableReadByTheLastLayerToo_isALanguageModel() => Expect(
        Onnx(new OnnxBuilder()
            .Input("ids", OnnxBuilder.Int64, "n")
            .Output("y", OnnxBuilder.Float, "n", 64)
            .Initializer("table", SmallModels.Values(64 * 48, 1), 64, 48)
            .Initializer("w", SmallModels.Values(48 * 48, 2), 48, 48)
            .Node("Gather", ["table", "ids"], ["x"])
            .Node("MatMul", ["x", "w"], ["h"])
            .Node("Transpose", ["table"], ["head"], attributes: ("perm", new long[] { 1, 0 }))
            .Node("MatMul", ["h", "head"], ["y"])
            .Build()),
        calibrated: false,
        "int4",
        "a language model");

    /// <summary>An encoder: words come in, none go out.</summary>
    [Fact]
    public void For_encoder_isNoLanguageModel() => Expect(
        Onnx(new OnnxBuilder()
            .Input("ids", OnnxBuilder.Int64, "n")
            .Output("y", OnnxBuilder.Float, "n", 32)
            .Initializer("table", SmallModels.Values(64 * 48, 1), 64, 48)
            .Initializer("w", SmallModels.Values(48 * 96, 2), 48, 96)
            .Initializer("v", SmallModels.Values(96 * 32, 3), 96, 32)
            .Node("Gather", ["table", "ids"], ["x"])
            .Node("MatMul", ["x", "w"], ["h"])
            .Node("MatMul", ["h", "v"], ["y"])
            .Build()),
        calibrated: true,
        "int8",
        "linear layers");

    [Fact]
    public void For_ternaryWeights_keepsThemAsTheyAre()
    {
        float[] weights = [.. SmallModels.Values(64 * 64, 3).Select(v => v > 0.3f ? 0.125f : v < -0.3f ? -0.125f : 0f)];
        Expect(Onnx(Network("MatMul", weights, 64, 64)), calibrated: false, "ternary", "'w' has three values");
    }

    [Fact]
    public void For_quantisedWeights_isLossless()
    {
        string model = Onnx(NetworkModel.Language());
        string artifact = _folder["m.mpack"];
        ModelCompiler.Compile(new CompileRequest { Input = model, Output = artifact, Recipe = "int4", Accuracy = "fast", Sets = ["quantize.ends=same", "quantize.min_elements=64"] });
        string stock = _folder["stock.onnx"];
        Exporting.Export(artifact, "onnx", stock);
        Expect(stock, calibrated: false, "lossless", "quantised already");
    }

    [Fact]
    public void For_noLargeWeights_isLossless() => Expect(Onnx(Network("MatMul", SmallModels.Values(16, 1), 4, 4)), calibrated: false, "lossless", "without large weights");

    [Theory]
    [InlineData("""{"architectures":["TinyForCausalLM"]}""", "int4", "a language model")]
    [InlineData("""{"architectures":["TinyForSequenceClassification"]}""", "int8", "linear layers")]
    [InlineData("""{"architectures":["TinyForCausalLM"],"quantization_config":{"bits":4}}""", "lossless", "quantised already")]
    [InlineData("""{"architectures":7}""", "int4", "a language model")]
    [InlineData("not json", "int4", "a language model")]
    public void For_checkpoint_readsItsConfiguration(string config, string recipe, string reason)
    {
        _folder.Write("config.json", config);
        _folder.Write("model.safetensors", Checkpoint());
        Expect(_folder.Path, calibrated: false, recipe, reason);
    }

    [Fact]
    public void Compile_withoutRecipe_saysWhatAndWhy()
    {
        CompileResult result = ModelCompiler.Compile(new CompileRequest { Input = Onnx(NetworkModel.Language()), Output = _folder["m.mpack"], Sets = ["quantize.block=32"] });
        Assert.Equal("int4", result.Recipe);
        Assert.Equal("a language model", result.RecipeReason);
        Assert.Null(ModelCompiler.Compile(new CompileRequest { Input = _folder["m.onnx"], Output = _folder["n.mpack"], Recipe = "int4" }).RecipeReason);
    }

    [Fact]
    public void Compile_targetWithoutRecipe_isAuto()
    {
        CompileResult result = ModelCompiler.Compile(new CompileRequest { Input = Onnx(NetworkModel.Language()), Output = _folder["m.mpack"], TuneTarget = new TuneTarget(TuneTargetKind.Bits, 6) });
        Assert.Equal("auto", result.Recipe);
        Assert.Equal("a target was given", result.RecipeReason);
    }

    private static void Expect(string input, bool calibrated, string recipe, string reason)
    {
        using ImportedModel imported = ModelPack.Containers.Containers.For(input).Import(input, CancellationToken.None);
        RecipeChoice choice = RecipeChoice.For(imported.Model, calibrated);
        Assert.Equal(recipe, choice.Recipe);
        Assert.Contains(reason, choice.Reason, StringComparison.Ordinal);
    }

    private string Onnx(byte[] model) => _folder.Write("m.onnx", model);

    private static byte[] Network(string op, float[] weights, params long[] shape) => new OnnxBuilder()
        .Input("x", OnnxBuilder.Float, [.. op == "Conv" ? new object[] { 1, shape[1], 8, 8 } : [1, shape[0]]])
        .Output("y", OnnxBuilder.Float)
        .Initializer("w", weights, shape)
        .Node(op, ["x", "w"], ["y"])
        .Build();

    private static byte[] Checkpoint()
    {
        const string Header = """{"model.embed_tokens.weight":{"dtype":"F32","shape":[32,32],"data_offsets":[0,4096]},"model.layers.0.up_proj.weight":{"dtype":"F32","shape":[64,32],"data_offsets":[4096,12288]},"lm_head.weight":{"dtype":"F32","shape":[32,32],"data_offsets":[12288,16384]}}""";
        float[] values = SmallModels.Values(4096, 9);
        byte[] header = Encoding.UTF8.GetBytes(Header.PadRight((Header.Length + 7) / 8 * 8));
        return [.. BitConverter.GetBytes((long)header.Length), .. header, .. values.SelectMany(BitConverter.GetBytes)];
    }
}
