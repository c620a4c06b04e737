using ModelPack.EndToEnd.Tests.OcrLines;
using ModelPack.Runtime;
using ModelPack.Testing;
using ModelPack.Toolchain;

namespace ModelPack.EndToEnd.Tests;

/// <summary>Tucker-2 on the recogniser of PaddleOCR: its kernels of more than one element keep two thirds of their parameters.</summary>
public sealed class DecomposedConvolutionTests(Xunit.Abstractions.ITestOutputHelper output)
{
    /// <summary>189 of the 200 lines when it was made: passes/Decompose/README.md.</summary>
    [SkippableFact]
    public void Compile_recogniserWithTuckerKernels_readsMostLinesAlike()
    {
        Skip.IfNot(LongTests.Wanted, "takes more than a minute: only with MODELPACK_LONG_TESTS");
        using var folder = new TempFolder();
        string package = NpmPackages.Require(NpmPackage.OcrModels);
        string model = Path.Combine(package, "assets", "ch_PP-OCRv4_rec_infer.onnx");
        string[] keys = File.ReadAllLines(Path.Combine(package, "assets", "ppocr_keys_v1.txt"));
        for (int i = 0; i < OcrLines.OcrLines.Count; i++)
        {
            (float[] values, long[] shape) = OcrLines.OcrLines.Input(i);
            Directory.CreateDirectory(folder[$"data/{i}"]);
            NpyFile.Write(folder[$"data/{i}/x.npy"], DType.F32, new Shape(shape), TensorData.FromBytes(System.Runtime.InteropServices.MemoryMarshal.AsBytes(values.AsSpan()).ToArray()));
        }

        CompileResult result = ModelCompiler.Compile(new CompileRequest
        {
            Input = model,
            Output = folder["t.mpack"],
            Recipe = folder.Write("r.json", """{ "name": "r", "passes": ["canonicalize", "fold-constants", { "pass": "decompose", "convolutions": "tucker2", "include": ["conv2d_*"], "parameters_percent": 66, "rank_multiple": 1, "allocation": "uniform", "heal": false, "damping_permille": 100, "healing_rounds": 0 }] }"""),
            Calibration = folder["data"],
            CalibrationOptions = new CalibrationOptions { NoCache = true },
        });
        Assert.Contains(result.Tensors, t => t.Encoding.Contains("tucker2(", StringComparison.Ordinal));
        using ModelSession original = ModelSession.Open(model);
        using PackedModel packed = PackedModel.Open(folder["t.mpack"]);
        Assert.Contains(packed.Plan.Nodes, n => n.Kernel.StartsWith("ort:FactoredConv(", StringComparison.Ordinal));
        var lines = VarietyLines.Read();
        int same = lines.Count(l => Read(packed, l.Values, l.Shape, keys) == Read(original, l.Values, l.Shape, keys));
        output.WriteLine($"{same} of {lines.Count} lines are read alike; {string.Join(", ", result.Tensors.Where(t => t.Encoding.Contains("tucker2(", StringComparison.Ordinal)).Select(t => $"{t.Name} {t.Encoding}: {t.InputBytes} -> {t.OutputBytes} bytes"))}");
        Assert.True(same >= lines.Count * 0.93, $"{same} of {lines.Count} lines are read alike");
    }

    private static string Read(ModelSession session, float[] values, long[] shape, string[] keys)
    {
        NamedTensor output = session.Run(NamedTensor.Of(session.Inputs[0].Name, values, shape))[0];
        return OcrLines.OcrLines.Decode(output.Values<float>(), (int)output.Shape[1], (int)output.Shape[2], keys);
    }
}
