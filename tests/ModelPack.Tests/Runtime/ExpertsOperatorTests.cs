using Microsoft.ML.OnnxRuntime;
using ModelPack.OrtOps;
using ModelPack.Testing;
using ModelPack.Testing.Onnx;
using ModelPack.Tests.Kernels;
using Xunit;

namespace ModelPack.Tests.Runtime;

/// <summary>The operator ai.modelpack::Experts inside ONNX Runtime: threads, and what it says about graphs that do not fit it. Its outputs: ExpertsTests, ExpertsCompileTests.</summary>
public sealed class ExpertsOperatorTests
{
    private const int Width = 96;
    private const int Hidden = 160;
    private const int Experts = 4;

    [Theory]
    [InlineData("f32")]
    [InlineData("int8")]
    public void Outputs_are_the_same_on_any_number_of_threads(string arithmetic)
    {
        using InferenceSession one = OperatorSession.Open(Model("", arithmetic), threads: 1);
        using InferenceSession three = OperatorSession.Open(Model("", arithmetic), threads: 3);
        foreach (int rows in new[] { 1, 40, 300, 0 })
        {
            float[] x = Values.Weights(9, rows * Width);
            float[] y = Run(one, x, rows, Experts);

            Assert.Equal(rows * Width, y.Length);
            Assert.All(y, v => Assert.True(float.IsFinite(v)));
            Assert.Equal(rows > 0, Array.Exists(y, v => v != 0));
            for (int again = 0; again < 3; again++)
            {
                Assert.Equal(y, Run(three, x, rows, Experts));
            }
        }
    }

    [Theory]
    [InlineData("activation", "no 4 experts with activation 'tanh'")]
    [InlineData("arithmetics", "and 2 arithmetics")]
    [InlineData("arithmetic", "with arithmetic int3")]
    [InlineData("experts", "no 0 experts")]
    [InlineData("sizes", "do not fit each other")]
    [InlineData("cut", "no kernel reads")]
    [InlineData("not-constant", "not a constant")]
    public void Damaged_graphs_are_errors_when_the_session_is_made(string damage, string message)
    {
        OnnxRuntimeException error = Assert.Throws<OnnxRuntimeException>(() => OperatorSession.Open(Model(damage)).Dispose());
        Assert.Contains(message, error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(Width - 1, Experts, 2)]
    [InlineData(Width, Experts - 1, 2)]
    [InlineData(Width, Experts, 3)]
    public void Activations_and_shares_that_do_not_fit_are_an_error(int width, int experts, int rows)
    {
        using InferenceSession session = OperatorSession.Open(Model(""));
        using var x = OrtValue.CreateTensorValueFromMemory(new float[2 * width], [2, width]);
        using var shares = OrtValue.CreateTensorValueFromMemory(new float[rows * experts], [rows, experts]);
        using var options = new RunOptions();

        OnnxRuntimeException error = Assert.Throws<OnnxRuntimeException>(() => session.Run(options, ["x", "shares"], [x, shares], ["y"]).Dispose());
        Assert.Contains($"not rows of {Width} and {Experts} values", error.Message, StringComparison.Ordinal);
    }

    private static float[] Run(InferenceSession session, float[] x, int rows, int experts)
    {
        // Every row two of them.
        float[] shares = new float[rows * experts];
        for (int row = 0; row < rows; row++)
        {
            shares[(row * experts) + (row % experts)] = 0.7f;
            shares[(row * experts) + (row * 7 / 2 % (experts - 1))] = -1.5f;
        }

        using var input = OrtValue.CreateTensorValueFromMemory(x, [rows, Width]);
        using var choices = OrtValue.CreateTensorValueFromMemory(shares, [rows, experts]);
        using var options = new RunOptions();
        using IDisposableReadOnlyCollection<OrtValue> outputs = session.Run(options, ["x", "shares"], [input, choices], ["y"]);
        return outputs[0].GetTensorDataAsSpan<float>().ToArray();
    }

    private static byte[] Model(string damage, string arithmetic = "f32")
    {
        OnnxBuilder model = new OnnxBuilder().Opset(Registration.Domain, 1).Input("x", OnnxBuilder.Float, "rows", "width").Input("shares", OnnxBuilder.Float, "tokens", "experts").Output("y", OnnxBuilder.Float, "rows", Width);
        var inputs = new List<string> { "x", "shares" };
        for (int i = 0; i < 3 * Experts; i++)
        {
            int hidden = damage == "sizes" && i == 7 ? Hidden - 32 : Hidden;
            (int rows, int columns) = i % 3 == 2 ? (Width, hidden) : (hidden, Width);
            using EncodedMatrix matrix = EncodedMatrix.Encode("int4", rows, columns, Values.Weights((ulong)i, rows * columns));
            byte[] packed = damage == "cut" && i == 7 ? matrix.Packed()[..^64] : matrix.Packed();
            _ = damage == "not-constant" && i == 7 ? model.Input("w7", OnnxBuilder.UInt8, packed.Length) : model.Initializer($"w{i}", OnnxBuilder.UInt8, packed, packed.Length);
            inputs.Add($"w{i}");
        }

        return model.Node(
            "Experts", [.. inputs], ["y"], Registration.Domain, "",
            ("N", (long)Width), ("experts", damage == "experts" ? 0L : Experts), ("activation", damage == "activation" ? "tanh" : "silu"),
            ("arithmetic", damage switch { "arithmetics" => "f32,int8", "arithmetic" => "int3", _ => arithmetic })).Build();
    }
}
