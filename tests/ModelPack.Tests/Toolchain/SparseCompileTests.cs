using ModelPack.Runtime;
using ModelPack.Testing;
using ModelPack.Testing.Onnx;
using ModelPack.Toolchain;
using Xunit;

namespace ModelPack.Tests.Toolchain;

/// <summary>Block-sparse weights from the file to the outputs: found, stored, planned, loaded and multiplied.</summary>
public sealed class SparseCompileTests : IDisposable
{
    private const int N = 160;
    private const int K = 192;

    private readonly TempFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData("lossless", 9, "modelpack:SparseMatMul(32x32,f32)")]
    [InlineData("mxfp4", 9, "modelpack:SparseMatMul(32x32,mxfp4)")]
    [InlineData("int8", 9, "modelpack:SparseMatMul(32x32,int8)")]
    [InlineData("lossless", 0, "expand")]
    [InlineData("lossless", 9, "expand", null)]
    public void Artifact_gives_the_products_of_its_dense_weights_from_the_kernel_that_is_faster(string recipe, int absentOf10, string kernel, string? accuracy = "exact")
    {
        string packed = Compile(recipe, absentOf10, accuracy);

        // Dense matrices are not sparse ones: nothing of them is said in the plan.
        ExplainedNode[] nodes = [.. Inspection.Explain(packed).Nodes.Where(n => n.Tensor == "w")];
        Assert.True(kernel == (nodes.Length == 0 ? "expand" : nodes[0].Kernel), string.Join("; ", nodes.Select(n => $"{n.Kernel} not {string.Join(", ", n.Alternatives.Select(a => $"{a.Kernel}: {a.Reason}"))}")) + " " + Inspection.Inspect(packed).Tensors.Single(t => t.Name == "w").Encoding);
        foreach (int threads in new[] { 1, 3 })
        {
            using ModelSession model = ModelSession.Open(packed, new ModelSessionOptions { Threads = threads });
            using ModelSession dense = ModelSession.Open(packed, new ModelSessionOptions { Threads = threads, ExpandAll = true });
            foreach (int rows in new[] { 1, 9 })
            {
                NamedTensor x = NamedTensor.Of("x", Values.Weights(5, rows * K), rows, K);
                float[] expected = dense.Run(x)[0].Values<float>().ToArray();
                float[] actual = model.Run(x)[0].Values<float>().ToArray();
                Assert.Equal(rows * N, actual.Length);
                for (int i = 0; i < actual.Length; i++)
                {
                    Assert.True(Math.Abs(actual[i] - expected[i]) <= 1e-4, $"{recipe}, {rows} rows, output {i}: {actual[i]}, not {expected[i]}");
                }
            }
        }
    }

    [Fact]
    public void Plans_of_stock_operators_expand_blocks()
    {
        string stock = _folder["stock.onnx"];
        Exporting.Export(Compile("lossless", 9), "onnx", stock);

        using ModelSession session = ModelSession.Open(stock);
        Assert.Equal(N, session.Run(NamedTensor.Of("x", Values.Weights(5, K), 1, K))[0].Values<float>().Length);
    }

    /// <summary>y = x w with some of the 32 x 32 blocks of w^T zero.</summary>
    private string Compile(string recipe, int absentOf10, string? accuracy = null)
    {
        float[] weights = Values.Weights(1, K * N);
        for (int i = 0; i < weights.Length; i++)
        {
            int block = (i % N / 32 * 6) + (i / N / 32);
            weights[i] = block * 7 % 10 < absentOf10 ? 0 : weights[i];
        }

        string path = _folder.Write("m.onnx", new OnnxBuilder().Input("x", OnnxBuilder.Float, "rows", K).Output("y", OnnxBuilder.Float, "rows", N).Initializer("w", weights, K, N).Node("MatMul", ["x", "w"], ["y"]).Build());
        string packed = _folder["m.mpack"];
        ModelCompiler.Compile(new CompileRequest { Input = path, Output = packed, Recipe = recipe, Accuracy = accuracy, Sets = recipe == "mxfp4" ? ["quantize.ends=same"] : [] });
        return packed;
    }
}
