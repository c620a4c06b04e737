using System.Text;
using ModelPack.Compiler.Planning;
using ModelPack.Testing;
using ModelPack.Testing.Onnx;
using ModelPack.Toolchain;
using Xunit;

namespace ModelPack.Tests.Toolchain;

/// <summary>Profiles of machines: their files, what is predicted from them, and what plans make of them.</summary>
public sealed class HardwareProfileTests
{
    private static readonly HardwareProfile Machine = new()
    {
        Name = "test",
        Source = "a test",
        Kind = "cpu",
        Cores = 4,
        Memory = [new MemoryLevel("L3", 2_000_000, 40, 100), new MemoryLevel("memory", 0, 10, 20)],
        Gflops = new Dictionary<string, double> { ["f32"] = 400 },
        LaunchMicroseconds = 2,
        OpenMilliseconds = 3,
        OpenNodeMicroseconds = 100,
        LoadGbps = 0.5,
        Watts = 50,
        Kernels =
        [
            new KernelConstant("modelpack:PackedMatMul(int4,f32)", 32, 0.625, new ThreadTimes(0.04, 0.01), new ThreadTimes(0.1, 0.05), new ThreadTimes(0.02, 0.005)),
            new KernelConstant("modelpack:PackedMatMul(int4,int8)", 32, 0.625, new ThreadTimes(0.02, 0.005), new ThreadTimes(0.1, 0.05), new ThreadTimes(0.01, 0.0025)),
            new KernelConstant("ort:MatMulNBits(bits=4,level=0)", 32, 0.5, new ThreadTimes(0.03, 0.008), new ThreadTimes(0.09, 0.04), new ThreadTimes(0.02, 0.005)),
        ],
        GatedMlps = [new GatedMlpConstant(1000, 1, new ThreadTimes(1.1, 0.9))],
    };

    /// <summary>As versions before wrote them.</summary>
    [Fact]
    public void Profiles_without_what_later_versions_measure_are_read()
    {
        var json = System.Text.Json.Nodes.JsonNode.Parse(HardwareProfileJson.Write(Machine))!.AsObject();
        Assert.True(json.Remove("gated_mlps"));
        Assert.True(json.Remove("convolutions"));
        Assert.All(json["kernels"]!.AsArray(), kernel => Assert.True(kernel!.AsObject().Remove("per_activation") && kernel.AsObject().Remove("per_output")));
        HardwareProfile read = HardwareProfileJson.Read(Encoding.UTF8.GetBytes(json.ToJsonString()));
        Assert.Empty(read.GatedMlps);
        Assert.Empty(read.Convolutions);
        Assert.All(read.Kernels, kernel => Assert.Null(kernel.PerActivation ?? kernel.PerOutput));
    }

    [Fact]
    public void Rows_cost_their_activations_and_outputs_where_these_were_measured()
    {
        HardwareProfile machine = Machine with { Kernels = [Machine.Kernels[0] with { PerActivation = new ThreadTimes(0.5, 0.25), PerOutput = new ThreadTimes(2, 1) }] };
        double Seconds(HardwareProfile profile, long rows, int threads) => CostModel.Product(profile, "modelpack:PackedMatMul(int4,f32)", 300, 200, 37500, rows, threads, 37500, activationBytes: 4 * 200 * rows, resultBytes: 4 * 300 * rows).Seconds;

        Assert.Equal(Seconds(Machine, 1, 1), Seconds(machine, 1, 1), 1e-15);
        Assert.Equal(Seconds(Machine, 11, 1) + (10 * ((200 * 0.5) + (300 * 2)) * 1e-9), Seconds(machine, 11, 1), 1e-12);
        Assert.Equal(
            CostModel.Product(Machine, "modelpack:PackedMatMul(int4,f32)", 300, 200, 37500, 11, 0, 37500).Seconds + (10 * ((200 * 0.25) + (300 * 1)) * 1e-9), Seconds(machine, 11, 0), 1e-12);
    }

    [Theory]
    [InlineData(0.02, 0.5, 2)]
    [InlineData(0.005, 0, 0)]
    [InlineData(0.005, 0.3, 0)]
    [InlineData(0.005, 0, 0.3)]
    public void What_a_product_takes_is_told_apart_by_three_shapes(double multiplication, double activation, double output)
    {
        BatchMeasurement Row(int outputs, int inputs) => new(outputs, inputs, ((double)outputs * inputs * multiplication) + (inputs * activation) + (outputs * output));
        BatchTimes times = BatchTimes.Of(Row(1024, 4096), Row(256, 4096), Row(4096, 256));

        Assert.Equal(multiplication, times.Multiplication, 1e-9);
        Assert.Equal(activation, times.Activation, 1e-5);
        Assert.Equal(output, times.Output, 1e-5);
    }

    [Theory]
    [InlineData(0.98, 1)]
    [InlineData(1, 0.9)]
    [InlineData(1.1, 1)]
    [InlineData(1, 1.1)]
    [InlineData(0.5, 0.5)]
    [InlineData(3, 0.1)]
    public void Noise_makes_no_part_less_than_nothing(double fewOutputs, double fewInputs)
    {
        BatchMeasurement Row(int outputs, int inputs, double noise) => new(outputs, inputs, outputs * inputs * 0.01 * noise);
        BatchTimes times = BatchTimes.Of(Row(1024, 4096, 1), Row(256, 4096, fewOutputs), Row(4096, 256, fewInputs));

        Assert.InRange(times.Multiplication, 0, 0.02);
        Assert.True(times.Activation >= 0 && times.Output >= 0);
        Assert.Equal(1024 * 4096 * 0.01, (1024 * 4096 * times.Multiplication) + (4096 * times.Activation) + (1024 * times.Output), 1e-3);
    }

    [Fact]
    public void Profiles_survive_their_file()
    {
        HardwareProfile read = HardwareProfileJson.Read(HardwareProfileJson.Write(Machine));

        Assert.Equal(HardwareProfileJson.Write(Machine), HardwareProfileJson.Write(read));
        Assert.Equal(20, read.MemoryGbps);
        Assert.All(HardwareProfiles.BuiltIn, p => Assert.Equal(p.Name, HardwareProfileJson.Read(HardwareProfileJson.Write(HardwareProfiles.Load(p.Name))).Name));
    }

    [Theory]
    [InlineData("", "not a hardware profile")]
    [InlineData("null", "null")]
    [InlineData("[]", "not a hardware profile")]
    [InlineData("{\"name\":\"x\"}", "source")]
    [InlineData("{\"name\":\"x\",\"source\":\"s\",\"kind\":\"cpu\",\"cores\":0,\"memory\":[],\"gflops\":{}}", "no cores")]
    [InlineData("{\"name\":\"x\",\"source\":\"s\",\"kind\":\"cpu\",\"cores\":1,\"memory\":[],\"gflops\":{}}", "memory")]
    [InlineData("{\"name\":\"x\",\"source\":\"s\",\"kind\":\"cpu\",\"cores\":1,\"memory\":[{\"name\":\"memory\",\"bytes\":0,\"gbps_one\":1,\"gbps_all\":1}],\"gflops\":{}}", "f32")]
    [InlineData("{\"name\":\"x\",\"source\":\"s\",\"kind\":\"cpu\",\"cores\":1,\"memory\":[{\"name\":\"memory\",\"bytes\":0,\"gbps_one\":1,\"gbps_all\":1}],\"gflops\":{\"f32\":1},\"watts\":-1}", "negative")]
    [InlineData("{\"name\":\"x\",\"source\":\"s\",\"kind\":\"cpu\",\"cores\":1,\"memory\":[{\"name\":\"memory\",\"bytes\":0,\"gbps_one\":1,\"gbps_all\":1}],\"gflops\":{\"f32\":1},\"gated_mlps\":[{\"bytes\":-1,\"rows\":1,\"ratio\":{\"one\":1,\"all\":1}}]}", "negative")]
    [InlineData("{\"name\":\"x\",\"colour\":1}", "colour")]
    public void Files_that_are_no_profiles_are_MP5007(string json, string because)
    {
        using var folder = new TempFolder();
        string path = folder["machine.json"];
        File.WriteAllText(path, json);
        ModelPackException error = Assert.Throws<ModelPackException>(() => HardwareProfiles.Load(path));

        Assert.Equal(ErrorCodes.BadProfile, error.Code);
        Assert.Contains(because, error.Line, StringComparison.Ordinal);
        Assert.StartsWith(path, error.Line, StringComparison.Ordinal);
    }

    [Fact]
    public void Names_that_are_neither_files_nor_known_say_which_are_known()
    {
        ModelPackException error = Assert.Throws<ModelPackException>(() => HardwareProfiles.Load("h200"));

        Assert.Equal(ErrorCodes.FileNotFound, error.Code);
        Assert.Contains("h100", error.Line, StringComparison.Ordinal);
    }

    [Fact]
    public void Measured_kernels_are_predicted_by_their_measurements()
    {
        const string kernel = "modelpack:PackedMatMul(int4,f32)";
        const int n = 1000;
        long bytes = n * n * 5 / 8;

        // In a cache, from memory, and with scales of twice the size: exactly what was measured, times the weights.
        Assert.Equal((0.04e-3) + 2e-6, CostModel.Product(Machine, kernel, n, n, bytes, 1, 1, 500_000).Seconds, 1e-12);
        NodeCost far = CostModel.Product(Machine, kernel, n, n, bytes, 1, 1, 100_000_000);
        Assert.Equal((0.1e-3) + 2e-6, far.Seconds, 1e-12);
        Assert.Equal(("memory", true, bytes, 2.0 * n * n), (far.Bound, far.Measured, far.Bytes, far.Flops));
        Assert.Equal((0.1e-3) + 2e-6, CostModel.Product(Machine, kernel, n, n, bytes * 2, 1, 4, 100_000_000).Seconds, 1e-12);
        Assert.Equal((128 * 0.02e-3) + 2e-6, CostModel.Product(Machine, kernel, n, n, bytes, 128, 1, 500_000).Seconds, 1e-12);
        Assert.Equal("compute", CostModel.Product(Machine, kernel, n, n, bytes, 128, 1, 500_000).Bound);
        Assert.Equal("launch", CostModel.Product(Machine, kernel, 10, 10, 64, 1, 1, 500_000).Bound);
        Assert.True(CostModel.Knows(Machine, "ort:MatMulNBits(bits=4,block=128,level=0)"));
        Assert.False(CostModel.Knows(Machine, "ort:MatMulNBits(bits=4,block=128,level=4)"));
    }

    [Fact]
    public void Activations_and_results_cost_their_way_to_other_cores_and_beyond_the_private_cache()
    {
        const string kernel = "modelpack:PackedMatMul(int4,f32)";
        HardwareProfile machine = Machine with { Memory = [new("L1", 32 << 10, 400, 800), new("L2", 1 << 20, 200, 400), new("L3", 32 << 20, 100, 150), new("memory", 0, 20, 40)] };
        double Of(long activations, long results, int threads) => CostModel.Product(machine, kernel, 1000, 1000, 1 << 19, 128, threads, 500_000, activationBytes: activations, resultBytes: results).Seconds;

        Assert.Equal(Of(0, 0, 1), Of(2 << 20, 1 << 20, 1));
        Assert.Equal((2 << 20) / 20e9, Of(2 << 20, 2 << 20, 1) - Of(0, 0, 1), 1e-9);
        Assert.Equal((3 << 20) / 10.5e9, Of(1 << 20, 2 << 20, 2) - Of(0, 0, 2), 1e-9);
    }

    [Fact]
    public void Other_kernels_are_predicted_by_bandwidth_and_peak_arithmetic()
    {
        NodeCost one = CostModel.Product(Machine, "expand", 4096, 4096, 4096 * 4096 * 4, 1, 4, 1L << 30);
        Assert.Equal((4096 * 4096 * 4 / 20e9 / 0.8) + 2e-6, one.Seconds, 1e-9);
        Assert.Equal(("memory", false), (one.Bound, one.Measured));
        NodeCost many = CostModel.Product(Machine, "expand", 4096, 4096, 4096 * 4096 * 4, 512, 1, 1L << 30);
        Assert.Equal((2.0 * 4096 * 4096 * 512 / 100e9 / 0.8) + 2e-6, many.Seconds, 1e-9);
        Assert.Equal("compute", many.Bound);

        // More bandwidth never costs time.
        double last = double.MaxValue;
        foreach (double gbps in new[] { 5.0, 10, 20, 40, 1000 })
        {
            HardwareProfile faster = Machine with { Memory = [new MemoryLevel("memory", 0, gbps, gbps)] };
            double seconds = CostModel.Product(faster, "expand", 4096, 4096, 1 << 26, 1, 4, 1L << 30).Seconds;
            Assert.True(seconds <= last);
            last = seconds;
        }
    }

    [Fact]
    public void Plans_take_the_kernel_that_was_measured_fastest_and_remember_the_machine()
    {
        using var folder = new TempFolder();
        string model = folder["m.onnx"];
        File.WriteAllBytes(model, new OnnxBuilder().Input("x", OnnxBuilder.Float, "m", 192).Output("y", OnnxBuilder.Float, "m", 192)
            .Initializer("first", Values.Weights(1, 192 * 256), 192, 256).Initializer("w", Values.Weights(2, 256 * 192), 256, 192).Initializer("last", Values.Weights(3, 192 * 192), 192, 192)
            .Node("MatMul", ["x", "first"], ["a"]).Node("Tanh", ["a"], ["b"]).Node("MatMul", ["b", "w"], ["c"]).Node("Tanh", ["c"], ["d"]).Node("MatMul", ["d", "last"], ["y"]).Build());
        string file = folder["machine.json"];
        File.WriteAllBytes(file, HardwareProfileJson.Write(Machine));
        ExplainResult plain = Compile(folder, model, null);
        ExplainResult measured = Compile(folder, model, file);

        Assert.Equal("modelpack:PackedMatMul(int4,f32)", Assert.Single(plain.Nodes, n => n.Tensor == "w").Kernel);
        Assert.Null(plain.Predicted);
        ExplainedNode node = Assert.Single(measured.Nodes, n => n.Tensor == "w");
        Assert.Equal("ort:MatMulNBits(bits=4,block=32,level=0)", node.Kernel);
        Assert.Contains(node.Alternatives, a => a.Kernel == "modelpack:PackedMatMul(int4,f32)" && a.Reason.Contains("times the time on test", StringComparison.Ordinal));
        Assert.Equal("test", measured.Predicted!.Profile);
        Assert.Equal(measured.Nodes.Sum(n => n.PredictedSeconds!.Value), measured.Predicted.ProductSeconds, 1e-12);
        Assert.Equal(node.PredictedSeconds!.Value / measured.Predicted.ProductSeconds, measured.Predicted.MeasuredShare, 1e-12);
        Assert.Equal(2, measured.Predicted.OtherNodes);
        Assert.Equal(0.003 + (5 * 100e-6) + (measured.Memory!.WeightBytes / 0.5e9), measured.Predicted.LoadSeconds!.Value, 1e-12);
        Assert.True(measured.Predicted.EstimatedJoules > 0);

        // Repeated from what the artifact remembers, not from the file.
        File.Delete(file);
        Assert.True(Verification.Verify(folder["m.mpack"], rederive: model).Rederived);
    }

    [Fact]
    public void This_machine_can_be_measured()
    {
        HardwareProfile profile = HardwareProfiler.Run("here", ["int4"], [], [("blocksparse(block=32x32)", "f32"), ("nm(m=4,n=2)", "bf16")], [(64, 96)], null, CancellationToken.None);

        Assert.Equal("here", profile.Name);
        Assert.Equal("memory", profile.Memory[^1].Name);
        Assert.All(profile.Memory, level => Assert.True(level.GbpsOne > 0 && level.GbpsAll > 0));
        Assert.True(profile.Gflops["f32"] > 1 && profile.LaunchMicroseconds > 0);
        Assert.True(profile.OpenMilliseconds > 0 && profile.OpenNodeMicroseconds > 0 && profile.LoadGbps > 0);
        Assert.Equal(
            ["modelpack:PackedMatMul(int4,f32)", "modelpack:PackedMatMul(int4,int8)", "modelpack:SparseMatMul(32x32,f32)", "modelpack:MaskedMatMul(nm(m=4,n=2),bf16)"], profile.Kernels.Select(k => k.Kernel));
        Assert.All(profile.Kernels, (k, i) => Assert.True(k.Block == (i < 2 ? 32 : 0) && k.Cached.One > 0 && k.FromMemory.All > 0 && k.Batch.One > 0));

        Assert.All(profile.Kernels, (k, i) => Assert.Equal(i < 2, k.PerActivation is { One: >= 0, All: >= 0 } && k.PerOutput is { One: >= 0, All: >= 0 }));
        Assert.Equal([ConvolutionConstant.Dense, ConvolutionConstant.Depthwise, ConvolutionConstant.Packed], profile.Convolutions.Select(c => c.Kernel));
        Assert.All(profile.Convolutions, c => Assert.True(c.PerMultiplication.One + c.PerValue.One > 0 && c.PerMultiplication.All + c.PerValue.All > 0));

        Assert.Equal([1, 16, 128], profile.GatedMlps.Select(g => g.Rows));
        Assert.All(profile.GatedMlps, g => Assert.True(g.Bytes > 0 && g.Ratio.One > 0 && g.Ratio.All > 0));

        // By weight that is multiplied with: all that is stored of blocks, all places of a pattern of half of them.
        Assert.InRange(profile.Kernels[2].BytesPerWeight, 4, 4.1);
        Assert.InRange(profile.Kernels[3].BytesPerWeight, 1.125, 1.15);
        Assert.Equal(Encoding.UTF8.GetString(HardwareProfileJson.Write(profile)), Encoding.UTF8.GetString(HardwareProfileJson.Write(HardwareProfileJson.Read(HardwareProfileJson.Write(profile)))));
    }

    /// <summary>Under the names that plans give them: those of the weights as artifacts have them.</summary>
    [Fact]
    public void Sparse_kernels_of_profiles_have_kernels()
    {
        var options = new KernelBenchmarkOptions { Rows = 64, Columns = 256, Threads = 1, Enough = TimeSpan.FromMilliseconds(1) };
        foreach ((string structure, string format) in HardwareProfiler.Sparse)
        {
            (BenchedKernel kernel, double places) = SparseKernelBenchmark.One(UnitSpec.Parse(structure), format, 50, options, CancellationToken.None);
            string name = structure.StartsWith("blocksparse", StringComparison.Ordinal) ? $"modelpack:SparseMatMul({structure[18..^1]},{format})" : $"modelpack:MaskedMatMul({structure},{format})";
            Assert.Equal(name, kernel.Kernel);
            Assert.InRange(places, structure.StartsWith("blocksparse", StringComparison.Ordinal) ? 0.3 : 1, 1);
            Assert.True(kernel.One.Milliseconds > 0 && kernel.WeightBytes > 0);
        }
    }

    /// <summary>What the profile says of the sparse kernel decides, whatever other machines do: a fifth of the multiplications at 0.1 or 9 nanoseconds each, beside all of them at 0.1.</summary>
    [Theory]
    [InlineData(0.1, "modelpack:SparseMatMul(32x32,f32)")]
    [InlineData(9, "expand")]
    public void Sparse_products_are_chosen_by_the_profile(double nanoseconds, string kernel)
    {
        const int n = 320;
        using var folder = new TempFolder();
        float[] weights = Values.Weights(1, n * n);
        for (int i = 0; i < weights.Length; i++)
        {
            weights[i] = ((i / n / 32) + (i % n / 32)) % 5 == 0 ? weights[i] : 0;
        }

        string model = folder.Write("m.onnx", new OnnxBuilder().Input("x", OnnxBuilder.Float, "rows", n).Output("y", OnnxBuilder.Float, "rows", n).Initializer("w", weights, n, n).Node("MatMul", ["x", "w"], ["y"]).Build());
        HardwareProfile machine = Machine with
        {
            Kernels =
            [
                new KernelConstant("ort:MatMul", 0, 4, new ThreadTimes(0.1, 0.1), new ThreadTimes(0.1, 0.1), new ThreadTimes(0.1, 0.1)),
                new KernelConstant("modelpack:SparseMatMul(32x32,f32)", 0, 4, new ThreadTimes(nanoseconds, nanoseconds), new ThreadTimes(nanoseconds, nanoseconds), new ThreadTimes(nanoseconds, nanoseconds)),
            ],
        };
        string file = folder["machine.json"];
        File.WriteAllBytes(file, HardwareProfileJson.Write(machine));
        ModelCompiler.Compile(new CompileRequest { Input = model, Output = folder["m.mpack"], Recipe = "lossless", Accuracy = "exact", Profile = file });

        ExplainedNode node = Assert.Single(Inspection.Explain(folder["m.mpack"]).Nodes, n => n.Tensor == "w");
        Assert.Equal(kernel, node.Kernel);
        Assert.Contains(node.Alternatives, a => a.Reason.Contains("on test, predicted from its measurements", StringComparison.Ordinal));
    }

    private static ExplainResult Compile(TempFolder folder, string model, string? profile)
    {
        string artifact = folder["m.mpack"];
        ModelCompiler.Compile(new CompileRequest { Input = model, Output = artifact, Recipe = "int4(block=32)", Profile = profile });
        return Inspection.Explain(artifact);
    }
}
