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
    [InlineData("MatMul")]
    [InlineData("Gemm")]
    public void What_factors_leave_runs_packed_beside_them(string op)
    {
        string packed = Compile("lowrank", 8, "f32", op, ""","residual":"int4(block=32)" """);
        ExplainedNode node = Inspection.Explain(packed).Nodes.Single(n => n.Tensor == "w");
        Assert.Equal("modelpack:LowRankMatMul(8,f32,f32)+int4", node.Kernel);
        Compare(packed, packed);
        string stock = _folder["stock.onnx"];
        Exporting.Export(packed, "onnx", stock);
        Compare(stock, packed);
    }

    [Theory]
    [InlineData("tucker2", 12, 2L, true)]
    [InlineData("tucker2", 6, 1L, false)]
    [InlineData("cp", 20, 1L, true)]
    [InlineData("tucker2", 20, 1L, true)]
    public void Convolutions_run_as_three_where_that_is_less(string structure, int rank, long stride, bool calibrated)
    {
        OnnxBuilder builder = new OnnxBuilder().Input("x", OnnxBuilder.Float, 1, 16, 9, 9).Output("y", OnnxBuilder.Float, "b", "c", "h", "w")
            .Initializer("w", Values.Weights(1, 24 * 16 * 9), 24, 16, 3, 3).Initializer("b", Values.Weights(2, 24), 24)
            .Node("Conv", ["x", "w", "b"], ["y"], attributes: [("pads", new long[] { 1, 1, 1, 1 }), ("strides", new[] { stride, stride })]);
        string data = _folder["data"];
        Directory.CreateDirectory(data);
        NpyFile.Write(Path.Combine(data, "x.npy"), DType.F32, new Shape(1, 16, 9, 9), TensorData.FromBytes(System.Runtime.InteropServices.MemoryMarshal.AsBytes(Values.Weights(7, 16 * 81).AsSpan()).ToArray()), default);
        string packed = ModelCompiler.Compile(new CompileRequest
        {
            Input = _folder.Write("m.onnx", builder.Build()),
            Output = _folder["m.mpack"],
            Recipe = _folder.Write("r.json", $$"""{ "name": "r", "passes": ["canonicalize",{"pass":"decompose","convolutions":"{{structure}}","rank":{{rank}},"ends":"decompose","min_elements":1,"min_vectors":1}] }"""),
            Calibration = calibrated ? data : null,
            CalibrationOptions = new CalibrationOptions { NoCache = true },
        }).Output;

        ExplainedNode node = Inspection.Explain(packed).Nodes.Single(n => n.Tensor == "w");
        Assert.True((structure == "cp" || rank < 20) == node.Kernel.StartsWith("ort:FactoredConv(", StringComparison.Ordinal), $"{node.Kernel}; {string.Join(", ", node.Alternatives.Select(a => $"{a.Kernel}: {a.Reason}"))}");
        using ModelSession model = ModelSession.Open(packed);
        using ModelSession dense = ModelSession.Open(packed, new ModelSessionOptions { ExpandAll = true });
        NamedTensor x = NamedTensor.Of("x", Values.Weights(5, 16 * 81), 1, 16, 9, 9);
        float[] expected = dense.Run(x)[0].Values<float>().ToArray();
        float[] actual = model.Run(x)[0].Values<float>().ToArray();
        Assert.Equal(expected.Length, actual.Length);
        Assert.All(expected.Zip(actual), p => Assert.InRange(p.Second, p.First - 1e-4, p.First + 1e-4));
    }

    /// <summary>Inputs with a mean: of the data that a model was calibrated with, every output then has the mean that it had.</summary>
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Bias_correction_gives_outputs_their_means_back(bool convolution)
    {
        const int size = 32;
        OnnxBuilder builder = new OnnxBuilder().Input("x", OnnxBuilder.Float, convolution ? [1, size, 6, 6] : [24, size]).Output("y", OnnxBuilder.Float, convolution ? ["b", "c", "h", "w"] : ["n", "m"]);
        builder = convolution
            ? builder.Initializer("w", Values.Weights(1, 48 * size * 4), 48, size, 2, 2).Node("Conv", ["x", "w"], ["y"])
            : builder.Initializer("w", Values.Weights(1, size * 48), size, 48).Node("MatMul", ["x", "w"], ["y"]);
        float[] x = Values.Weights(7, convolution ? size * 36 : 24 * size);
        for (int i = 0; i < x.Length; i++)
        {
            x[i] += 1 + (i % 5);
        }

        var shape = convolution ? new Shape(1, size, 6, 6) : new Shape(24, size);
        string data = _folder["data"];
        Directory.CreateDirectory(data);
        NpyFile.Write(Path.Combine(data, "x.npy"), DType.F32, shape, TensorData.FromBytes(System.Runtime.InteropServices.MemoryMarshal.AsBytes(x.AsSpan()).ToArray()), default);
        string input = _folder.Write("m.onnx", builder.Build());
        float[] expected = Means(ModelSession.Open(input));
        Assert.InRange(Worst(corrects: true), 0, 1e-3);
        Assert.True(Worst(corrects: false) > 0.05, "there was nothing to correct");

        double Worst(bool corrects) => Means(ModelSession.Open(ModelCompiler.Compile(new CompileRequest
        {
            Input = input,
            Output = _folder["m.mpack"],
            Recipe = _folder.Write("r.json", $$"""{ "name": "r", "passes": ["canonicalize",{"pass":"decompose","structure":"lowrank","convolutions":"tucker2","whiten":false,"rank":2,"heal":false,"healing_rounds":0,"bias_correction":{{(corrects ? "true" : "false")}},"damping_permille":1000,"ends":"decompose","min_elements":1,"min_vectors":1}] }"""),
            Calibration = data,
            CalibrationOptions = new CalibrationOptions { NoCache = true },
        }).Output)).Zip(expected, (a, e) => Math.Abs(a - e)).Max();

        float[] Means(ModelSession session)
        {
            using (session)
            {
                NamedTensor y = session.Run(NamedTensor.Of("x", x, [.. shape.Dims]))[0];
                float[] values = y.Values<float>().ToArray();
                int each = convolution ? values.Length / 48 : 1;
                return [.. Enumerable.Range(0, 48).Select(n => convolution ? values.Skip(n * each).Take(each).Average() : Enumerable.Range(0, 24).Average(r => values[(r * 48) + n]))];
            }
        }
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
    public void Embeddings_become_tensor_trains_by_option()
    {
        string[] sets = ["structure=mpo", "sites=3", "allocation=uniform", "min_vectors=1", "min_elements=64", "exclusions=none", "parameters_percent=75", "rank_multiple=1"];
        string Encoding(params string[] more) => CompileLanguage("e.mpack", 0, [.. sets, .. more]).Tensors.Single(t => t.Name == "embed").Encoding;
        Assert.DoesNotContain("mpo(", Encoding(), StringComparison.Ordinal);
        Assert.Contains("mpo(", Encoding("embeddings=decompose"), StringComparison.Ordinal);
        Assert.True(Verification.Verify(_folder["e.mpack"]).Ok);
        Assert.True(double.IsFinite(Evaluation.Perplexity(_folder["e.mpack"], _folder["c.tokens.bin"], 8).Perplexity!.Value));
    }

    /// <summary>Down projections and the first quarter of the blocks stay whole by default, unless what layers cost was measured.</summary>
    [Theory]
    [InlineData("auto", "uniform", false)]
    [InlineData("auto", "sensitivity", true)]
    [InlineData("none", "uniform", true)]
    [InlineData("paper", "sensitivity", false)]
    public void Exclusions_are_defaults_that_sensitivity_overrides(string exclusions, string allocation, bool decomposed)
    {
        byte[] model = new OnnxBuilder().Input("x", OnnxBuilder.Float, 40, 32).Output("y", OnnxBuilder.Float, "n", "m")
            .Initializer("layers.0.up_proj", Values.Weights(1, 32 * 64), 32, 64).Initializer("layers.1.up_proj", Values.Weights(2, 64 * 64), 64, 64).Initializer("layers.1.down_proj", Values.Weights(3, 64 * 64), 64, 64)
            .Initializer("layers.7.up_proj", Values.Weights(4, 64 * 32), 64, 32)
            .Node("MatMul", ["x", "layers.0.up_proj"], ["a"]).Node("MatMul", ["a", "layers.1.up_proj"], ["b"]).Node("MatMul", ["b", "layers.1.down_proj"], ["c"]).Node("MatMul", ["c", "layers.7.up_proj"], ["y"]).Build();
        string data = _folder["data"];
        Directory.CreateDirectory(data);
        NpyFile.Write(Path.Combine(data, "x.npy"), DType.F32, new Shape(40, 32), TensorData.FromBytes(System.Runtime.InteropServices.MemoryMarshal.AsBytes(Values.Weights(7, 40 * 32).AsSpan()).ToArray()), default);
        CompileResult result = ModelCompiler.Compile(new CompileRequest
        {
            Input = _folder.Write("m.onnx", model),
            Output = _folder["m.mpack"],
            Recipe = _folder.Write("r.json", $$"""{ "name": "r", "passes": ["canonicalize",{"pass":"decompose","structure":"lowrank","parameters_percent":88,"exclusions":"{{exclusions}}","allocation":"{{allocation}}","ends":"decompose","min_elements":1,"min_vectors":1,"rank_multiple":1}] }"""),
            Calibration = data,
            CalibrationOptions = new CalibrationOptions { NoCache = true },
        });
        string[] factored = [.. result.Tensors.Where(t => t.Encoding.Contains("lowrank(", StringComparison.Ordinal)).Select(t => t.Name)];
        Assert.NotEmpty(factored);
        Assert.Equal(decomposed, factored.Any(f => f.Contains("layers.0", StringComparison.Ordinal) || f.Contains("layers.1", StringComparison.Ordinal)));
    }

    [Fact]
    public void Gate_keeps_the_last_step_that_loses_no_more()
    {
        string[] sets = ["structure=lowrank", "min_vectors=1", "min_elements=64", "ends=decompose", "exclusions=none", "allocation=uniform", "parameters_percent=55"];
        CompileResult gated = CompileLanguage("gated.mpack", 0, [.. sets, "max_loss_permille=1"]);
        Assert.Contains(gated.Warnings, w => w.Contains("more than 'max_loss_permille' allows", StringComparison.Ordinal));
        CompileResult open = CompileLanguage("open.mpack", 0, sets);
        Assert.DoesNotContain(open.Warnings, w => w.Contains("max_loss_permille", StringComparison.Ordinal));

        // The more may be lost, the fewer parameters; in the end as few as the other budget says. One that no ranks reach ends there too, and says what is closest.
        long[] bytes = [.. new[] { 1, 10, 50, 100_000 }.Select(l => CompileLanguage("some.mpack", 0, [.. sets, $"max_loss_permille={l}"]).Tensors.Sum(t => t.OutputBytes))];
        Assert.Equal(bytes.OrderDescending(), bytes);
        Assert.True(bytes[0] > bytes[^1]);
        Assert.Equal(open.Tensors.Sum(t => t.OutputBytes), bytes[^1]);
        Assert.Contains(CompileLanguage("least.mpack", 0, [.. sets[..^1], "parameters_percent=1", "max_loss_permille=100000"]).Warnings, w => w.Contains("the closest is", StringComparison.Ordinal) && w.Contains("are kept", StringComparison.Ordinal));
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
    private string Compile(string structure, int rank, string format, string op, string more = "")
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
            Recipe = _folder.Write("r.json", $$"""{ "name": "r", "passes": ["canonicalize",{"pass":"decompose","structure":"{{structure}}","rank":{{rank}},"ends":"decompose"{{more}}}{{quantize}}] }"""),
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
