using Microsoft.ML.OnnxRuntime;
using ModelPack.OrtOps;
using ModelPack.Testing;
using ModelPack.Testing.Onnx;
using ModelPack.Tests.Kernels;
using Xunit;

namespace ModelPack.Tests.Runtime;

/// <summary>The operator ai.modelpack::PackedConv inside ONNX Runtime, beside its own Conv on decoded weights.</summary>
public sealed class PackedConvTests
{
    private const int Channels = 12;
    private const int Outputs = 70;

    [Theory]
    [InlineData(3, 1, 1, 1, new long[] { 2, Channels, 9, 14 })]
    [InlineData(1, 1, 1, 0, new long[] { 3, Channels, 20, 40 })]
    [InlineData(3, 2, 1, 1, new long[] { 1, Channels, 33, 18 })]
    [InlineData(3, 1, 2, 2, new long[] { 1, Channels, 8, 8 })]
    [InlineData(3, 1, 1, 0, new long[] { 0, Channels, 9, 9 })]
    public void Operator_equals_Conv(int kernel, int stride, int dilation, int pad, long[] shape)
    {
        using EncodedMatrix matrix = Matrix(kernel * kernel);
        float[] bias = Values.Weights(2, Outputs);
        float[] x = Values.Weights(3, (int)shape.Aggregate(1L, (a, b) => a * b));
        using InferenceSession dense = OperatorSession.Open(new OnnxBuilder().Input("x", OnnxBuilder.Float, "n", Channels, "h", "w").Initializer("w", matrix.Decoded, Outputs, Channels, kernel, kernel).Initializer("b", bias, Outputs).Output("y", OnnxBuilder.Float, "n", Outputs, "oh", "ow")
            .Node("Conv", ["x", "w", "b"], ["y"], "", "", ("strides", new long[] { stride, stride }), ("dilations", new long[] { dilation, dilation }), ("pads", new long[] { pad, pad, pad, pad })).Build(), 1);
        float[] expected = OperatorSession.Run(dense, x, shape, out long[] expectedShape);
        byte[] packed = Model(matrix, bias, "f32", kernel, stride, dilation, pad);
        using InferenceSession one = OperatorSession.Open(packed, 1);
        using InferenceSession three = OperatorSession.Open(packed, 3);

        float[] y = OperatorSession.Run(one, x, shape, out long[] actualShape);

        Assert.Equal(expectedShape, actualShape);
        Assert.Equal(y, OperatorSession.Run(three, x, shape, out _));
        for (int i = 0; i < y.Length; i++)
        {
            Assert.Equal(expected[i], y[i], 2e-5 * (1 + Math.Abs(expected[i])));
        }
    }

    [Fact]
    public void Lines_without_height_are_images_of_one_line()
    {
        using EncodedMatrix matrix = Matrix(5);
        float[] x = Values.Weights(3, 2 * Channels * 50);
        byte[] model = Node(matrix, null, "f32", [("kernel_h", 1), ("kernel_w", 5), ("pad_w", 2), ("pad_end_w", 2)]);
        using InferenceSession session = OperatorSession.Open(model, 2);

        float[] flat = OperatorSession.Run(session, x, [2, Channels, 50], out long[] shape);

        Assert.Equal([2, Outputs, 50], shape);
        Assert.Equal(OperatorSession.Run(session, x, [2, Channels, 1, 50], out _), flat);
    }

    [Theory]
    [InlineData("shape", "is not [N, 12, H, W]")]
    [InlineData("rank", "is not [N, 12, H, W]")]
    public void Inputs_that_do_not_fit_are_errors(string damage, string message)
    {
        using EncodedMatrix matrix = Matrix(9);
        using InferenceSession session = OperatorSession.Open(Model(matrix, null, "int8", 3, 1, 1, 1), 1);
        long[] shape = damage == "rank" ? [1, Channels, 81] : [1, Channels + 1, 9, 9];

        OnnxRuntimeException error = Assert.Throws<OnnxRuntimeException>(() => OperatorSession.Run(session, new float[shape.Aggregate(1L, (a, b) => a * b)], shape, out _));
        Assert.Contains(message, error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("kernel_w", 2L, "has not 6 for every channel")]
    [InlineData("kernel_w", long.MaxValue, "for every channel")]
    [InlineData("stride_h", 0L, "for every channel")]
    [InlineData("pad_end_h", -5L, "for every channel")]
    public void Windows_that_do_not_fit_the_weight_are_errors_when_the_session_is_made(string attribute, long value, string message)
    {
        // 117 columns: thirteen channels of nine taps, but not of six.
        using EncodedMatrix matrix = EncodedMatrix.Encode("int8", Outputs, 117, Values.Weights(1, Outputs * 117));
        byte[] model = Node(matrix, null, "int8", [("kernel_h", 3), ("kernel_w", 3), (attribute, value)]);

        OnnxRuntimeException error = Assert.Throws<OnnxRuntimeException>(() => OperatorSession.Open(model, 1).Dispose());
        Assert.Contains(message, error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Shape_of_the_output_is_inferred()
    {
        using EncodedMatrix matrix = Matrix(9);
        using InferenceSession session = OperatorSession.Open(Node(matrix, null, "int8", [("kernel_h", 3), ("kernel_w", 3), ("stride_w", 2)], ["images", Channels, 20, 31]), 1);
        Assert.Equal([-1, Outputs, 18, 15], session.OutputMetadata["y"].Dimensions);
    }

    private static EncodedMatrix Matrix(int taps) => EncodedMatrix.Encode("int8", Outputs, Channels * taps, Values.Weights(1, Outputs * Channels * taps));

    private static byte[] Model(EncodedMatrix matrix, float[]? bias, string arithmetic, int kernel, int stride, int dilation, int pad) => Node(
        matrix,
        bias,
        arithmetic,
        [.. new[] { "_h", "_w" }.SelectMany(s => new (string, long)[] { ("kernel" + s, kernel), ("stride" + s, stride), ("dilation" + s, dilation), ("pad" + s, pad), ("pad_end" + s, pad) })]);

    private static byte[] Node(EncodedMatrix matrix, float[]? bias, string arithmetic, (string Name, long Value)[] sizes, object[]? dims = null)
    {
        byte[] weight = matrix.Packed();
        OnnxBuilder model = new OnnxBuilder().Opset(Registration.Domain, 1).Input("x", OnnxBuilder.Float, dims ?? []).Initializer("w", OnnxBuilder.UInt8, weight, weight.Length);
        _ = dims is null ? model.Output("y", OnnxBuilder.Float) : model.Output("y", OnnxBuilder.Float, "a", "b", "c", "d");
        if (bias is not null)
        {
            model.Initializer("b", bias, Outputs);
        }

        var all = new Dictionary<string, long>(StringComparer.Ordinal);
        foreach (string suffix in new[] { "_h", "_w" })
        {
            foreach ((string name, long value) in new[] { ("kernel", 1L), ("stride", 1L), ("dilation", 1L), ("pad", 0L), ("pad_end", 0L) })
            {
                all[name + suffix] = value;
            }
        }

        foreach ((string name, long value) in sizes)
        {
            all[name] = value;
        }

        (string, object)[] attributes = [("N", (long)Outputs), ("arithmetic", arithmetic), .. all.Select(a => (a.Key, (object)a.Value))];
        return model.Node("PackedConv", bias is null ? ["x", "w"] : ["x", "w", "b"], ["y"], Registration.Domain, "", attributes).Build();
    }
}
