using ModelPack.Testing.Onnx;
using ModelPack.Tests.Runtime;

namespace ModelPack.Tests.Toolchain;

/// <summary>A small network with one of each weight that the compiler treats in its own way.</summary>
internal static class NetworkModel
{
    public const int Vocabulary = 64;
    public const int Width = 96;
    public const int Hidden = 80;

    /// <summary>
    /// ids [batch, seq] -> Gather -> MatMul (K a multiple of 32) -> Gemm-like MatMul (K = 80, not a multiple) -> Add -> MatMul with the same weight twice -> logits [batch, seq, 64].
    /// </summary>
    public static byte[] Language() => new OnnxBuilder()
        .Input("ids", OnnxBuilder.Int64, "batch", "seq")
        .Output("logits", OnnxBuilder.Float, "batch", "seq", Vocabulary)
        .Initializer("embed", SmallModels.Values(Vocabulary * Width, 1), Vocabulary, Width)
        .Initializer("up", SmallModels.Values(Width * Hidden, 2), Width, Hidden)
        .Initializer("mix", SmallModels.Values(Hidden * Hidden, 3), Hidden, Hidden)
        .Initializer("bias", SmallModels.Values(Hidden, 4), Hidden)
        .Initializer("head", SmallModels.Values(Hidden * Vocabulary, 5), Hidden, Vocabulary)
        .Node("Gather", ["embed", "ids"], ["x"])
        .Node("MatMul", ["x", "up"], ["h0"])
        .Node("MatMul", ["h0", "mix"], ["h1"])
        .Node("Add", ["h1", "bias"], ["h2"])
        .Node("Tanh", ["h2"], ["h3"])
        .Node("MatMul", ["h3", "mix"], ["h4"])
        .Node("Tanh", ["h4"], ["h5"])
        .Node("MatMul", ["h5", "head"], ["logits"])
        .Build();

    /// <summary>An image network: Conv with batch normalisation, Conv 1x1, global pooling, Gemm with transB and bias, Gemm with alpha.</summary>
    public static byte[] Image()
    {
        float[] ones = [.. Enumerable.Repeat(1f, 16)];
        return new OnnxBuilder()
            .Input("image", OnnxBuilder.Float, 1, 3, 16, 16)
            .Output("scores", OnnxBuilder.Float, 1, 24)
            .Initializer("conv0", SmallModels.Values(16 * 3 * 9, 1), 16, 3, 3, 3)
            .Initializer("scale", SmallModels.Values(16, 2), 16)
            .Initializer("shift", SmallModels.Values(16, 3), 16)
            .Initializer("mean", SmallModels.Values(16, 4), 16)
            .Initializer("variance", ones, 16)
            .Initializer("conv1", SmallModels.Values(64 * 16, 5), 64, 16, 1, 1)
            .Initializer("dense0", SmallModels.Values(48 * 64, 6), 48, 64)
            .Initializer("bias0", SmallModels.Values(48, 7), 48)
            .Initializer("dense1", SmallModels.Values(48 * 24, 8), 48, 24)
            .Initializer("bias1", SmallModels.Values(24, 9), 24)
            .Node("Conv", ["image", "conv0"], ["c0"], attributes: ("pads", new long[] { 1, 1, 1, 1 }))
            .Node("BatchNormalization", ["c0", "scale", "shift", "mean", "variance"], ["b0"])
            .Node("Relu", ["b0"], ["r0"])
            .Node("Conv", ["r0", "conv1"], ["c1"])
            .Node("GlobalAveragePool", ["c1"], ["p"])
            .Node("Flatten", ["p"], ["f"])
            .Node("Gemm", ["f", "dense0", "bias0"], ["g0"], attributes: ("transB", 1L))
            .Node("Tanh", ["g0"], ["t"])
            .Node("Gemm", ["t", "dense1", "bias1"], ["scores"], attributes: ("alpha", 0.5f))
            .Build();
    }
}
