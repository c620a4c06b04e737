using Microsoft.ML.OnnxRuntime;
using ModelPack.OrtOps;
using ModelPack.Testing;
using ModelPack.Testing.Onnx;
using ModelPack.Tests.Kernels;
using Xunit;

namespace ModelPack.Tests.Runtime;

/// <summary>The operator ai.modelpack::PackedGather inside ONNX Runtime, beside its own Gather on the decoded table.</summary>
public sealed class PackedGatherTests
{
    private const int Rows = 200;
    private const int N = 96;

    [Theory]
    [InlineData("int8(scale=f16)")]
    [InlineData("int4(symmetric=false)")]
    [InlineData("mxfp6")]
    [InlineData("nvfp4")]
    [InlineData("bf16")]
    public void Operator_equals_Gather_on_the_decoded_table(string format)
    {
        using EncodedMatrix matrix = EncodedMatrix.Encode(format, Rows, N, Values.Weights(1, Rows * N));
        foreach (bool narrow in new[] { false, true })
        {
            int type = narrow ? OnnxBuilder.Int32 : OnnxBuilder.Int64;
            using InferenceSession own = OperatorSession.Open(Model(matrix.Packed(), type), threads: 2);
            using InferenceSession gather = OperatorSession.Open(
                new OnnxBuilder().Input("x", type).Output("y", OnnxBuilder.Float).Initializer("w", matrix.Decoded, Rows, N).Node("Gather", ["w", "x"], ["y"]).Build());
            foreach (long[] shape in new[] { [], [0], [1], [2, 3], new long[] { 1, 7, 1 } })
            {
                long count = shape.Aggregate(1L, (a, b) => a * b);
                long[] indices = [.. Enumerable.Range(0, (int)count).Select(i => (i % 2 == 0 ? 1 : -1) * ((i * 37L) + 1) % Rows)];

                float[] expected = Run(gather, indices, shape, narrow, out long[] expectedShape);
                float[] actual = Run(own, indices, shape, narrow, out long[] actualShape);

                Assert.Equal(expectedShape, actualShape);
                Assert.Equal(expected.Select(BitConverter.SingleToUInt32Bits), actual.Select(BitConverter.SingleToUInt32Bits));
            }
        }
    }

    [Fact]
    public void Shape_of_the_output_is_inferred()
    {
        using EncodedMatrix matrix = EncodedMatrix.Encode("int8", Rows, N, Values.Weights(1, Rows * N));
        byte[] packed = matrix.Packed();
        using InferenceSession session = OperatorSession.Open(new OnnxBuilder().Opset(Registration.Domain, 1).Input("x", OnnxBuilder.Int64, "batch", 5).Initializer("w", OnnxBuilder.UInt8, packed, packed.Length)
            .Output("y", OnnxBuilder.Float, "a", "b", "c").Node("PackedGather", ["w", "x"], ["y"], Registration.Domain, "", ("N", (long)N)).Build());

        Assert.Equal([5, N], session.OutputMetadata["y"].Dimensions[1..]);
    }

    [Theory]
    [InlineData(Rows)]
    [InlineData(-Rows - 1)]
    [InlineData(long.MaxValue)]
    public void Rows_that_do_not_exist_are_an_error(long index)
    {
        using EncodedMatrix matrix = EncodedMatrix.Encode("int8", Rows, N, Values.Weights(1, Rows * N));
        using InferenceSession session = OperatorSession.Open(Model(matrix.Packed(), OnnxBuilder.Int64));

        OnnxRuntimeException error = Assert.Throws<OnnxRuntimeException>(() => Run(session, [0, index], [2], narrow: false, out _));
        Assert.Contains($"index {index} is outside of the table's 200 rows", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Indices_that_are_no_integers_are_an_error()
    {
        using EncodedMatrix matrix = EncodedMatrix.Encode("int8", Rows, N, Values.Weights(1, Rows * N));
        using InferenceSession session = OperatorSession.Open(Model(matrix.Packed(), OnnxBuilder.Float));

        OnnxRuntimeException error = Assert.Throws<OnnxRuntimeException>(() => OperatorSession.Run(session, [1f], [1], out _));
        Assert.Contains("the indices are not i32 or i64", error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("cut", "no kernel reads")]
    [InlineData("not-constant", "not a constant")]
    public void Damaged_tables_are_errors_when_the_session_is_made(string damage, string message)
    {
        using EncodedMatrix matrix = EncodedMatrix.Encode("int8", Rows, N, Values.Weights(1, Rows * N));
        byte[] packed = matrix.Packed();
        byte[] model = damage == "cut"
            ? Model(packed[..^64], OnnxBuilder.Int64)
            : new OnnxBuilder().Opset(Registration.Domain, 1).Input("w", OnnxBuilder.UInt8, packed.Length).Input("x", OnnxBuilder.Int64, "batch").Output("y", OnnxBuilder.Float, "batch", N)
                .Node("PackedGather", ["w", "x"], ["y"], Registration.Domain, "", ("N", (long)N)).Build();

        OnnxRuntimeException error = Assert.Throws<OnnxRuntimeException>(() => OperatorSession.Open(model).Dispose());
        Assert.Contains(message, error.Message, StringComparison.Ordinal);
    }

    private static byte[] Model(byte[] table, int type) => new OnnxBuilder().Opset(Registration.Domain, 1).Input("x", type).Output("y", OnnxBuilder.Float).Initializer("w", OnnxBuilder.UInt8, table, table.Length)
        .Node("PackedGather", ["w", "x"], ["y"], Registration.Domain, "", ("N", (long)N)).Build();

    private static float[] Run(InferenceSession session, long[] indices, long[] shape, bool narrow, out long[] outputShape)
    {
        using OrtValue input = narrow ? OrtValue.CreateTensorValueFromMemory(indices.Select(i => (int)i).ToArray(), shape) : OrtValue.CreateTensorValueFromMemory(indices, shape);
        using var options = new RunOptions();
        using IDisposableReadOnlyCollection<OrtValue> outputs = session.Run(options, ["x"], [input], ["y"]);
        outputShape = outputs[0].GetTensorTypeAndShape().Shape;
        return outputs[0].GetTensorDataAsSpan<float>().ToArray();
    }
}
