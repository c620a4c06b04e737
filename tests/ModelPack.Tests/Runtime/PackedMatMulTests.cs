using System.Reflection;
using Microsoft.ML.OnnxRuntime;
using ModelPack.Kernels.MatMul;
using ModelPack.OrtOps;
using ModelPack.Testing;
using ModelPack.Testing.Onnx;
using ModelPack.Tests.Kernels;
using Xunit;

namespace ModelPack.Tests.Runtime;

/// <summary>The operator ai.modelpack::PackedMatMul inside ONNX Runtime.</summary>
public sealed class PackedMatMulTests
{
    private const int N = 200;
    private const int K = 96;

    [Fact]
    public void FunctionTable_indexes_of_the_operators_match_the_managed_package()
    {
        FieldInfo[] table = typeof(OrtValue).Assembly
            .GetType("Microsoft.ML.OnnxRuntime.OrtApi", throwOnError: true)!
            .GetFields(BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.Instance);

        // The managed package leaves out what it does not use under names of its own: those are fillers.
        foreach ((string name, int index) in ModelPack.OrtOps.OrtApi.Indexes)
        {
            Assert.True(table[index].Name == name || !table.Any(f => f.Name == name), $"{name} is at {Array.FindIndex(table, f => f.Name == name)}, not {index} ({table[index].Name})");
        }
    }

    [Theory]
    [InlineData("int4", "f32")]
    [InlineData("int4", "int8")]
    [InlineData("mxfp4", "int8")]
    [InlineData("nvfp4", "f32")]
    [InlineData("palette", "f32")]
    [InlineData("fp8(scope=tensor)", "f32")]
    public void Operator_equals_the_product_of_decoded_weights(string format, string arithmetic)
    {
        using EncodedMatrix matrix = EncodedMatrix.Encode(format, N, K, Values.Weights(1, N * K));
        float[] bias = Values.Weights(2, N);
        using InferenceSession session = OperatorSession.Open(Model(matrix.Packed(), arithmetic, bias), threads: 2);
        foreach (long[] batch in new[] { new long[] { 1 }, [300], [2, 3], [0], [] })
        {
            int rows = (int)batch.Aggregate(1L, (a, b) => a * b);
            float[] x = Values.Weights(3, rows * K);
            float[] y = OperatorSession.Run(session, x, [.. batch, K], out long[] shape);

            Assert.Equal([.. batch, N], shape);
            double[] expected = new double[rows * N];
            double[] magnitudes = new double[rows * N];
            MatMulReference.Multiply(x, matrix.Decoded, expected, magnitudes, K);
            for (int i = 0; i < y.Length; i++)
            {
                // Half a step of the largest activation for every weight.
                double rounding = arithmetic == "f32" ? 0 : 0.5 / 127 * x.AsSpan(i / N * K, K).ToArray().Max(Math.Abs) * matrix.Decoded.AsSpan(i % N * K, K).ToArray().Sum(Math.Abs);
                double tolerance = (1e-5 * (magnitudes[i] + 1)) + rounding;
                Assert.True(Math.Abs(y[i] - expected[i] - bias[i % N]) <= tolerance, "wrong product");
            }
        }
    }

    [Theory]
    [InlineData("f32")]
    [InlineData("int8")]
    public void Tiles_with_f32_scales_as_they_were_before_give_the_same(string arithmetic)
    {
        using EncodedMatrix matrix = EncodedMatrix.Encode("int4(scale=f16)", N, K, Values.Weights(1, N * K));
        (byte[] today, byte[] earlier) = (matrix.Packed(), matrix.Packed(wide: true));
        Assert.True(today.Length < earlier.Length);
        float[] x = Values.Weights(3, 5 * K);
        using InferenceSession narrow = OperatorSession.Open(Model(today, arithmetic, null), threads: 1);
        using InferenceSession wide = OperatorSession.Open(Model(earlier, arithmetic, null), threads: 1);

        Assert.Equal(OperatorSession.Run(wide, x, [5, K], out _), OperatorSession.Run(narrow, x, [5, K], out _));

        earlier[4] = 2;
        Assert.Throws<OnnxRuntimeException>(() => OperatorSession.Open(Model(earlier, arithmetic, null), threads: 1).Dispose());
    }

    [Fact]
    public void Results_do_not_depend_on_threads()
    {
        using EncodedMatrix matrix = EncodedMatrix.Encode("mxfp4", N, K, Values.Weights(1, N * K));
        byte[] model = Model(matrix.Packed(), "f32", null);
        float[] x = Values.Weights(3, 300 * K);
        using InferenceSession one = OperatorSession.Open(model, threads: 1);
        using InferenceSession two = OperatorSession.Open(model, threads: 3);

        Assert.Equal(OperatorSession.Run(one, x, [300, K], out _), OperatorSession.Run(two, x, [300, K], out _));
    }

    [Fact]
    public void Shape_of_the_output_is_inferred()
    {
        using EncodedMatrix matrix = EncodedMatrix.Encode("int4", N, K, Values.Weights(1, N * K));
        using InferenceSession session = OperatorSession.Open(Model(matrix.Packed(), "f32", null, anyShape: false), threads: 1);

        NodeMetadata output = session.OutputMetadata["y"];
        Assert.Equal(N, output.Dimensions[^1]);
    }

    [Theory]
    [InlineData("cut", "no kernel reads")]
    [InlineData("format", "")]
    [InlineData("arithmetic", "no kernel reads")]
    [InlineData("not-constant", "not a constant")]
    public void Damaged_weights_are_errors_when_the_session_is_made(string damage, string message)
    {
        using EncodedMatrix matrix = EncodedMatrix.Encode("int4", N, K, Values.Weights(1, N * K));
        byte[] bytes = matrix.Packed();
        if (damage == "cut")
        {
            bytes = bytes[..^64];
        }
        else if (damage == "format")
        {
            bytes[20] = (byte)'?';
        }

        byte[] model = damage == "not-constant"
            ? new OnnxBuilder().Opset(Registration.Domain, 1).Input("x", OnnxBuilder.Float, "batch", K).Input("w", OnnxBuilder.UInt8, bytes.Length).Output("y", OnnxBuilder.Float, "batch", N)
                .Node("PackedMatMul", ["x", "w"], ["y"], Registration.Domain, "", ("N", (long)N), ("arithmetic", "f32")).Build()
            : Model(bytes, damage == "arithmetic" ? "f16" : "f32", null);

        OnnxRuntimeException error = Assert.Throws<OnnxRuntimeException>(() => OperatorSession.Open(model, threads: 1).Dispose());
        Assert.Contains(message, error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("relu")]
    [InlineData("silu")]
    [InlineData("gelu")]
    [InlineData("gelu_tanh")]
    [InlineData("hardswish")]
    public void Activation_is_applied_to_what_comes_out(string activation)
    {
        using EncodedMatrix matrix = EncodedMatrix.Encode("int4", N - 3, K, Values.Weights(1, (N - 3) * K));
        float[] bias = Values.Weights(2, N - 3);
        using InferenceSession plain = OperatorSession.Open(Model(matrix.Packed(), "int8", bias, outputs: N - 3), threads: 1);
        using InferenceSession session = OperatorSession.Open(Model(matrix.Packed(), "int8", bias, outputs: N - 3, activation: activation), threads: 2);
        foreach (int rows in new[] { 1, 2, 150 })
        {
            float[] x = Values.Weights(3, rows * K);
            float[] expected = OperatorSession.Run(plain, x, [rows, K], out _);
            float[] y = OperatorSession.Run(session, x, [rows, K], out _);
            for (int i = 0; i < y.Length; i++)
            {
                Assert.Equal(ActivationReference.Of(activation, expected[i]), y[i], 2e-6 * (1 + Math.Abs(expected[i])));
            }
        }
    }

    [Fact]
    public void Unknown_activation_is_an_error()
    {
        using EncodedMatrix matrix = EncodedMatrix.Encode("int4", N, K, Values.Weights(1, N * K));
        OnnxRuntimeException error = Assert.Throws<OnnxRuntimeException>(() => OperatorSession.Open(Model(matrix.Packed(), "f32", null, activation: "tanh"), threads: 1).Dispose());
        Assert.Contains("no activation 'tanh'", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Activations_of_another_width_are_an_error()
    {
        using EncodedMatrix matrix = EncodedMatrix.Encode("int4", N, K, Values.Weights(1, N * K));
        byte[] model = new OnnxBuilder().Opset(Registration.Domain, 1).Input("x", OnnxBuilder.Float, "batch", "width").Output("y", OnnxBuilder.Float, "batch", N)
            .Initializer("w", OnnxBuilder.UInt8, matrix.Packed(), matrix.Packed().Length)
            .Node("PackedMatMul", ["x", "w"], ["y"], Registration.Domain, "", ("N", (long)N), ("arithmetic", "f32")).Build();
        using InferenceSession session = OperatorSession.Open(model, threads: 1);

        OnnxRuntimeException error = Assert.Throws<OnnxRuntimeException>(() => OperatorSession.Run(session, new float[2 * 95], [2, 95], out _));
        Assert.Contains("is not 96", error.Message, StringComparison.Ordinal);
    }

    private static byte[] Model(byte[] weight, string arithmetic, float[]? bias, bool anyShape = true, int outputs = N, string? activation = null)
    {
        OnnxBuilder model = new OnnxBuilder().Opset(Registration.Domain, 1).Input("x", OnnxBuilder.Float).Initializer("w", OnnxBuilder.UInt8, weight, weight.Length);
        if (!anyShape)
        {
            // Names instead of numbers, which inference is to find.
            model = new OnnxBuilder().Opset(Registration.Domain, 1).Input("x", OnnxBuilder.Float, "batch", K).Initializer("w", OnnxBuilder.UInt8, weight, weight.Length);
        }

        _ = anyShape ? model.Output("y", OnnxBuilder.Float) : model.Output("y", OnnxBuilder.Float, "rows", "outputs");
        if (bias is not null)
        {
            model.Initializer("b", bias, outputs);
        }

        (string, object)[] attributes = [("N", (long)outputs), ("arithmetic", arithmetic), .. activation is null ? Array.Empty<(string, object)>() : [("activation", activation)]];
        return model.Node("PackedMatMul", bias is null ? ["x", "w"] : ["x", "w", "b"], ["y"], Registration.Domain, "", attributes).Build();
    }
}
