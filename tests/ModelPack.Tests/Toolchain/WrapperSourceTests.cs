using ModelPack.Runtime;
using ModelPack.Testing;
using ModelPack.Testing.Onnx;
using ModelPack.Toolchain;
using Xunit;

namespace ModelPack.Tests.Toolchain;

/// <summary>The C# class of a model. That it compiles and runs is for the tests with packages.</summary>
public sealed class WrapperSourceTests
{
    private static readonly ModelDimension Batch = new(null, "batch");

    [Fact]
    public void Of_freeDimensions_areParametersOnceAndFixedOnesAreNone()
    {
        string source = Source(
            [new("pixels", DType.F32, [Batch, new(3, null), new(null, null)]), new("mask", DType.Bool, [Batch]), new("scale", DType.F64, [])],
            [new("logits", DType.F32, [Batch, new(10, null)])]);

        Assert.Contains("public Result Run(global::System.ReadOnlySpan<float> pixels, global::System.ReadOnlySpan<bool> mask, double scale, long batch, long pixelsDim2)", source, StringComparison.Ordinal);
        Assert.Contains("NamedTensor.Of(\"pixels\", pixels, [batch, 3, pixelsDim2])", source, StringComparison.Ordinal);
        Assert.Contains("NamedTensor.Of(\"mask\", mask, [batch])", source, StringComparison.Ordinal);
        Assert.Contains("NamedTensor.Scalar(\"scale\", scale)", source, StringComparison.Ordinal);
        Assert.Contains("<c>f32[batch,3,?]</c>", source, StringComparison.Ordinal);
        Assert.Contains("public global::System.ReadOnlySpan<float> Logits => Tensors[0].Values<float>();", source, StringComparison.Ordinal);
    }

    [Fact]
    public void Of_namesThatAreNoIdentifiers_areMadeSomeAndStayApart()
    {
        string source = Source(
            [new("class", DType.I64, [new(1, null)]), new("input.1", DType.I64, [new(1, null)]), new("input:1", DType.I64, [new(1, null)]), new("<\"&\n", DType.I64, [new(1, null)])],
            [new("tensors", DType.F32, [new(1, null)]), new("1", DType.F16, [new(1, null)])]);

        Assert.Contains("ReadOnlySpan<long> @class, global::System.ReadOnlySpan<long> input1, global::System.ReadOnlySpan<long> input12, global::System.ReadOnlySpan<long> value)", source, StringComparison.Ordinal);
        Assert.Contains("NamedTensor.Of(\"<\\\"&\\u000a\", value", source, StringComparison.Ordinal);
        Assert.Contains("<c>&lt;&quot;&amp;?: i64[1]</c>", source, StringComparison.Ordinal);
        Assert.Contains("> Tensors2 => ", source, StringComparison.Ordinal);
        Assert.Contains("ReadOnlySpan<global::System.Half> _1 => ", source, StringComparison.Ordinal);
    }

    [Fact]
    public void Of_modelWithTextInputs_opensAndHasNoRun()
    {
        string source = Source([new("words", DType.String, [Batch])], [new("y", DType.F32, [Batch])]);

        Assert.Contains("public static Thing Open(", source, StringComparison.Ordinal);
        Assert.DoesNotContain(" Run(", source, StringComparison.Ordinal);
    }

    [Fact]
    public void Compile_withWrapper_writesItBesideTheArtifactAndRefusesNamesThatAreNone()
    {
        using var folder = new TempFolder();
        string model = folder.Write("m.onnx", new OnnxBuilder().Input("x", OnnxBuilder.Float, 1, 64).Output("y", OnnxBuilder.Float, 1, 64).Initializer("w", Values.Weights(1, 64 * 64), 64, 64).Node("MatMul", ["x", "w"], ["y"]).Build());
        CompileRequest request = new() { Input = model, Output = folder["m.mpack"], Recipe = "int8", Wrapper = new WrapperRequest(folder["m.cs"], "A.B.Thing", "sub/m.mpack") };

        CompileResult result = ModelCompiler.Compile(request);

        Assert.Equal([model], result.InputFiles);
        string source = File.ReadAllText(folder["m.cs"]);
        Assert.Contains("namespace A.B;", source, StringComparison.Ordinal);
        Assert.Contains("public const string FileName = \"sub/m.mpack\";", source, StringComparison.Ordinal);
        Assert.Contains("public Result Run(global::System.ReadOnlySpan<float> x)", source, StringComparison.Ordinal);

        ModelPackException e = Assert.Throws<ModelPackException>(() => ModelCompiler.Compile(request with { Output = folder["other.mpack"], Wrapper = new WrapperRequest(folder["other.cs"], "A.2B") }));
        Assert.Equal(ErrorCodes.BadClassName, e.Code);
        Assert.False(File.Exists(folder["other.mpack"]));
    }

    private static string Source(ModelValue[] inputs, ModelValue[] outputs) =>
        WrapperSource.Of(new WrapperRequest("Thing.cs", "Space.Thing"), "thing.mpack", "thing.onnx, compiled.", [.. inputs], [.. outputs]);
}
