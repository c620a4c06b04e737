using ModelPack.Pack;
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

    [Theory]
    [InlineData("int8", "int8(")]
    [InlineData("mxfp4", "mxfp4(")]
    public void Weights_are_quantised_alike_before_and_after_they_are_stored_sparse(string format, string stored)
    {
        string quantize = $$"""{ "pass": "quantize", "format": "{{format}}", "ends": "same" }""";
        string first = Compile(_folder.Write("first.json", $$"""{ "name": "r", "passes": ["canonicalize", "detect-sparsity", {{quantize}}] }"""), 9);
        (string encoding, float[] values) = Weight(first);
        Assert.Contains("blocksparse(block=32x32) > { u8; " + stored, encoding, StringComparison.Ordinal);

        (string last, float[] same) = Weight(Compile(_folder.Write("last.json", $$"""{ "name": "r", "passes": ["canonicalize", {{quantize}}, "detect-sparsity"] }"""), 9));
        Assert.Equal(encoding, last);
        Assert.Equal(values, same);

        // Blocks of 32 values lie within blocks of the matrix or outside: the values of the dense weight.
        (string dense, float[] expected) = Weight(Compile(_folder.Write("dense.json", $$"""{ "name": "r", "passes": ["canonicalize", {{quantize}}] }"""), 9));
        Assert.DoesNotContain("blocksparse", dense, StringComparison.Ordinal);
        Assert.Equal(expected, values);
    }

    [Theory]
    [InlineData("""{ "match": "w", "quantize": false }""", "blocksparse(block=32x32) > { u8; f32 }")]
    [InlineData("""{ "match": "w", "quantize": { "format": "palette(bits=4)" } }""", "palette(")]
    public void Sparse_weights_that_are_not_quantised_stay_and_formats_of_the_whole_weight_store_it_whole(string rule, string stored)
    {
        (string Encoding, float[] Values) Of(string name, string before) => Weight(Compile(
            _folder.Write(name, $$"""{ "name": "r", "passes": ["canonicalize", {{before}}{ "pass": "quantize", "format": "int8", "ends": "same" }], "rules": [{{rule}}] }"""), 9));
        (string encoding, float[] values) = Of("sparse.json", "\"detect-sparsity\", ");

        Assert.Contains(stored, encoding, StringComparison.Ordinal);
        Assert.Equal(stored.StartsWith("blocksparse", StringComparison.Ordinal), encoding.Contains("blocksparse", StringComparison.Ordinal));
        Assert.Equal(Of("dense.json", "").Values, values);
    }

    /// <summary>int4 keeps weights dense, and says what that costs when they have blocks of zeros; of dense weights, which get many zeros in int4, nothing is said.</summary>
    [Theory]
    [InlineData(9, "auto", true)]
    [InlineData(0, "auto", false)]
    [InlineData(9, "no", false)]
    [InlineData(9, "yes", false)]
    public void Int4_of_sparse_weights_is_a_warning_that_names_recipes(int absentOf10, string quantized, bool warns)
    {
        CompileResult result = CompileResult("int4", absentOf10, sets: ["quantize.ends=same", $"detect-sparsity.quantized={quantized}"]);

        string[] warnings = [.. result.Warnings.Where(w => w.Contains("zero in blocks", StringComparison.Ordinal))];
        Assert.Equal(warns ? 1 : 0, warnings.Length);
        Assert.All(warnings, w => Assert.Contains("1 weight is zero in blocks ('w': ", w, StringComparison.Ordinal));
        Assert.All(warnings, w => Assert.Contains("recipes mxfp4 and int8 keep them sparse", w, StringComparison.Ordinal));
        string encoding = Weight(_folder["m.mpack"]).Encoding;
        Assert.True((quantized == "yes") == encoding.Contains("blocksparse", StringComparison.Ordinal), encoding);
    }

    [Fact]
    public void Plans_of_stock_operators_expand_blocks()
    {
        string stock = _folder["stock.onnx"];
        Exporting.Export(Compile("lossless", 9), "onnx", stock);

        using ModelSession session = ModelSession.Open(stock);
        Assert.Equal(N, session.Run(NamedTensor.Of("x", Values.Weights(5, K), 1, K))[0].Values<float>().Length);
    }

    /// <summary>Encoding and values of the weight.</summary>
    private static (string Encoding, float[] Values) Weight(string path)
    {
        using PackReader reader = PackReader.Open(path);
        WeightEncoding encoding = reader.Tensors.Single(t => t.Name == "w").Encoding;
        float[] values = new float[encoding.Shape.ElementCount];
        EncodingValues.Open(encoding).ReadRows(0, (int)encoding.Shape.Rows, values);
        return (encoding.Describe(), values);
    }

    /// <summary>y = x w with some of the 32 x 32 blocks of w^T zero.</summary>
    private string Compile(string recipe, int absentOf10, string? accuracy = null)
    {
        CompileResult(recipe, absentOf10, accuracy, recipe == "mxfp4" ? ["quantize.ends=same"] : []);
        return _folder["m.mpack"];
    }

    private CompileResult CompileResult(string recipe, int absentOf10, string? accuracy = null, string[]? sets = null)
    {
        float[] weights = Values.Weights(1, K * N);
        for (int i = 0; i < weights.Length; i++)
        {
            int block = (i % N / 32 * 6) + (i / N / 32);
            weights[i] = block * 7 % 10 < absentOf10 ? 0 : weights[i];
        }

        string path = _folder.Write("m.onnx", new OnnxBuilder().Input("x", OnnxBuilder.Float, "rows", K).Output("y", OnnxBuilder.Float, "rows", N).Initializer("w", weights, K, N).Node("MatMul", ["x", "w"], ["y"]).Build());
        return ModelCompiler.Compile(new CompileRequest { Input = path, Output = _folder["m.mpack"], Recipe = recipe, Accuracy = accuracy, Sets = sets ?? [] });
    }
}
