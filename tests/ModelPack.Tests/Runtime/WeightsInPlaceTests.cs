using Microsoft.ML.OnnxRuntime;
using ModelPack.Kernels;
using ModelPack.OrtOps;
using ModelPack.Runtime;
using ModelPack.Runtime.Native;
using ModelPack.Testing;
using ModelPack.Testing.Onnx;
using ModelPack.Tests.Kernels;
using ModelPack.Toolchain;
using Xunit;

namespace ModelPack.Tests.Runtime;

/// <summary>Weights in execution layout are never copied: operators find them by number.</summary>
public sealed unsafe class WeightsInPlaceTests
{
    private const int K = 96;
    private const int N = 200;

    [Fact]
    public void Operators_read_weights_where_they_were_decoded_until_the_model_is_disposed()
    {
        using var folder = new TempFolder();
        string packed = folder["m.mpack"];
        byte[] onnx = new OnnxBuilder().Input("x", OnnxBuilder.Float, "rows", K).Output("y", OnnxBuilder.Float, "rows", N).Output("z", OnnxBuilder.Float, "rows", N)
            .Initializer("w", Values.Weights(1, K * N), K, N).Initializer("v", Values.Weights(2, K * N), K, N)
            .Node("MatMul", ["x", "w"], ["y"]).Node("MatMul", ["x", "v"], ["z"]).Build();
        ModelCompiler.Compile(new CompileRequest { Input = folder.Write("m.onnx", onnx), Output = packed, Recipe = "mxfp4", Accuracy = "exact" });
        using PackedModel model = PackedModel.Open(packed);
        Assert.Equal(2, model.BuffersInPlace.Count);
        NamedTensor x = NamedTensor.Of("x", Values.Weights(3, 2 * K), 2, K);
        float[][] before = [.. model.Run(x).Select(o => o.Values<float>().ToArray())];

        WeightBuffer buffer = model.BuffersInPlace[0];
        int header = 512;
        buffer.Slice(header, (int)buffer.LengthBytes - header).Clear();
        float[][] after = [.. model.Run(x).Select(o => o.Values<float>().ToArray())];

        Assert.Equal(1, before.Zip(after).Count(p => p.First.SequenceEqual(p.Second)));
        Assert.Contains(after, o => o.All(v => v == 0));
        model.Dispose();
        Assert.Throws<ArgumentOutOfRangeException>(() => buffer.Slice(0, 1));
    }

    [Fact]
    public void Artifacts_planned_for_f32_scales_in_tiles_still_run()
    {
        using EncodedMatrix matrix = EncodedMatrix.Encode("int4(scale=f16)", N, K, Values.Weights(1, N * K));
        float[] x = Values.Weights(3, 3 * K);
        float[][] outputs = [.. new[] { false, true }.SelectMany(wide => new long?[] { null, 1 }.Select(budget =>
        {
            using PackedModel model = PackedModel.Open("m.mpack", Artifact(matrix, matrix.Packed(wide).Length), new ModelSessionOptions { ResidentBytes = budget });
            return model.Run(NamedTensor.Of("x", x, 3, K))[0].Values<float>().ToArray();
        }))];

        Assert.All(outputs, y => Assert.Equal(outputs[0], y));
        ModelPackException error = Assert.Throws<ModelPackException>(() => PackedModel.Open("m.mpack", Artifact(matrix, matrix.Packed().Length + 64), new ModelSessionOptions()));
        Assert.Contains($"but the execution layout has {matrix.Packed().Length}", error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(HugePages.LeastBytes - 1)]
    [InlineData(HugePages.LeastBytes)]
    [InlineData(HugePages.LeastBytes + 4097)]
    public void Large_buffers_begin_where_large_pages_do_and_are_whole(long lengthBytes)
    {
        using var buffer = new WeightBuffer(lengthBytes);
        Assert.Equal(0, buffer.Address % (lengthBytes >= HugePages.LeastBytes ? (nint)HugePages.PageBytes : 64));
        buffer.Slice(0, (int)lengthBytes).Fill(0x5A);
        Assert.Equal(-1, buffer.Slice(0, (int)lengthBytes).IndexOfAnyExcept((byte)0x5A));
    }

    [Fact]
    public void Numbers_are_forgotten_when_they_are_removed()
    {
        byte[] bytes = new byte[64];
        byte[] constant = new byte[WeightReferences.LengthBytes];
        fixed (byte* weight = bytes, reference = constant)
        {
            long number = WeightReferences.Add((nint)weight, bytes.Length);
            WeightReferences.Write(number, constant);
            PackedInput found = WeightReferences.Resolve(new PackedInput(reference, constant.Length));
            Assert.True(found.Data == weight && found.LengthBytes == bytes.Length);

            WeightReferences.Remove(number);
            WeightReferences.Remove(number);

            Assert.True(WeightReferences.Resolve(new PackedInput(reference, constant.Length)).Data == reference);
        }
    }

    [Theory]
    [InlineData(0)] // Another word.
    [InlineData(4)] // Another version.
    [InlineData(15)] // A number that was never given.
    public void Graphs_cannot_name_memory(int damage)
    {
        byte[] constant = new byte[WeightReferences.LengthBytes];
        byte[] weight = new byte[4096];
        fixed (byte* address = weight)
        {
            long number = WeightReferences.Add((nint)address, weight.Length);
            WeightReferences.Write(number, constant);
            constant[damage] ^= 0x40;
            byte[] model = new OnnxBuilder().Opset(Registration.Domain, 1).Input("x", OnnxBuilder.Float, "rows", K).Initializer("w", OnnxBuilder.UInt8, constant, constant.Length).Output("y", OnnxBuilder.Float, "rows", N)
                .Node("PackedMatMul", ["x", "w"], ["y"], Registration.Domain, "", ("N", (long)N), ("arithmetic", "f32")).Build();

            OnnxRuntimeException error = Assert.Throws<OnnxRuntimeException>(() => OperatorSession.Open(model).Dispose());
            Assert.Contains("a weight of 16 bytes that no kernel reads", error.Message, StringComparison.Ordinal);
            WeightReferences.Remove(number);
        }
    }

    private static FakeArtifact Artifact(EncodedMatrix matrix, long bytes)
    {
        byte[] graph = new OnnxBuilder().Opset(Registration.Domain, 1).Input("x", OnnxBuilder.Float, "rows", K).Output("y", OnnxBuilder.Float, "rows", N).External("w_tiles", OnnxBuilder.UInt8, [bytes], "model.mpack", 0, bytes)
            .Node("PackedMatMul", ["x", "w_tiles"], ["y"], Registration.Domain, "", ("N", (long)N), ("arithmetic", "f32")).Build();
        FakeArtifact artifact = new FakeArtifact().Graph(graph, new InitializerBinding("w_tiles", "w", InitializerBinding.Tiles, DType.U8, new Shape(bytes)));
        foreach ((string role, nint stream) in matrix.Roles.Zip(matrix.Streams(matrix.Roles)))
        {
            long length = role == "codes" ? N * K / 2 : N * K / 32 * sizeof(ushort);
            artifact.Stream("w", role, DType.U8, new Span<byte>((void*)stream, (int)length).ToArray());
        }

        return artifact.Matrix("w", new DenseEncoding(matrix.Spec, matrix.Shape, []));
    }
}
