using Microsoft.ML.OnnxRuntime;
using ModelPack.OrtOps;
using ModelPack.Testing.Onnx;
using ModelPack.Tests.Kernels;
using Xunit;

namespace ModelPack.Tests.Runtime;

/// <summary>What the operator ai.modelpack::GatedMlp says about graphs that do not fit it. Its outputs: GatedCompileTests.</summary>
public sealed class GatedMlpOperatorTests
{
    private const int Width = 64;
    private const int Hidden = 96;

    [Theory]
    [InlineData("activation", "no activation 'tanh'")]
    [InlineData("sizes", "do not fit each other")]
    [InlineData("cut", "no kernel reads")]
    [InlineData("not-constant", "not a constant")]
    public void Damaged_graphs_are_errors_when_the_session_is_made(string damage, string message)
    {
        OnnxRuntimeException error = Assert.Throws<OnnxRuntimeException>(() => OperatorSession.Open(Model(damage)).Dispose());
        Assert.Contains(message, error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Activations_of_another_width_are_an_error()
    {
        using InferenceSession session = OperatorSession.Open(Model(""));
        using var x = OrtValue.CreateTensorValueFromMemory(new float[2 * 63], [2, 63]);
        using var options = new RunOptions();

        OnnxRuntimeException error = Assert.Throws<OnnxRuntimeException>(() => session.Run(options, ["x"], [x], ["y"]).Dispose());
        Assert.Contains($"is not {Width}", error.Message, StringComparison.Ordinal);
    }

    private static byte[] Model(string damage)
    {
        using var gate = SparseCase.Make("32x32", "f32", Hidden, Width, 50);
        using var up = SparseCase.Make("32x32", "f32", damage == "sizes" ? Hidden - 32 : Hidden, Width, 50);
        byte[] first = gate.Packed();
        byte[] second = damage == "cut" ? up.Packed()[..^64] : up.Packed();
        OnnxBuilder model = new OnnxBuilder().Opset(Registration.Domain, 1).Input("x", OnnxBuilder.Float, "rows", "width").Output("y", OnnxBuilder.Float, "rows", Hidden).Initializer("g", OnnxBuilder.UInt8, first, first.Length);
        _ = damage == "not-constant" ? model.Input("u", OnnxBuilder.UInt8, second.Length) : model.Initializer("u", OnnxBuilder.UInt8, second, second.Length);
        return model.Node("GatedMlp", ["x", "g", "u"], ["y"], Registration.Domain, "", ("N", (long)Hidden), ("weights", 2L), ("activation", damage == "activation" ? "tanh" : "silu")).Build();
    }
}
