using ModelPack.Testing;
using ModelPack.Testing.Onnx;

namespace ModelPack.Tests.Runtime;

/// <summary>Small graphs and their weights, seeded.</summary>
internal static class SmallModels
{
    public const int K = 96;
    public const int N = 40;

    public static float[] Values(int count, ulong seed)
    {
        var random = new SplitMix(seed);
        float[] values = new float[count];
        for (int i = 0; i < count; i++)
        {
            values[i] = ((int)(random.Next() >> 40) - (1 << 23)) / (float)(1 << 23);
        }

        return values;
    }

    /// <summary>y = relu(x w + b) with x [batch, K]; weights inline or declared external.</summary>
    public static byte[] Mlp(float[] w, float[] b, bool external)
    {
        var model = new OnnxBuilder()
            .Input("x", OnnxBuilder.Float, "batch", K)
            .Output("y", OnnxBuilder.Float, "batch", N)
            .Node("MatMul", ["x", "w"], ["h"])
            .Node("Add", ["h", "b"], ["s"])
            .Node("Relu", ["s"], ["y"]);
        if (external)
        {
            model.External("w", OnnxBuilder.Float, [K, N], "model.mpack", 0, w.Length * 4L).External("b", OnnxBuilder.Float, [N], "model.mpack", 0, b.Length * 4L);
        }
        else
        {
            model.Initializer("w", w, K, N).Initializer("b", b, N);
        }

        return model.Build();
    }

    public static InitializerBinding[] MlpBindings() =>
        [new("w", "w", null, DType.F32, new Shape(K, N)), new("b", "b", null, DType.F32, new Shape(N))];

    public static FakeArtifact MlpArtifact(float[] w, float[] b) =>
        new FakeArtifact().Graph(Mlp(w, b, external: true), MlpBindings()).Tensor("w", DType.F32, w, K, N).Tensor("b", DType.F32, b, N);
}
