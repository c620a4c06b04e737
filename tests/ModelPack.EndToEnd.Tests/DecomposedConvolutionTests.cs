using System.Runtime.InteropServices;
using ModelPack.EndToEnd.Tests.OcrLines;
using ModelPack.Runtime;
using ModelPack.Testing;
using ModelPack.Toolchain;

namespace ModelPack.EndToEnd.Tests;

/// <summary>Tucker-2 on the models of PaddleOCR, whose kernels of more than one element keep some of their parameters.</summary>
public sealed class DecomposedConvolutionTests(Xunit.Abstractions.ITestOutputHelper output)
{
    /// <summary>Lines that are read alike when they were counted: passes/Decompose/README.md.</summary>
    [SkippableTheory]
    [InlineData(80, 186)]
    [InlineData(66, 186)]
    [InlineData(50, 150)]
    public void Compile_recogniserWithTuckerKernels_readsMostLinesAlike(int percent, int least)
    {
        Skip.IfNot(LongTests.Wanted, "takes more than a minute: only with MODELPACK_LONG_TESTS");
        using var folder = new TempFolder();
        (string model, string data) = Recogniser(folder);
        CompileResult result = ModelCompiler.Compile(new CompileRequest
        {
            Input = model,
            Output = folder["t.mpack"],
            Recipe = folder.Write("r.json", $$"""{ "name": "r", "passes": ["canonicalize", "fold-constants", { "pass": "decompose", "convolutions": "tucker2", "include": ["conv2d_*"], "parameters_percent": {{percent}}, "rank_multiple": 1, "allocation": "uniform", "heal": false, "damping_permille": 100, "healing_rounds": 0 }] }"""),
            Calibration = data,
            CalibrationOptions = new CalibrationOptions { NoCache = true },
        });
        Assert.Contains(result.Tensors, t => t.Encoding.Contains("tucker2(", StringComparison.Ordinal));
        string[] keys = File.ReadAllLines(Path.Combine(Path.GetDirectoryName(model)!, "ppocr_keys_v1.txt"));
        using ModelSession original = ModelSession.Open(model);
        using PackedModel packed = PackedModel.Open(folder["t.mpack"]);
        Assert.Contains(packed.Plan.Nodes, n => n.Kernel.StartsWith("ort:FactoredConv(", StringComparison.Ordinal));
        var lines = VarietyLines.Read();
        int same = lines.Count(l => Read(packed, l.Values, l.Shape, keys) == Read(original, l.Values, l.Shape, keys));
        output.WriteLine($"{percent} %: {same} of {lines.Count} lines are read alike; {string.Join(", ", result.Tensors.Where(t => t.Encoding.Contains("tucker2(", StringComparison.Ordinal)).Select(t => $"{t.Name} {t.Encoding}"))}");
        Assert.True(same >= least, $"{same} of {lines.Count} lines are read alike");
    }

    /// <summary>What the outputs lose when one kernel alone is decomposed, printed; more with fewer parameters.</summary>
    [SkippableTheory]
    [InlineData("rec")]
    [InlineData("det")]
    public void Profile_ofTuckerKernels_losesMoreWithFewerParameters(string which)
    {
        Skip.IfNot(LongTests.Wanted, "takes more than a minute: only with MODELPACK_LONG_TESTS");
        using var folder = new TempFolder();
        (string model, string data) = which == "rec" ? Recogniser(folder) : Detector(folder);
        StructureProfile profile = StructureProfiler.Run(
            new TuneRequest { Input = model, Output = folder["p.json"], Target = new TuneTarget(TuneTargetKind.Loss, 0), Data = data, Samples = 4, Options = new CalibrationOptions { NoCache = true }, Sets = ["decompose.damping_permille=100"] }, "tucker2");
        foreach (ProfiledTensor tensor in profile.Tensors)
        {
            output.WriteLine($"{tensor.Name} {string.Join('x', tensor.Shape)}: {string.Join(", ", profile.Percents.Zip(tensor.Losses, (p, l) => $"{p} % {l:0.0E0}"))}");
            double[] losses = [.. tensor.Losses.OfType<double>()];
            Assert.True(losses[^1] > losses[0], tensor.Name);
        }

        Assert.True(profile.Tensors.Count >= 2);
    }

    /// <summary>The recogniser, and 20 lines as a folder of samples.</summary>
    private static (string Model, string Data) Recogniser(TempFolder folder)
    {
        string package = NpmPackages.Require(NpmPackage.OcrModels);
        for (int i = 0; i < OcrLines.OcrLines.Count; i++)
        {
            (float[] values, long[] shape) = OcrLines.OcrLines.Input(i);
            Write(folder, $"data/{i}", values, shape);
        }

        return (Path.Combine(package, "assets", "ch_PP-OCRv4_rec_infer.onnx"), folder["data"]);
    }

    /// <summary>The detector, and four pages of five lines each.</summary>
    private static (string Model, string Data) Detector(TempFolder folder)
    {
        const int height = 320;
        const int width = 640;
        const int pitch = 60;
        string package = NpmPackages.Require(NpmPackage.OcrModels);
        for (int page = 0; page < 4; page++)
        {
            float[] values = new float[3 * height * width];
            Array.Fill(values, 1);
            for (int line = 0; line < 5; line++)
            {
                (float[] pixels, long[] shape) = OcrLines.OcrLines.Input((page * 5) + line);
                (int rows, int columns) = ((int)shape[2], (int)shape[3]);
                for (int row = 0; row < 3 * rows; row++)
                {
                    pixels.AsSpan(row * columns, Math.Min(columns, width)).CopyTo(values.AsSpan(((row / rows * height) + (line * pitch) + 8 + (row % rows)) * width));
                }
            }

            Write(folder, $"data/{page}", values, [1, 3, height, width]);
        }

        return (Path.Combine(package, "assets", "ch_PP-OCRv4_det_infer.onnx"), folder["data"]);
    }

    private static void Write(TempFolder folder, string sample, float[] values, long[] shape)
    {
        Directory.CreateDirectory(folder[sample]);
        NpyFile.Write(folder[$"{sample}/x.npy"], DType.F32, new Shape(shape), TensorData.FromBytes(MemoryMarshal.AsBytes(values.AsSpan()).ToArray()));
    }

    private static string Read(ModelSession session, float[] values, long[] shape, string[] keys)
    {
        NamedTensor output = session.Run(NamedTensor.Of(session.Inputs[0].Name, values, shape))[0];
        return OcrLines.OcrLines.Decode(output.Values<float>(), (int)output.Shape[1], (int)output.Shape[2], keys);
    }
}
