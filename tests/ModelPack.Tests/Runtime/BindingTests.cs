using System.Reflection;
using ModelPack.Runtime;
using ModelPack.Runtime.Native;
using ModelPack.Testing;
using Xunit;

namespace ModelPack.Tests.Runtime;

public sealed class BindingTests
{
    private static readonly float[] W = SmallModels.Values(SmallModels.K * SmallModels.N, 1);
    private static readonly float[] B = SmallModels.Values(SmallModels.N, 2);
    private static readonly float[] X = SmallModels.Values(3 * SmallModels.K, 3);

    [Fact]
    public void FunctionTable_indexes_match_the_managed_package()
    {
        FieldInfo[] table = typeof(Microsoft.ML.OnnxRuntime.OrtValue).Assembly
            .GetType("Microsoft.ML.OnnxRuntime.OrtApi", throwOnError: true)!
            .GetFields(BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.Instance);

        Assert.Equal("GetErrorMessage", table[OrtTable.GetErrorMessageIndex].Name);
        Assert.Equal("ReleaseStatus", table[OrtTable.ReleaseStatusIndex].Name);
        Assert.Equal("AddExternalInitializersFromFilesInMemory", table[OrtTable.AddExternalInitializersFromFilesInMemoryIndex].Name);
    }

    [Fact]
    public void Dense_binding_gives_the_same_bits_as_inline_initializers()
    {
        using var folder = new TempFolder();
        using ModelSession inline = ModelSession.Open(folder.Write("m.onnx", SmallModels.Mlp(W, B, external: false)));
        using var bound = PackedModel.Open("m.mpack", SmallModels.MlpArtifact(W, B), new ModelSessionOptions());

        NamedTensor x = NamedTensor.Of("x", X, 3, SmallModels.K);

        Assert.Equal(inline.Run(x)[0].Bytes.ToArray(), bound.Run(x)[0].Bytes.ToArray());
        Assert.Equal(inline.Inputs.Select(i => i.ToString()), bound.Inputs.Select(i => i.ToString()));
    }

    [Fact]
    public void Buffers_are_free_once_the_session_exists_and_the_model_still_runs()
    {
        using var model = PackedModel.Open("m.mpack", SmallModels.MlpArtifact(W, B), new ModelSessionOptions());

        // Reuse freed memory: had ONNX Runtime kept a reference, the result would change.
        var noise = new List<WeightBuffer>();
        for (int i = 0; i < 64; i++)
        {
            noise.Add(new WeightBuffer(W.Length * 4L));
            noise[^1].Slice(0, W.Length * 4).Fill(0x55);
        }

        float[] y = model.Run(NamedTensor.Of("x", X, 3, SmallModels.K))[0].Values<float>().ToArray();
        noise.ForEach(n => n.Dispose());

        Assert.Equal(Expected(), y, (a, b) => Math.Abs(a - b) < 1e-4);
    }

    [Fact]
    public void Scales_stored_in_16_bits_are_widened()
    {
        ushort[] bf16 = [.. W.Select(v => (ushort)(BitConverter.SingleToUInt32Bits(v) >> 16))];
        float[] truncated = [.. bf16.Select(v => BitConverter.UInt32BitsToSingle((uint)v << 16))];
        Half[] f16 = [.. B.Select(v => (Half)v)];
        var artifact = new FakeArtifact().Graph(
            SmallModels.Mlp(W, B, external: true),
            new("w", "packed", "scales", DType.F32, new Shape(SmallModels.K, SmallModels.N)),
            new("b", "other", "scales", DType.F32, new Shape(SmallModels.N)));
        artifact.Stream("packed", "scales", DType.BF16, bf16).Stream("other", "scales", DType.F16, f16);
        using var narrow = PackedModel.Open("m.mpack", artifact, new ModelSessionOptions());
        using var wide = PackedModel.Open("m.mpack", SmallModels.MlpArtifact(truncated, [.. f16.Select(v => (float)v)]), new ModelSessionOptions());
        NamedTensor x = NamedTensor.Of("x", X, 3, SmallModels.K);

        Assert.Equal(wide.Run(x)[0].Bytes.ToArray(), narrow.Run(x)[0].Bytes.ToArray());
    }

    private static float[] Expected()
    {
        float[] y = new float[3 * SmallModels.N];
        for (int m = 0; m < 3; m++)
        {
            for (int n = 0; n < SmallModels.N; n++)
            {
                double sum = B[n];
                for (int k = 0; k < SmallModels.K; k++)
                {
                    sum += (double)X[(m * SmallModels.K) + k] * W[(k * SmallModels.N) + n];
                }

                y[(m * SmallModels.N) + n] = (float)Math.Max(0, sum);
            }
        }

        return y;
    }
}
