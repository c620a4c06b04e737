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

    [Theory]
    [InlineData("2:4", 2048, 4096, "modelpack:MaskedMatMul(nm(m=4,n=2),f32)")]
    [InlineData("bank", 2048, 4096, "modelpack:MaskedMatMul(bankbalanced(bank=64,kept=16),f32)")]
    [InlineData("any", 2048, 4096, "modelpack:MaskedMatMul(bitmap,f32)")]
    [InlineData("2:4", 160, 192, "expand")]
    public void Single_elements_run_as_they_are_stored_where_that_is_faster(string pattern, int n, int k, string kernel)
    {
        // w^T [n, k] as the graph has it: Transpose of a matrix stored by outputs.
        float[] weights = Values.Weights(1, n * k);
        for (int i = 0; i < weights.Length; i++)
        {
            bool kept = pattern switch { "2:4" => (i + (i / 4) + (i / k)) % 4 < 2, "bank" => ((i * 5) + (i / k * 7)) % 64 < 16, _ => (uint)(i * 2654435761L >> 7) % 10 < 4 };
            weights[i] = !kept ? 0 : weights[i] == 0 ? 0.01f : weights[i];
        }

        byte[] onnx = new OnnxBuilder().Input("x", OnnxBuilder.Float, "rows", k).Output("y", OnnxBuilder.Float, "rows", n).Initializer("w", weights, n, k)
            .Node("Transpose", ["w"], ["t"], "", "", ("perm", new long[] { 1, 0 })).Node("MatMul", ["x", "t"], ["y"]).Build();
        string packed = _folder["m.mpack"];
        ModelCompiler.Compile(new CompileRequest { Input = _folder.Write("m.onnx", onnx), Output = packed, Recipe = "lossless", Accuracy = "exact", Level = ModelPack.Codecs.CodecLevel.Fast });
        Assert.Equal(kernel, Inspection.Explain(packed).Nodes.Single().Kernel);
        foreach (int threads in new[] { 1, 3 })
        {
            using ModelSession model = ModelSession.Open(packed, new ModelSessionOptions { Threads = threads });
            foreach (int rows in new[] { 1, 6 })
            {
                float[] x = Values.Weights(5, rows * k);
                float[] y = model.Run(NamedTensor.Of("x", x, rows, k))[0].Values<float>().ToArray();
                for (int i = 0; i < y.Length; i += 97)
                {
                    double expected = Enumerable.Range(0, k).Sum(c => (double)x[(i / n * k) + c] * weights[(i % n * k) + c]);
                    Assert.True(Math.Abs(y[i] - expected) <= 1e-4, $"{rows} rows, {threads} threads, output {i}: {y[i]}, not {expected}");
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
