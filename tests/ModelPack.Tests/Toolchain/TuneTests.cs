using System.Text.Json.Nodes;
using System.Xml.Linq;
using ModelPack.Testing;
using ModelPack.Testing.Onnx;
using ModelPack.Toolchain;
using Xunit;

namespace ModelPack.Tests.Toolchain;

/// <summary>The search for an encoding per tensor: it reaches its targets, beats what anybody would try first, goes on where it was stopped, and gives a recipe that does what it says.</summary>
public sealed class TuneTests(Xunit.Abstractions.ITestOutputHelper output)
{
    private const int Tokens = 16;

    [Theory]
    [InlineData(3.3)]
    [InlineData(4.25)]
    [InlineData(6.0)]
    public void Run_bits_areKept_andNoUniformCandidateIsBetter(double bits)
    {
        using var folder = new TempFolder();
        (string model, string tokens) = Language(folder);
        TuneResult result = Tuner.Run(Request(folder, model, tokens, new TuneTarget(TuneTargetKind.Bits, bits)));

        Assert.InRange(result.BitsPerWeight, bits - 0.5, bits);
        Assert.Equal("divergence", result.LossKind);
        Assert.All(result.Uniform.Where(u => u.BitsPerWeight <= bits), u => Assert.InRange(result.Loss, 0, u.Loss!.Value));
        Assert.Equal(["embed", "up", "mix", "head"], result.Tensors.Select(t => t.Name));
        Assert.Single(result.Front, p => p.Chosen);
        Assert.True(result.Front.Select(p => p.Bytes).SequenceEqual(result.Front.Select(p => p.Bytes).Order()));
    }

    [Fact]
    public void Run_writesARecipe_thatCompilesToWhatWasFound()
    {
        using var folder = new TempFolder();
        (string model, string tokens) = Language(folder);
        TuneResult result = Tuner.Run(Request(folder, model, tokens, new TuneTarget(TuneTargetKind.Bits, 4.25)));
        CompileResult compiled = ModelCompiler.Compile(new CompileRequest
        {
            Input = model,
            Output = folder["m.mpack"],
            Recipe = result.Output,
            Calibration = tokens,
            CalibrationOptions = new CalibrationOptions { Window = Tokens, NoCache = true },
        });

        foreach (TunedTensor tensor in result.Tensors)
        {
            string encoding = compiled.Tensors.Single(t => t.Name == tensor.Name).Encoding;
            Assert.Contains(tensor.Format.Split('(')[0], encoding, StringComparison.Ordinal);
        }

        // For people and for programs.
        JsonObject front = JsonNode.Parse(File.ReadAllText(folder["r.front.json"]))!.AsObject();
        Assert.Equal(result.Front.Count, front["front"]!.AsArray().Count);
        string[] lines = File.ReadAllLines(folder["r.front.csv"]);
        Assert.Equal(1 + result.Front.Count + result.Uniform.Count, lines.Length);
        Assert.Equal("svg", XDocument.Load(folder["r.front.svg"]).Root!.Name.LocalName);
        Assert.DoesNotContain("min_elements", File.ReadAllText(result.Output), StringComparison.Ordinal);
    }

    [Fact]
    public void Compile_auto_searchesAndCompiles_andItsRecordGivesTheSameBytes()
    {
        using var folder = new TempFolder();
        (string model, string tokens) = Language(folder);
        CompileRequest request = new()
        {
            Input = model,
            Output = folder["one.mpack"],
            Recipe = "auto",
            TuneTarget = new TuneTarget(TuneTargetKind.Bits, 4.25),
            Calibration = tokens,
            CalibrationOptions = new CalibrationOptions { Window = Tokens, CacheFolder = folder["cache"] },
            Threads = 1,
        };
        ModelCompiler.Compile(request);
        ModelCompiler.Compile(request with { Output = folder["two.mpack"], Threads = 2, CalibrationOptions = new CalibrationOptions { Window = Tokens, NoCache = true } });

        Assert.Equal(File.ReadAllBytes(folder["one.mpack"]), File.ReadAllBytes(folder["two.mpack"]));
        Assert.True(Verification.Verify(folder["one.mpack"], against: model, rederive: model, calibration: tokens).Ok);
    }

    [Fact]
    public void Run_loss_takesTheSmallestThatIsWithin()
    {
        using var folder = new TempFolder();
        (string model, string tokens) = Language(folder);
        TuneResult strict = Tuner.Run(Request(folder, model, tokens, new TuneTarget(TuneTargetKind.Loss, 0.001)));
        TuneResult loose = Tuner.Run(Request(folder, model, tokens, new TuneTarget(TuneTargetKind.Loss, 0.05)));

        Assert.InRange(strict.Loss, 0, Math.Log(1.001));
        Assert.InRange(loose.Loss, Math.Log(1.001), Math.Log(1.05));
        Assert.True(loose.OutputBytes < strict.OutputBytes);
        Assert.All(loose.Uniform.Where(u => u.Bytes < loose.OutputBytes), u => Assert.True(u.Loss > Math.Log(1.05)));
    }

    [Fact]
    public void Run_size_countsTheWholeModel()
    {
        using var folder = new TempFolder();
        (string model, string tokens) = Language(folder);
        TuneResult part = Tuner.Run(Request(folder, model, tokens, new TuneTarget(TuneTargetKind.Ratio, 0.2)));
        TuneResult bytes = Tuner.Run(Request(folder, model, tokens, new TuneTarget(TuneTargetKind.Bytes, part.OutputBytes)));

        Assert.Equal(new FileInfo(model).Length, part.InputBytes);
        Assert.InRange(part.OutputBytes, 0.15 * part.InputBytes, 0.2 * part.InputBytes);
        Assert.Equal(part.Tensors.Select(t => t.Format), bytes.Tensors.Select(t => t.Format));
    }

    /// <summary>Factors and formats on one front: no worse than formats alone, and the recipe makes what was found.</summary>
    [Theory]
    [InlineData(5.0)]
    [InlineData(4.3)]
    public void Run_factorsAsCandidates_areNeverWorseThanFormatsAlone(double bits)
    {
        using var folder = new TempFolder();
        (string model, string tokens) = Language(folder);
        string[] sets = ["quantize.min_elements=64"];
        TuneRequest alone = Request(folder, model, tokens, new TuneTarget(TuneTargetKind.Bits, bits)) with { Candidates = ["int3(block=32)", "int4(block=32)", "int8(block=32)"], Sets = sets };
        TuneResult formats = Tuner.Run(alone);
        TuneResult joint = Tuner.Run(alone with { Candidates = [.. alone.Candidates, "pivotrank(percent=60)>int8(block=32)", "lowrank(percent=75)>int4(block=32)", "lowrank(percent=1)>int8(block=32)"] });

        Assert.InRange(joint.Loss, 0, formats.Loss);
        Assert.InRange(joint.BitsPerWeight, 0, bits);
        Assert.Equal(6, joint.Uniform.Count);
    }

    /// <summary>Bits, ranks and sparsity on one front.</summary>
    [Theory]
    [InlineData(5.0)]
    [InlineData(4.3)]
    public void Run_joint_isNeverWorseThanFormatsAlone(double bits)
    {
        using var folder = new TempFolder();
        (string model, string tokens) = Language(folder);
        TuneRequest alone = Request(folder, model, tokens, new TuneTarget(TuneTargetKind.Bits, bits)) with { Sets = ["quantize.min_elements=64"] };
        TuneResult formats = Tuner.Run(alone);
        TuneResult joint = Tuner.Run(alone with { Joint = true });

        Assert.InRange(joint.Loss, 0, formats.Loss);
        Assert.InRange(joint.BitsPerWeight, 0, bits);
        Assert.Equal(Tuner.DefaultCandidates.Concat(Tuner.JointCandidates), joint.Uniform.Select(u => u.Name));

        // What was not measured is predicted from runs of each form in all tensors, not from errors of the weights, which were many times too large.
        Assert.All(joint.Uniform.Where(u => Tuner.JointCandidates.Contains(u.Name) && u.Loss > 0), u => Assert.InRange(u.Predicted / u.Loss!.Value, 0.25, 4));
        Assert.All(joint.Front, p => Assert.DoesNotContain(joint.Front, o => !o.Chosen && !p.Chosen && o.Bytes < p.Bytes && o.Loss < p.Loss));
    }

    /// <summary>Two blocks of the sample model at two sizes, bits alone and all together: what is printed is in passes/Decompose/README.md.</summary>
    [SkippableTheory]
    [InlineData(3.75)]
    [InlineData(2.9)]
    public void Run_jointOnTheSample_isNeverWorseThanFormatsAlone(double bits)
    {
        Skip.IfNot(LongTests.Wanted, "takes minutes: only with MODELPACK_LONG_TESTS");
        using var folder = new TempFolder();
        var alone = new TuneRequest
        {
            Input = RepositoryTree.PathTo("samples", "models", "tinyllama", "model.onnx"),
            Output = folder["r.json"],
            Target = new TuneTarget(TuneTargetKind.Bits, bits),
            Data = RepositoryTree.PathTo("samples", "models", "tinyllama", "calib.tokens.bin"),
            Options = new CalibrationOptions { Window = 128, CacheFolder = folder["cache"] },
            Samples = 4,
            Candidates = ["int2(block=32,search=mse,symmetric=false)", "int3(block=32,search=mse,symmetric=false)", "int4(block=32,search=mse)", "int5(block=128)", "int6(block=128)", "int8(block=128)"],
            Sets = ["quantize.include=model.layers.2.*,model.layers.5.*"],
        };
        TuneResult formats = Tuner.Run(alone);
        TuneResult joint = Tuner.Run(alone with { Candidates = [.. alone.Candidates, "lowrank(percent=75)>int6(block=128)", "pivotrank(percent=90)>int4(block=32,search=mse)", "sparse(pattern=32:64)>int6(block=128)", "sparse(pattern=2:4)>int4(block=32,search=mse)"] });
        output.WriteLine(string.Join('\n', new[] { formats, joint }.SelectMany(r => r.Uniform.Append(r.Front.Single(p => p.Chosen))).Select(p => $"{p.Name}: {p.BitsPerWeight:0.000} bits, loss {p.Loss:0.00000}")));
        output.WriteLine(string.Join(' ', joint.Tensors.GroupBy(t => t.Format).Select(g => $"{g.Key}: {g.Count()}")));

        Assert.InRange(joint.Loss, 0, formats.Loss);
        Assert.InRange(joint.BitsPerWeight, 0, bits);
    }

    /// <summary>Three of four weights are zero, which formats of four bits alone do not make use of. The recipe makes what was found, zeros stay zeros.</summary>
    [Fact]
    public void Run_sparseWeights_areChosenSparse_andTheRecipeStoresThemSo()
    {
        const string format = "int4(block=32)";
        using var folder = new TempFolder();
        float[] weights = Values.Weights(3, 128 * 256);
        for (int i = 0; i < weights.Length; i++)
        {
            weights[i] = (((uint)i * 2654435761u) >> 16) % 4 == 1 ? weights[i] : 0;
        }

        string model = folder.Write("m.onnx", new OnnxBuilder().Input("x", OnnxBuilder.Float, "n", 128).Output("y", OnnxBuilder.Float, "n", 128).Initializer("in", Values.Weights(1, 128 * 128), 128, 128)
            .Initializer("middle", weights, 128, 256).Initializer("out", Values.Weights(2, 256 * 128), 256, 128)
            .Node("MatMul", ["x", "in"], ["a"]).Node("MatMul", ["a", "middle"], ["b"]).Node("Relu", ["b"], ["c"]).Node("MatMul", ["c", "out"], ["y"]).Build());
        TuneResult result = Tuner.Run(new TuneRequest
        {
            Input = model,
            Output = folder["r.json"],
            Target = new TuneTarget(TuneTargetKind.Bits, 4.4),
            Candidates = ["int3(block=32)", format, $"sparse(percent=75)>{format}"],
        });
        Assert.Equal($"sparse(percent=75)>{format}", result.Tensors.Single(t => t.Name == "middle").Format);

        CompileResult compiled = ModelCompiler.Compile(new CompileRequest { Input = model, Output = folder["m.mpack"], Recipe = result.Output });
        string encoding = compiled.Tensors.Single(t => t.Name == "middle").Encoding;
        Assert.Matches(@"> (bitmap|nm|bank)[^>]*> \{ u8; int", encoding);
        ComparedTensor compared = Comparison.Compare(model, folder["m.mpack"]).Tensors.Single(t => t.Name == "middle");
        Assert.InRange(compared.RelativeError!.Value, 0, 0.15);
    }

    [Fact]
    public void Run_factorsAlone_writesARecipeThatMakesThem()
    {
        using var folder = new TempFolder();
        string model = folder.Write("m.onnx", NetworkModel.Language());
        TuneResult result = Tuner.Run(new TuneRequest
        {
            Input = model,
            Output = folder["r.json"],
            Target = new TuneTarget(TuneTargetKind.Bits, 20),
            Candidates = ["pivotrank(percent=60)>int8(block=32)"],
            Sets = ["quantize.min_elements=64"],
        });
        string[] factored = [.. result.Tensors.Where(t => t.Format.StartsWith("pivotrank", StringComparison.Ordinal)).Select(t => t.Name)];
        CompileResult compiled = ModelCompiler.Compile(new CompileRequest { Input = model, Output = folder["m.mpack"], Recipe = result.Output });
        Assert.Equal(factored, compiled.Tensors.Where(t => t.Encoding.Contains("pivotrank(", StringComparison.Ordinal)).Select(t => t.Name));
    }

    [Theory]
    [InlineData("tucker>int8")]
    [InlineData("sum>int8")]
    [InlineData("sparse(block=3)>int8")]
    [InlineData("pivotrank(rank=3)>int8")]
    public void Run_candidateThatIsNone_isAnError(string candidate)
    {
        using var folder = new TempFolder();
        (string model, string tokens) = Language(folder);
        var error = Assert.Throws<ModelPackException>(() => Tuner.Run(Request(folder, model, tokens, new TuneTarget(TuneTargetKind.Bits, 4)) with { Candidates = [candidate] }));
        Assert.Equal(!candidate.Contains('(', StringComparison.Ordinal) ? ErrorCodes.BadCandidate : ErrorCodes.BadUnitArgument, error.Code);
    }

    [Fact]
    public void Profile_losesMoreWithFewerParameters_andDrawsIt()
    {
        using var folder = new TempFolder();
        (string model, string tokens) = Language(folder);
        StructureProfile profile = StructureProfiler.Run(
            Request(folder, model, tokens, new TuneTarget(TuneTargetKind.Loss, 0)) with { Sets = ["decompose.min_elements=64", "decompose.min_vectors=1", "decompose.ends=decompose"] }, "lowrank");

        Assert.NotEmpty(profile.Tensors);
        Assert.All(profile.Tensors, t =>
        {
            double[] losses = [.. t.Losses.OfType<double>()];
            int[] ranks = [.. t.Ranks.OfType<int>()];
            Assert.Equal(losses.Length, ranks.Length);
            Assert.True(losses[^1] >= losses[0] && ranks[^1] <= ranks[0], $"{t.Name}: {string.Join(", ", losses)}");
        });
        Assert.Equal("svg", XDocument.Load(folder["r.svg"]).Root!.Name.LocalName);
        Assert.Equal(profile.Tensors.Count, JsonNode.Parse(File.ReadAllText(folder["r.json"]))!["tensors"]!.AsArray().Count);
    }

    [Fact]
    public void Run_again_measuresNothingTwice_evenAfterHalfALine()
    {
        using var folder = new TempFolder();
        (string model, string tokens) = Language(folder);
        TuneRequest request = Request(folder, model, tokens, new TuneTarget(TuneTargetKind.Bits, 4.25));
        TuneResult first = Tuner.Run(request);
        string recipe = File.ReadAllText(request.Output);
        TuneResult again = Tuner.Run(request);
        Assert.Equal((recipe, 0), (File.ReadAllText(request.Output), again.Measurements));

        // As a killed process leaves it: some lines, and half of another.
        string journal = folder["cache/tune.jsonl"];
        string text = File.ReadAllText(journal);
        File.WriteAllText(journal, text[..(text.Length * 2 / 3)]);
        TuneResult resumed = Tuner.Run(request with { Threads = 1 });

        Assert.Equal(recipe, File.ReadAllText(request.Output));
        Assert.InRange(resumed.Measurements, 1, first.Measurements - 1);
        Assert.Equal(0, Tuner.Run(request).Measurements);
    }

    [Fact]
    public void Run_cancelled_leavesNoRecipe()
    {
        using var folder = new TempFolder();
        (string model, string tokens) = Language(folder);
        using var source = new CancellationTokenSource();
        var progress = new Callback(p =>
        {
            if (p is { Activity: "tune", Done: 2 })
            {
                source.Cancel();
            }
        });

        Assert.ThrowsAny<OperationCanceledException>(() => Tuner.Run(Request(folder, model, tokens, new TuneTarget(TuneTargetKind.Bits, 4.25)), progress, source.Token));
        Assert.Empty(Directory.GetFiles(folder.Path, "r*"));
        Assert.NotEmpty(File.ReadAllLines(folder["cache/tune.jsonl"]));
    }

    [Fact]
    public void Run_imageModel_measuresTheNoiseOfItsOutputs()
    {
        using var folder = new TempFolder();
        string model = folder.Write("m.onnx", NetworkModel.Image());
        Directory.CreateDirectory(folder["data"]);
        for (int i = 0; i < 3; i++)
        {
            Directory.CreateDirectory(folder[$"data/{i}"]);
            float[] pixels = Values.Weights((ulong)i, 3 * 256);
            NpyFile.Write(folder[$"data/{i}/image.npy"], DType.F32, new Shape(1, 3, 16, 16), TensorData.FromBytes(System.Runtime.InteropServices.MemoryMarshal.AsBytes<float>(pixels).ToArray()));
        }

        TuneResult result = Tuner.Run(Request(folder, model, folder["data"], new TuneTarget(TuneTargetKind.Loss, 0.01)) with { Sets = ["quantize.min_elements=64"] });

        // Kernels of more than one element, one at a time.
        StructureProfile profile = StructureProfiler.Run(Request(folder, model, folder["data"], new TuneTarget(TuneTargetKind.Loss, 0)) with { Sets = ["decompose.min_elements=64", "decompose.min_vectors=1", "decompose.ends=decompose"] }, "tucker2");
        Assert.NotEmpty(profile.Tensors);
        Assert.All(profile.Tensors, t => Assert.True(t.Shape.Count == 4 && t.Shape[2] * t.Shape[3] > 1 && t.Losses.OfType<double>().Any(l => l > 0) && t.Ranks.OfType<int>().All(r => r > 0), t.Name));

        Assert.Equal(("output-noise", 3), (result.LossKind, result.Samples));
        Assert.InRange(result.Loss, 1e-9, 0.01);
        Assert.Contains(result.Tensors, t => t.Name == "conv1" && t.Format != "keep");
    }

    [Fact]
    public void Run_withoutData_goesByTheErrorsOfTheWeights()
    {
        using var folder = new TempFolder();
        (string model, _) = Language(folder);
        TuneResult result = Tuner.Run(Request(folder, model, null, new TuneTarget(TuneTargetKind.Bits, 4.25)));

        Assert.Equal(("weight-error", 0), (result.LossKind, result.Measurements));
        Assert.Null(result.Data);
        Assert.DoesNotContain("gptq", File.ReadAllText(result.Output), StringComparison.Ordinal);
        Assert.All(result.Uniform.Where(u => u.BitsPerWeight <= 4.25), u => Assert.InRange(result.Loss, 0, u.Predicted));
    }

    [Fact]
    public void Run_targetBelowTheSmallestCandidate_isMP2230()
    {
        using var folder = new TempFolder();
        (string model, string tokens) = Language(folder);

        ModelPackException error = Assert.Throws<ModelPackException>(() => Tuner.Run(Request(folder, model, tokens, new TuneTarget(TuneTargetKind.Bits, 1.5))));
        Assert.Equal(ErrorCodes.TargetOutOfReach, error.Code);
        Assert.Contains("bits per weight", error.Message, StringComparison.Ordinal);
        Assert.False(File.Exists(folder["r.json"]));
    }

    [Fact]
    public void Run_modelWithoutWeights_isMP2231()
    {
        using var folder = new TempFolder();
        (string model, string tokens) = Language(folder);

        Assert.Equal(ErrorCodes.NothingToTune, Assert.Throws<ModelPackException>(() => Tuner.Run(Request(folder, model, tokens, new TuneTarget(TuneTargetKind.Bits, 4)) with { Sets = ["quantize.include=nothing"] })).Code);
    }

    [Fact]
    public void Run_statisticsInsteadOfData_isMP2213()
    {
        using var folder = new TempFolder();
        (string model, string tokens) = Language(folder);
        Calibrating.Run(new CalibrateRequest { Input = model, Data = tokens, Output = folder["s.safetensors"], Options = new CalibrationOptions { Window = Tokens } });

        Assert.Equal(ErrorCodes.CalibrationData, Assert.Throws<ModelPackException>(() => Tuner.Run(Request(folder, model, folder["s.safetensors"], new TuneTarget(TuneTargetKind.Bits, 4)))).Code);
    }

    [Theory]
    [InlineData("auto", null, "--target-bits")]
    [InlineData("int8", 4.0, "only 'auto'")]
    public void Compile_targetAndRecipeThatDoNotGoTogether_areMP2232(string recipe, double? bits, string message)
    {
        using var folder = new TempFolder();
        (string model, _) = Language(folder);
        var request = new CompileRequest { Input = model, Output = folder["m.mpack"], Recipe = recipe, TuneTarget = bits is double b ? new TuneTarget(TuneTargetKind.Bits, b) : null };

        ModelPackException error = Assert.Throws<ModelPackException>(() => ModelCompiler.Compile(request));
        Assert.Equal(ErrorCodes.BadTuneTarget, error.Code);
        Assert.Contains(message, error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("4.25", null, null, TuneTargetKind.Bits, 4.25)]
    [InlineData(null, "0.3x", null, TuneTargetKind.Ratio, 0.3)]
    [InlineData(null, "5MB", null, TuneTargetKind.Bytes, 5e6)]
    [InlineData(null, "2MiB", null, TuneTargetKind.Bytes, 2 << 20)]
    [InlineData(null, "1000", null, TuneTargetKind.Bytes, 1000)]
    [InlineData(null, null, "1%", TuneTargetKind.Loss, 0.01)]
    [InlineData(null, null, "0.02", TuneTargetKind.Loss, 0.02)]
    public void Parse_takesEveryForm(string? bits, string? size, string? loss, TuneTargetKind kind, double value)
    {
        TuneTarget target = TuneTarget.Parse(bits, size, loss)!.Value;

        Assert.Equal(kind, target.Kind);
        Assert.Equal(value, target.Value, 9);
    }

    [Theory]
    [InlineData("four", null, null)]
    [InlineData("-4", null, null)]
    [InlineData("0", null, null)]
    [InlineData(null, "x", null)]
    [InlineData(null, "5TB", null)]
    [InlineData(null, null, "NaN%")]
    [InlineData("4", "0.3x", null)]
    public void Parse_anythingElse_isMP2232(string? bits, string? size, string? loss) =>
        Assert.Equal(ErrorCodes.BadTuneTarget, Assert.Throws<ModelPackException>(() => TuneTarget.Parse(bits, size, loss)).Code);

    private static TuneRequest Request(TempFolder folder, string model, string? data, TuneTarget target) => new()
    {
        Input = model,
        Output = folder["r.json"],
        Target = target,
        Data = data,
        Options = new CalibrationOptions { Window = Tokens, CacheFolder = folder["cache"] },
        Samples = 8,
    };

    private static (string Model, string Tokens) Language(TempFolder folder)
    {
        byte[] tokens = new byte[2 * 64 * Tokens];
        for (int i = 0; i < tokens.Length; i += 2)
        {
            tokens[i] = (byte)((i * 31 / 2 * (i % 13)) % NetworkModel.Vocabulary);
        }

        return (folder.Write("m.onnx", NetworkModel.Language()), folder.Write("tokens.bin", tokens));
    }

    private sealed class Callback(Action<ToolProgress> report) : IProgress<ToolProgress>
    {
        public void Report(ToolProgress value) => report(value);
    }
}
