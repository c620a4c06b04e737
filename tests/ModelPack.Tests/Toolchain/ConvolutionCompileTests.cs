using ModelPack.Runtime;
using ModelPack.Testing;
using ModelPack.Testing.Onnx;
using ModelPack.Toolchain;
using Xunit;

namespace ModelPack.Tests.Toolchain;

/// <summary>Large convolutions run on packed kernels where activations may be rounded, with the activation that follows; others are expanded.</summary>
public sealed class ConvolutionCompileTests : IDisposable
{
    private const int Channels = 128;

    private readonly TempFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData("", "fast", "modelpack:PackedConv(int8,int8)")]
    [InlineData("relu", "fast", "modelpack:PackedConv(int8,int8)")]
    [InlineData("hardswish", "fast", "modelpack:PackedConv(int8,int8)")]
    [InlineData("hard sigmoid", "fast", "modelpack:PackedConv(int8,int8)")]
    [InlineData("read twice", "fast", "modelpack:PackedConv(int8,int8)")]
    [InlineData("line", "fast", "modelpack:PackedConv(int8,int8)")]
    [InlineData("valid", "fast", "modelpack:PackedConv(int8,int8)")]
    [InlineData("", "exact", "expand")]
    [InlineData("groups", "fast", "expand")]
    [InlineData("same", "fast", "expand")]
    [InlineData("few", "fast", "expand")]
    public void Outputs_are_those_of_dense_execution(string variant, string accuracy, string kernel)
    {
        string packed = _folder["m.mpack"];
        ModelCompiler.Compile(new CompileRequest { Input = _folder.Write("m.onnx", Model(variant)), Output = packed, Recipe = "int8", Accuracy = accuracy });

        Assert.Equal([kernel], Inspection.Explain(packed).Nodes.Select(n => n.Kernel));
        using ModelSession dense = ModelSession.Open(packed, new ModelSessionOptions { Threads = 1, ExpandAll = true });
        float[][]? first = null;
        foreach (int threads in new[] { 1, 3 })
        {
            using ModelSession model = ModelSession.Open(packed, new ModelSessionOptions { Threads = threads });
            NamedTensor x = variant == "line" ? NamedTensor.Of("x", Values.Weights(5, 2 * Channels * 40), 2, Channels, 40) : NamedTensor.Of("x", Values.Weights(5, 2 * Channels * 9 * 12), 2, Channels, 9, 12);
            float[][] expected = [.. dense.Run(x).Select(o => o.Values<float>().ToArray())];
            float[][] actual = [.. model.Run(x).Select(o => o.Values<float>().ToArray())];
            Assert.Equal(expected.Select(e => e.Length), actual.Select(a => a.Length));
            Assert.Equal(first ?? actual, actual);
            first = actual;
            for (int o = 0; o < expected.Length; o++)
            {
                double error = Math.Sqrt(expected[o].Zip(actual[o]).Sum(p => Math.Pow(p.First - p.Second, 2)) / expected[o].Sum(v => (double)v * v));
                Assert.True(error <= (kernel == "expand" ? 1e-6 : 0.015), $"output {o}: relative error {error}");
                Assert.Equal(kernel == "expand", error < 1e-5);
            }
        }
    }

    private static byte[] Model(string variant)
    {
        int outputs = variant == "few" ? 16 : 132;
        int groups = variant == "groups" ? 4 : 1;
        long[] taps = variant == "line" ? [3] : [3, 3];
        object[] dims = variant == "line" ? ["n", Channels, "w"] : ["n", Channels, "h", "w"];
        object[] outputDims = variant == "line" ? ["n", outputs, "w2"] : ["n", outputs, "h2", "w2"];
        long[] shape = [outputs, Channels / groups, .. taps];
        var attributes = new List<(string, object)> { ("kernel_shape", taps), ("group", (long)groups) };
        if (variant is "valid" or "same")
        {
            attributes.Add(("auto_pad", variant == "valid" ? "VALID" : "SAME_UPPER"));
        }
        else
        {
            attributes.Add(("pads", Enumerable.Repeat(1L, 2 * taps.Length).ToArray()));
        }

        OnnxBuilder model = new OnnxBuilder(17).Input("x", OnnxBuilder.Float, dims).Output("y", OnnxBuilder.Float, outputDims)
            .Initializer("w", Values.Weights(1, (int)shape.Aggregate(1L, (a, b) => a * b)), [.. shape]).Initializer("b", Values.Weights(2, outputs), outputs);
        string result = variant is "relu" or "hardswish" or "hard sigmoid" or "read twice" ? "u" : "y";
        model.Node("Conv", ["x", "w", "b"], [result], "", "conv", [.. attributes]);
        switch (variant)
        {
            case "relu":
                model.Node("Relu", ["u"], ["y"]);
                break;
            case "hardswish":
                model.Node("HardSwish", ["u"], ["y"]);
                break;
            case "hard sigmoid":
                model.Node("HardSigmoid", ["u"], ["g"], "", "", ("alpha", 1f / 6), ("beta", 0.5f)).Node("Mul", ["g", "u"], ["y"]);
                break;
            case "read twice":
                model.Node("Relu", ["u"], ["r"]).Node("Sub", ["r", "u"], ["y"]);
                break;
        }

        return model.Build();
    }
}
