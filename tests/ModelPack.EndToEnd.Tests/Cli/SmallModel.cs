using ModelPack.Testing;
using ModelPack.Testing.Onnx;

namespace ModelPack.EndToEnd.Tests.Cli;

/// <summary>A model that is compiled, loaded and run in next to no time: one product with a weight of 256 x 192.</summary>
internal static class SmallModel
{
    /// <summary>Writes <c>model.onnx</c> and gives its path.</summary>
    public static string Write(TempFolder folder) => folder.Write("model.onnx", new OnnxBuilder()
        .Input("x", OnnxBuilder.Float, 1, 256)
        .Output("y", OnnxBuilder.Float, 1, 192)
        .Initializer("w", Values.Weights(7, 256 * 192), 256, 192)
        .Node("MatMul", ["x", "w"], ["y"])
        .Build());
}
