using System.Buffers.Binary;
using ModelPack.Runtime;
using ModelPack.Testing;
using ModelPack.Testing.Onnx;
using ModelPack.Toolchain;
using Xunit;

namespace ModelPack.Tests.Toolchain;

/// <summary>Decomposed weights from the file to the outputs: planned, loaded, multiplied factor by factor; and decomposition on calibration data.</summary>
public sealed class DecomposeCompileTests : IDisposable
{
    private const int N = 640;
    private const int K = 600;

    private readonly TempFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData("lowrank", 64, "f32", "MatMul", "modelpack:LowRankMatMul(64,f32,f32)")]
    [InlineData("lowrank", 64, "bf16", "MatMul", "modelpack:LowRankMatMul(64,bf16,bf16)")]
    [InlineData("lowrank", 64, "int8", "MatMul", "modelpack:LowRankMatMul(64,int8,int8)")]
    [InlineData("lowrank", 64, "int4", "Gemm", "modelpack:LowRankMatMul(64,int4,int4)")]
    [InlineData("pivotrank", 64, "f32", "MatMul", "modelpack:LowRankMatMul(64,f32,f32)")]
    [InlineData("pivotrank", 64, "int8", "Gemm", "modelpack:LowRankMatMul(64,int8,int8)")]
    [InlineData("mpo", 4, "f32", "Gemm", "ort:MpoMatMul")]
    [InlineData("mpo", 4, "int8", "MatMul", "ort:MpoMatMul")]
    [InlineData("mpo", 96, "f32", "MatMul", "expand")]
    [InlineData("lowrank", 300, "int8", "MatMul", "expand")]
    public void Artifact_gives_the_products_of_its_dense_weights_from_what_is_faster(string structure, int rank, string format, string op, string kernel)
    {
        string packed = Compile(structure, rank, format, op);

        ExplainedNode node = Inspection.Explain(packed).Nodes.Single(n => n.Tensor == "w");
        Assert.True(kernel == node.Kernel, $"{node.Kernel}; {string.Join(", ", node.Alternatives.Select(a => $"{a.Kernel}: {a.Reason}"))}");
        Compare(packed, packed);
    }

    [Theory]
    [InlineData("pivotrank", 64, "int8")]
    [InlineData("mpo", 4, "f32")]
    public void Exports_run_on_stock_operators(string structure, int rank, string format)
    {
        string packed = Compile(structure, rank, format, "MatMul");
        string stock = _folder["stock.onnx"];
        Exporting.Export(packed, "onnx", stock);
        Compare(stock, packed);
    }

    [Theory]
    [InlineData("lowrank", "uniform")]
    [InlineData("pivotrank", "sensitivity")]
    [InlineData("mpo", "sensitivity")]
    public void Compile_with_data_repeats_itself_on_any_number_of_threads(string structure, string allocation)
    {
        string[] sets = [$"structure={structure}", $"allocation={allocation}", "min_vectors=1", "min_elements=64", "ends=decompose", "parameters_percent=60", "exclusions=none"];
        CompileResult one = CompileLanguage("a.mpack", 1, sets);
        CompileResult two = CompileLanguage("b.mpack", 3, sets);

        Assert.Equal(File.ReadAllBytes(one.Output), File.ReadAllBytes(two.Output));
        Assert.Contains(one.Warnings, w => w.Contains("'mix'", StringComparison.Ordinal) && w.Contains("not one value", StringComparison.Ordinal));
        Assert.Contains(Inspection.Inspect(one.Output).Tensors, t => t.Encoding.Contains(structure + "(", StringComparison.Ordinal));
    }

    [Fact]
    public void Gate_keeps_the_last_step_that_loses_no_more()
    {
        string[] sets = ["structure=lowrank", "min_vectors=1", "min_elements=64", "ends=decompose", "exclusions=none", "allocation=uniform", "parameters_percent=55"];
        CompileResult gated = CompileLanguage("gated.mpack", 0, [.. sets, "max_loss_permille=1"]);
        Assert.Contains(gated.Warnings, w => w.Contains("more than 'max_loss_permille' allows", StringComparison.Ordinal));
        Assert.DoesNotContain(CompileLanguage("open.mpack", 0, sets).Warnings, w => w.Contains("max_loss_permille", StringComparison.Ordinal));
    }

    private static void Compare(string planned, string reference)
    {
        using ModelSession model = ModelSession.Open(planned);
        using ModelSession dense = ModelSession.Open(reference, new ModelSessionOptions { ExpandAll = true });
        foreach (int rows in new[] { 1, 9 })
        {
            NamedTensor x = NamedTensor.Of("x", Values.Weights(5, rows * K), rows, K);
            float[] expected = dense.Run(x)[0].Values<float>().ToArray();
            float[] actual = model.Run(x)[0].Values<float>().ToArray();
            Assert.Equal(rows * N, actual.Length);
            for (int i = 0; i < actual.Length; i++)
            {
                Assert.True(Math.Abs(actual[i] - expected[i]) <= 1e-4 * Math.Max(1, Math.Abs(expected[i])), $"{rows} rows, output {i}: {actual[i]}, not {expected[i]}");
            }
        }
    }

    /// <summary>y = x w (+ b).</summary>
    private string Compile(string structure, int rank, string format, string op)
    {
        OnnxBuilder builder = new OnnxBuilder().Input("x", OnnxBuilder.Float, "rows", K).Output("y", OnnxBuilder.Float, "rows", N);
        builder = op == "Gemm"
            ? builder.Initializer("w", Values.Weights(1, K * N), N, K).Initializer("b", Values.Weights(2, N), N).Node("Gemm", ["x", "w", "b"], ["y"], attributes: ("transB", 1L))
            : builder.Initializer("w", Values.Weights(1, K * N), K, N).Node("MatMul", ["x", "w"], ["y"]);
        string quantize = format == "f32" ? "" : $$""",{"pass":"quantize","format":"{{format}}","ends":"same"}""";
        return ModelCompiler.Compile(new CompileRequest
        {
            Input = _folder.Write("m.onnx", builder.Build()),
            Output = _folder["m.mpack"],
            Recipe = _folder.Write("r.json", $$"""{ "name": "r", "passes": ["canonicalize",{"pass":"decompose","structure":"{{structure}}","rank":{{rank}},"ends":"decompose"}{{quantize}}] }"""),
        }).Output;
    }

    private CompileResult CompileLanguage(string output, int threads, params string[] sets)
    {
        byte[] tokens = new byte[2 * 8 * 64];
        var random = new SplitMix(4);
        for (int i = 0; i < tokens.Length; i += 2)
        {
            BinaryPrimitives.WriteUInt16LittleEndian(tokens.AsSpan(i), (ushort)random.Below(64));
        }

        return ModelCompiler.Compile(new CompileRequest
        {
            Input = _folder.Write("m.onnx", NetworkModel.Language()),
            Output = _folder[output],
            Recipe = _folder.Write("r.json", """{ "name": "r", "passes": ["canonicalize","fold-constants","decompose"] }"""),
            Sets = [.. sets.Select(s => $"decompose.{s}")],
            Calibration = _folder.Write("c.tokens.bin", tokens),
            CalibrationOptions = new CalibrationOptions { Window = 8, NoCache = true },
            Threads = threads,
        });
    }
}
