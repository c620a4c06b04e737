using System.Runtime.InteropServices;
using ModelPack.EndToEnd.Tests.OcrLines;
using ModelPack.Runtime;
using ModelPack.Testing;
using ModelPack.Toolchain;

namespace ModelPack.EndToEnd.Tests;

/// <summary>Recipe w8a8 on real convolutional networks, calibrated on rendered text and measured on other rendered text.</summary>
public sealed class StaticInt8Tests
{
    [SkippableFact]
    public void Compile_recogniser_readsTheSameText_andRunsAlikeWhenExported()
    {
        using var folder = new TempFolder();
        string model = Find("assets/ch_PP-OCRv4_rec_infer.onnx");
        string[] keys = File.ReadAllLines(Find("assets/ppocr_keys_v1.txt"));
        for (int i = 0; i < (LongTests.Wanted ? OcrLines.OcrLines.Count : 10); i++)
        {
            (float[] values, long[] shape) = OcrLines.OcrLines.Input(i);
            WriteSample(folder, $"data/line{i:D2}", values, shape);
        }

        CompileResult result = Compile(folder, model);
        Assert.True(result.Ratio > 1.3, $"ratio {result.Ratio}");
        using ModelSession original = ModelSession.Open(model);
        using PackedModel packed = PackedModel.Open(folder["model.mpack"]);
        string[] kernels = [.. packed.Plan.Nodes.Select(n => n.Kernel)];
        Assert.True(kernels.Count(k => k.StartsWith("ort:QLinearConv", StringComparison.Ordinal)) >= 3, string.Join(", ", kernels));
        Assert.Contains(kernels, k => k.StartsWith("ort:MatMulIntegerToFloat", StringComparison.Ordinal));

        int same = 0;
        int right = 0;
        int rightBefore = 0;
        var all = VarietyLines.Read();
        var lines = LongTests.Wanted ? all : [.. all.Where((_, i) => i % 4 == 0)];
        foreach ((string text, float[] values, long[] shape) in lines)
        {
            string expected = Read(original, values, shape, keys);
            string actual = Read(packed, values, shape, keys);
            same += actual == expected ? 1 : 0;
            right += actual == text ? 1 : 0;
            rightBefore += expected == text ? 1 : 0;
        }

        Assert.Equal(200, all.Count);
        Assert.True(rightBefore >= lines.Count * 0.75, $"the original recogniser reads only {rightBefore} of {lines.Count} lines: the images or the preprocessing are wrong");
        Assert.True(same >= lines.Count * 0.98, $"only {same} of {lines.Count} lines are read alike");
        Assert.True(right >= rightBefore - (lines.Count * 0.02), $"{right} lines are read right, {rightBefore} by the original");

        Exporting.Export(folder["model.mpack"], "onnx", folder["exported.onnx"]);
        using ModelSession exported = ModelSession.Open(folder["exported.onnx"]);
        Assert.True(Output(packed, lines[0]).AsSpan().SequenceEqual(Output(exported, lines[0])), "the exported model computes something else");
        Assert.True(Verification.Verify(folder["model.mpack"], against: model).Ok);
    }

    [SkippableFact]
    public void Compile_detector_findsTheSamePixels()
    {
        using var folder = new TempFolder();
        string model = Find("assets/ch_PP-OCRv4_det_infer.onnx");
        var lines = VarietyLines.Read();
        for (int i = 0; i < 8; i++)
        {
            (float[] values, long[] shape) = Page(lines, 6 * i);
            WriteSample(folder, $"data/page{i}", values, shape);
        }

        Compile(folder, model);
        using ModelSession original = ModelSession.Open(model);
        using ModelSession packed = ModelSession.Open(folder["model.mpack"]);
        long both = 0;
        long either = 0;
        for (int i = 0; i < 8; i++)
        {
            (float[] values, long[] shape) = Page(lines, 100 + (6 * i));
            float[] expected = Output(original, ("", values, shape));
            float[] actual = Output(packed, ("", values, shape));
            for (int p = 0; p < expected.Length; p++)
            {
                both += expected[p] > 0.3f && actual[p] > 0.3f ? 1 : 0;
                either += expected[p] > 0.3f || actual[p] > 0.3f ? 1 : 0;
            }
        }

        Assert.True(either > 20_000, $"text is found at {either} pixels only: the pages or the preprocessing are wrong");
        Assert.True(both >= 0.95 * either, $"{both} of {either} pixels are text to both");
    }

    /// <summary>The classifier runs on integers alone; the recogniser has layer normalisation, which has no integer form.</summary>
    [SkippableFact]
    public void Compile_integersOnly_isDoneOrRefusedByName()
    {
        using var folder = new TempFolder();
        for (int i = 0; i < 8; i++)
        {
            (float[] values, long[] shape) = OcrLines.OcrLines.Input(i);
            float[] cut = [.. Enumerable.Range(0, 3 * 48 * 192).Select(k => values[((k / 192) * (int)shape[3]) + (k % 192)])];
            WriteSample(folder, $"data/line{i:D2}", cut, [1, 3, 48, 192]);
        }

        CompileRequest Request(string model) => new()
        {
            Input = Find(model),
            Output = folder["i.mpack"],
            Target = TargetProfiles.Int8Only,
            Calibration = folder["data"],
            CalibrationOptions = new CalibrationOptions { CacheFolder = folder["cache"] },
            Sets = ["static-shapes.shapes=1x3x48x192"],
        };
        Assert.Empty(ModelCompiler.Compile(Request("assets/ch_ppocr_mobile_v2.0_cls_infer.onnx")).Warnings);
        ModelPackException refused = Assert.Throws<ModelPackException>(() => ModelCompiler.Compile(Request("assets/ch_PP-OCRv4_rec_infer.onnx")));
        Assert.Equal(ErrorCodes.NotInteger, refused.Code);
        Assert.Contains("Sqrt no integer form", refused.Message, StringComparison.Ordinal);
    }

    private static CompileResult Compile(TempFolder folder, string model) => ModelCompiler.Compile(new CompileRequest
    {
        Input = model,
        Output = folder["model.mpack"],
        Recipe = "w8a8",
        Calibration = folder["data"],
        CalibrationOptions = new CalibrationOptions { CacheFolder = folder["cache"] },
    });

    /// <summary>Six lines below each other on a white page of 320 x 480, normalised as the detector wants it.</summary>
    private static (float[] Values, long[] Shape) Page(IReadOnlyList<(string Text, float[] Values, long[] Shape)> lines, int first)
    {
        const int height = 320;
        const int width = 480;
        float[] mean = [0.485f, 0.456f, 0.406f];
        float[] deviation = [0.229f, 0.224f, 0.225f];
        float[] values = new float[3 * height * width];
        for (int c = 0; c < 3; c++)
        {
            Span<float> plane = values.AsSpan(c * height * width, height * width);
            plane.Fill((1 - mean[c]) / deviation[c]);
            for (int i = 0; i < 6; i++)
            {
                (_, float[] pixels, long[] shape) = lines[first + i];
                for (int y = 0; y < 48; y++)
                {
                    for (int x = 0; x < Math.Min(width, (int)shape[3]); x++)
                    {
                        plane[(((i * 53) + y) * width) + x] = ((((pixels[(y * (int)shape[3]) + x] * 0.5f) + 0.5f) - mean[c]) / deviation[c]);
                    }
                }
            }
        }

        return (values, [1, 3, height, width]);
    }

    private static void WriteSample(TempFolder folder, string name, float[] values, long[] shape)
    {
        Directory.CreateDirectory(folder[name]);
        NpyFile.Write(folder[name + "/x.npy"], DType.F32, new Shape(shape), TensorData.FromBytes(MemoryMarshal.AsBytes(values.AsSpan()).ToArray()));
    }

    private static float[] Output(ModelSession session, (string Text, float[] Values, long[] Shape) line) =>
        session.Run(NamedTensor.Of(session.Inputs[0].Name, line.Values, line.Shape))[0].Values<float>().ToArray();

    private static string Read(ModelSession session, float[] values, long[] shape, string[] keys)
    {
        NamedTensor output = session.Run(NamedTensor.Of(session.Inputs[0].Name, values, shape))[0];
        return OcrLines.OcrLines.Decode(output.Values<float>(), (int)output.Shape[1], (int)output.Shape[2], keys);
    }

    private static string Find(string file) => Path.Combine(NpmPackages.Require(NpmPackage.OcrModels), file);
}
