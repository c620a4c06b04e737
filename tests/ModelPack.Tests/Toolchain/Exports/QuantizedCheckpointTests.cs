using System.Text.Json.Nodes;
using ModelPack.Compiler;
using ModelPack.Pack;
using ModelPack.Runtime;
using ModelPack.Testing;
using ModelPack.Toolchain;
using Xunit;

namespace ModelPack.Tests.Toolchain.Exports;

/// <summary>Checkpoints that other tools quantised: weights with the same codes and scales, which run, and go out again without being quantised anew.</summary>
public sealed class QuantizedCheckpointTests
{
    private const string Up = "model.layers.0.mlp.up_proj";

    /// <summary>Scheme, encoding, and the largest error of a value against the published arithmetic, relative.</summary>
    public static TheoryData<string, string, double> Schemes => new()
    {
        { "W4A16", "int4(block=128,scale=bf16,search=none,symmetric=true)", 0 },
        { "W4A16 asymmetric", "int4(block=32,scale=bf16,search=none,symmetric=false)", 0 },
        { "W4A16 order", "f32", 0 },
        { "W8A16", "int8(block=row,scale=bf16,search=none,symmetric=true)", 0 },
        { "W3A16", "int3(block=64,scale=bf16,search=none,symmetric=false)", 0 },
        { "W8A8", "int8(block=row,scale=bf16,search=none,symmetric=true)", 0 },
        { "W8A8 asymmetric", "int8(block=row,scale=bf16,search=none,symmetric=false)", 0 },
        { "FP8 tensor", "fp8(backoff=1,element=e4m3fn,min_amax=0,rule=absmax,scale=", 0 },
        { "FP8 channel", "fp8(backoff=1,element=e4m3fn,min_amax=0,rule=absmax,scope=row)", 0 },
        { "FP8 block", "fp8(backoff=1,block=128,element=e4m3fn,min_amax=0,rule=absmax,scope=tile)", 0 },
        { "fp8", "fp8(backoff=1,element=e4m3fn,min_amax=0,rule=absmax,scale=", 0 },
        { "fp8 blocks", "fp8(backoff=1,block=128,element=e4m3fn,min_amax=0,rule=absmax,scope=tile)", 0 },
        { "NVFP4", "nvfp4(divisor=55.000015,global=", 2.4e-7 },
        { "ModelOpt NVFP4", "nvfp4(global=0.0371)", 2.4e-7 },
        { "MXFP4", "mxfp4(mode=floor)", 0 },
        { "GPTQ", "int4(block=128,scale=f16,search=none,symmetric=true)", 0 },
        { "GPTQ v2 asymmetric", "int4(block=64,scale=f16,search=none,symmetric=false)", 0 },
        { "GPTQ asymmetric", "int8(block=row,scale=f16,search=none,symmetric=false)", 0 },
        { "GPTQ 3 bits", "int3(block=32,scale=f16,search=none,symmetric=false)", 0 },
        { "GPTQ order", "f32", 0 },
        { "AWQ", "int4(block=128,scale=f16,search=none,symmetric=false)", 0 },
    };

    [Theory]
    [MemberData(nameof(Schemes))]
    public void Import_hasTheValuesThatTheLayoutMeans(string scheme, string encoding, double tolerance)
    {
        using var folder = new QuantizedFolder(scheme);
        using ImportedModel imported = ModelPack.Containers.Containers.For(folder.Path).Import(folder.Path);
        Tensor[] weights = [.. imported.Model.Graph.Initializers.Where(t => !QuantizedCheckpoints.IsActivationScale(t.Name))];
        Assert.Equal(folder.Dense.Tensors.Keys, weights.Select(t => t.Name).Order(StringComparer.Ordinal));
        foreach (Tensor tensor in weights.Where(t => t.Name.Contains("_proj", StringComparison.Ordinal)))
        {
            Assert.StartsWith(encoding, tensor.Encoding.Describe(), StringComparison.Ordinal);
            (long[] shape, float[] expected) = folder.Dense.Tensors[tensor.Name];
            Assert.Equal(new Shape(shape), tensor.Shape);
            IValueReader reader = EncodingValues.Open(tensor.Encoding);
            int step = tensor.Name == Up + ".weight" ? 97 : (int)shape[0];
            float[] values = new float[expected.Length];
            for (int r = 0; r < shape[0]; r += step)
            {
                int n = (int)Math.Min(step, shape[0] - r);
                reader.ReadRows(r, n, values.AsSpan(r * (int)shape[1], n * (int)shape[1]));
            }

            double worst = values.Zip(expected, (a, b) => Math.Abs(a - b) - (Math.Abs(b) * tolerance)).Max();
            Assert.True(worst <= 0, $"{tensor.Name}: {worst}");
        }
    }

    /// <summary>Streams that are put together from other bytes give the same bytes wherever reading begins and ends.</summary>
    [Theory]
    [InlineData("W3A16")]
    [InlineData("W4A16 asymmetric")]
    [InlineData("GPTQ 3 bits")]
    [InlineData("GPTQ order")]
    [InlineData("AWQ")]
    [InlineData("FP8 channel")]
    public void Import_streams_areTheSameInPieces(string scheme)
    {
        using var folder = new QuantizedFolder(scheme);
        using ImportedModel imported = ModelPack.Containers.Containers.For(folder.Path).Import(folder.Path);
        var encoding = (DenseEncoding)imported.Model.Graph.Initializers.Single(t => t.Name == Up + ".weight").Encoding;
        foreach (EncodedStream stream in encoding.Streams)
        {
            byte[] whole = stream.Data.ToArray();
            byte[] pieces = new byte[whole.Length];
            for (int at = 0, n = 1; at < pieces.Length; at += n, n = (n * 3 % 1021) + 1)
            {
                n = Math.Min(n, pieces.Length - at);
                stream.Data.Read(at, pieces.AsSpan(at, n));
            }

            Assert.Equal(whole, pieces);
        }
    }

    [Theory]
    [InlineData("W4A16 asymmetric", "int4")]
    [InlineData("W4A16 order", "f32")]
    [InlineData("W8A8", "int8")]
    [InlineData("FP8 tensor", "fp8")]
    [InlineData("FP8 block", "fp8")]
    [InlineData("NVFP4", "nvfp4")]
    [InlineData("MXFP4", "mxfp4")]
    [InlineData("GPTQ", "int4")]
    [InlineData("GPTQ 3 bits", "int3")]
    [InlineData("AWQ", "int4")]
    public void Compile_runsOnTheCodesAsTheyAre(string scheme, string id)
    {
        using var folder = new QuantizedFolder(scheme);
        CompileResult result = ModelCompiler.Compile(new CompileRequest { Input = folder.Path, Output = folder["m.mpack"] });
        Assert.Equal("lossless", result.Recipe);
        CompiledTensor[] projections = [.. result.Tensors.Where(t => t.Name.Contains("_proj", StringComparison.Ordinal) && t.Shape.Count == 2)];
        Assert.Equal(7, projections.Length);
        bool values = id == "f32";
        Assert.All(projections, t => Assert.Contains(id, t.Encoding, StringComparison.Ordinal));
        Assert.Equal(values ? 0 : 7, Inspection.Explain(folder["m.mpack"]).Nodes.Count(n => n.Kernel.StartsWith($"modelpack:PackedMatMul({id}", StringComparison.Ordinal)));
        Assert.Equal(scheme is "W8A8" or "FP8 tensor" or "FP8 block", result.Warnings.Any(w => w.Contains("means activations to be rounded", StringComparison.Ordinal)));
        Assert.Equal(values, result.Warnings.Any(w => w.Contains("and 6 more: groups of such an order", StringComparison.Ordinal)));
        bool rest = scheme is "GPTQ" or "W4A16 order" or "NVFP4";
        Assert.True(Verification.Verify(folder["m.mpack"], against: folder.Path, rederive: rest ? folder.Path : null).Ok);

        float[] expected = Logits(folder.DensePath);
        float largest = expected.Max(MathF.Abs);
        Assert.True(expected.Zip(Logits(folder["m.mpack"]), (a, b) => Math.Abs(a - b)).Max() < largest * 1e-5f);

        // Asked for another format, a weight that has codes already keeps them.
        if (rest && !values)
        {
            CompileResult again = ModelCompiler.Compile(new CompileRequest { Input = folder.Path, Output = folder["n.mpack"], Recipe = "int4", Sets = ["quantize.min_elements=1"] });
            Assert.Equal(projections.Select(t => t.Encoding), again.Tensors.Where(t => t.Name.Contains("_proj", StringComparison.Ordinal) && t.Shape.Count == 2).Select(t => t.Encoding));
        }
    }

    /// <summary>From the folder as from an artifact of it, every tensor of the layers has the bytes that came in.</summary>
    [Theory]
    [InlineData("W4A16", "pack-quantized")]
    [InlineData("W4A16 asymmetric", "pack-quantized")]
    [InlineData("W8A16", "pack-quantized")]
    [InlineData("W8A8", "int-quantized")]
    [InlineData("FP8 tensor", "float-quantized")]
    [InlineData("FP8 channel", "float-quantized")]
    [InlineData("FP8 block", "float-quantized")]
    [InlineData("NVFP4", "nvfp4-pack-quantized")]
    [InlineData("MXFP4", "mxfp4-pack-quantized")]
    public void Export_compressedTensors_givesBackTheBytes(string scheme, string format)
    {
        using var folder = new QuantizedFolder(scheme);
        string[] sources = [folder.Path];
        if (scheme is "W4A16" or "FP8 tensor" or "NVFP4")
        {
            ModelCompiler.Compile(new CompileRequest { Input = folder.Path, Output = folder["m.mpack"] });
            sources = [folder.Path, folder["m.mpack"]];
        }

        foreach (string source in sources)
        {
            string output = folder[$"out-{Path.GetFileName(source)}"];
            ExportResult result = Exporting.Export(source, "compressed-tensors", output, new ExportOptions());
            Assert.Empty(result.Warnings);
            var file = new PlainSafetensors(Path.Combine(output, "model.safetensors"));
            Assert.Equal(folder.Tensors.Keys, file.Names.Order(StringComparer.Ordinal));
            foreach ((string name, (string type, long[] shape, byte[] bytes)) in folder.Tensors)
            {
                Assert.Equal(shape, file.Shape(name));
                if (file.Type(name) == type)
                {
                    Assert.Equal(bytes, file.Bytes(name));
                }
                else
                {
                    // Scales of FP8 are written as f32: the same numbers.
                    Assert.Equal(("BF16", "F32"), (type, file.Type(name)));
                    Assert.Equal([.. Enumerable.Range(0, bytes.Length / 2).Select(i => BitConverter.UInt32BitsToSingle((uint)BitConverter.ToUInt16(bytes, i * 2) << 16))], file.Floats(name));
                }
            }

            JsonNode before = folder.Config["quantization_config"]!;
            JsonNode after = JsonNode.Parse(File.ReadAllText(Path.Combine(output, "config.json")))!["quantization_config"]!;
            Assert.Equal(format, (string?)after["format"]);
            foreach (string key in new[] { "num_bits", "type", "strategy", "dynamic" })
            {
                Assert.Equal(before["config_groups"]!["group_0"]!["input_activations"]?[key]?.ToJsonString(), after["config_groups"]!["group_0"]!["input_activations"]?[key]?.ToJsonString());
            }

            Assert.DoesNotContain(Checking.Check(output, "vllm").Findings, f => f.Severity == "error");
        }
    }

    /// <summary>Codes of one tool in the layout of another.</summary>
    [Theory]
    [InlineData("GPTQ", "compressed-tensors")]
    [InlineData("GPTQ v2 asymmetric", "compressed-tensors")]
    [InlineData("AWQ", "compressed-tensors")]
    [InlineData("ModelOpt NVFP4", "compressed-tensors")]
    [InlineData("fp8 blocks", "compressed-tensors")]
    [InlineData("FP8 block", "fp8")]
    public void Export_toAnotherLayout_isReadAsTheSameValues(string scheme, string to)
    {
        using var folder = new QuantizedFolder(scheme);
        Exporting.Export(folder.Path, to, folder["out"], new ExportOptions());
        CompareResult compared = Comparison.Compare(folder.Path, folder["out"]);
        Assert.Empty(compared.Missing);
        Assert.Empty(compared.Extra);
        Assert.All(compared.Tensors, t => Assert.InRange(t.RelativeError ?? 0, 0, scheme == "ModelOpt NVFP4" ? 1e-7 : 0));
        Assert.DoesNotContain(Checking.Check(folder["out"], "vllm").Findings, f => f.Severity == "error");
    }

    [Fact]
    public void Export_toAFormatThatHasNoSuchCodes_isMP4107()
    {
        using var folder = new QuantizedFolder("GPTQ 3 bits");
        var error = Assert.Throws<ModelPackException>(() => Exporting.Export(folder.Path, "compressed-tensors", folder["out"], new ExportOptions()));
        Assert.Equal(ErrorCodes.ExportNotPossible, error.Code);
        Assert.Contains("'int3(", error.Message, StringComparison.Ordinal);
        Assert.False(Directory.Exists(folder["out"]));
        Assert.Contains("'compile' makes an artifact", Assert.Throws<ModelPackException>(() => Exporting.Export(folder.Path, "onnx", folder["m.onnx"], new ExportOptions())).Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("GPTQ")]
    [InlineData("FP8 tensor")]
    [InlineData("NVFP4")]
    public void Export_safetensors_isDenseAndNoLongerDeclared(string scheme)
    {
        using var folder = new QuantizedFolder(scheme);
        Exporting.Export(folder.Path, "safetensors", folder["out"], new ExportOptions());
        var file = new PlainSafetensors(Path.Combine(folder["out"], "model.safetensors"));
        Assert.Equal(folder.Dense.Tensors.Keys, file.Names.Order(StringComparer.Ordinal));
        Assert.Null(JsonNode.Parse(File.ReadAllText(Path.Combine(folder["out"], "config.json")))!["quantization_config"]);
        Assert.Equal(scheme == "GPTQ" ? "F16" : scheme == "NVFP4" ? "BF16" : "F32", file.Type(Up + ".weight"));
    }

    /// <summary>Experts of gpt-oss: rows of outputs with blocks of inputs come in, matrices [in, out] are what plain checkpoints have.</summary>
    [Fact]
    public void Import_gptOssExperts_areTurned()
    {
        using var folder = new QuantizedFolder("MXFP4", change: f =>
        {
            f.Tensors.Clear();
            f.Config["quantization_config"] = JsonNode.Parse("""{"quant_method":"mxfp4"}""");
            var random = new SplitMix(3);
            f.Tensors["model.layers.0.mlp.experts.down_proj_blocks"] = ("U8", [2, 5, 3, 16], [.. Enumerable.Range(0, 480).Select(_ => (byte)random.Below(256))]);
            f.Tensors["model.layers.0.mlp.experts.down_proj_scales"] = ("U8", [2, 5, 3], [.. Enumerable.Range(0, 30).Select(_ => (byte)(120 + random.Below(9)))]);
        });
        using ImportedModel imported = ModelPack.Containers.Containers.For(folder.Path).Import(folder.Path);
        Tensor tensor = Assert.Single(imported.Model.Graph.Initializers);
        Assert.Equal("model.layers.0.mlp.experts.down_proj", tensor.Name);
        Assert.Equal(new Shape(2, 96, 5), tensor.Shape);
        Assert.Equal("permuted(perm=0x2x1) > mxfp4(mode=floor)", tensor.Encoding.Describe());
        float[] values = new float[2 * 96 * 5];
        EncodingValues.Open(tensor.Encoding).ReadRows(0, 2 * 96, values);
        byte[] blocks = folder.Tensors["model.layers.0.mlp.experts.down_proj_blocks"].Bytes;
        byte[] scales = folder.Tensors["model.layers.0.mlp.experts.down_proj_scales"].Bytes;
        for (int i = 0; i < values.Length; i++)
        {
            (int expert, int k, int n) = (i / 480, i / 5 % 96, i % 5);
            int b = (((expert * 5) + n) * 3) + (k / 32);
            int code = (blocks[(b * 16) + (k % 32 / 2)] >> (4 * (k % 2))) & 15;
            Assert.Equal(PlainSafetensors.E2M1(code) * MathF.Pow(2, scales[b] - 127), values[i]);
        }
    }

    [Theory]
    [InlineData("W4A16", "remove .weight_scale", 1512, Up + ".weight_scale", "is missing; '" + Up + ".weight_packed' needs it")]
    [InlineData("W4A16", "remove .weight_shape", 1512, Up + ".weight_shape", "is missing")]
    [InlineData("W4A16", "remove .weight_packed", 1512, Up + ".weight_scale", "belongs to no quantised weight")]
    [InlineData("W4A16", "shape .weight_shape", 1512, Up + ".weight_packed", "is i32[512,32], not i32[512,38]")]
    [InlineData("W4A16", "half .weight_scale", 1512, Up + ".weight_scale", "not f32, f16 or bf16 [512,2]")]
    [InlineData("W4A16 asymmetric", "remove .weight_zero_point", 1512, Up + ".weight_zero_point", "an asymmetric scheme needs it")]
    [InlineData("W4A16 order", "index .weight_g_idx", 1512, Up + ".weight_g_idx", "names a group that is not one of the 4")]
    [InlineData("W4A16", "config \"ignore\":[\"lm_head\"]=>\"ignore\":[\"re:.*up_proj\"]", 1513, null, "'ignore' lists 're:.*up_proj'")]
    [InlineData("W4A16", "config \"Linear\"=>\"re:.*q_proj\"", 1513, null, "as a target")]
    [InlineData("W4A16", "config \"group_size\":128=>\"group_size\":100", 1513, null, "which does not divide rows of")]
    [InlineData("W4A16", "config \"num_bits\":4=>\"num_bits\":9", 1513, null, "'num_bits' is 9, not one of")]
    [InlineData("W8A8", "remove .weight_scale", 1512, Up + ".weight_scale", "is missing")]
    [InlineData("FP8 channel", "config \"channel\"=>\"tensor\"", 1512, null, "not one float")]
    [InlineData("FP8 block", "config [128,128]=>[64,128]", 1513, null, "square block")]
    [InlineData("NVFP4", "remove .weight_global_scale", 1512, Up + ".weight_global_scale", "is missing")]
    [InlineData("NVFP4", "zero .weight_global_scale", 1512, Up + ".weight_global_scale", "a scale is positive and finite")]
    [InlineData("GPTQ", "remove .scales", 1512, Up + ".scales", "is missing")]
    [InlineData("GPTQ", "config \"checkpoint_format\":\"gptq\"=>\"checkpoint_format\":\"gptq_v2\"", 1512, null, "holds other zero points than 'sym' and 'checkpoint_format' 'gptq_v2' mean")]
    [InlineData("GPTQ", "config \"bits\":4=>\"bits\":5", 1513, null, "'bits' is 5, not one of 2, 3, 4, 8")]
    [InlineData("GPTQ", "half .qzeros", 1512, Up + ".qzeros", "not i32[2,64]")]
    [InlineData("GPTQ asymmetric", "ones .qzeros", 1512, Up + ".qzeros", "which is 256 to some runtimes and 0 to others")]
    [InlineData("AWQ", "config \"gemm\"=>\"gemv\"", 1513, null, "'version' is 'gemv'")]
    [InlineData("AWQ", "remove .qzeros", 1512, Up + ".qzeros", "is missing")]
    [InlineData("fp8", "remove .weight_scale", 1512, Up + ".weight_scale", "is missing")]
    public void Import_defect_isOneError(string scheme, string defect, int code, string? tensor, string message)
    {
        using var folder = new QuantizedFolder(scheme, change: f => Break(f, defect));
        var error = Assert.Throws<ModelPackException>(() => ModelCompiler.Compile(new CompileRequest { Input = folder.Path, Output = folder["m.mpack"] }));
        Assert.Equal(code, error.Code.Number);
        Assert.Contains(message, error.Message, StringComparison.Ordinal);
        Assert.True(tensor is null || tensor == error.Tensor, error.Tensor);
        Assert.Equal(folder.Path, error.Path);
        Assert.False(File.Exists(folder["m.mpack"]));
    }

    [Fact]
    public void Export_staticScaleMissing_isMP4115_unlessOthersAreAskedFor()
    {
        using var folder = new QuantizedFolder("FP8 tensor", change: f => f.Tensors.Remove(Up + ".input_scale"));
        var error = Assert.Throws<ModelPackException>(() => Exporting.Export(folder.Path, "compressed-tensors", folder["out"], new ExportOptions()));
        Assert.Equal((ErrorCodes.ActivationScaleMissing, Up + ".input_scale"), (error.Code, error.Tensor));
        ExportResult result = Exporting.Export(folder.Path, "compressed-tensors", folder["out"], new ExportOptions { RoundActivations = false });
        Assert.Contains("6 scales of activations and caches", Assert.Single(result.Warnings), StringComparison.Ordinal);
        Assert.DoesNotContain(new PlainSafetensors(Path.Combine(folder["out"], "model.safetensors")).Names, n => n.EndsWith("input_scale", StringComparison.Ordinal));
    }

    [Fact]
    public void Compile_unknownMethod_keepsWeightsAndSaysSo()
    {
        using var folder = new QuantizedFolder("W8A16", change: f => f.Config["quantization_config"]!["quant_method"] = "hqq");
        CompileResult result = ModelCompiler.Compile(new CompileRequest { Input = folder.Path, Output = folder["m.mpack"], Recipe = "lossless" });
        Assert.Contains(result.Warnings, w => w.Contains("are quantised by 'hqq', which is not read", StringComparison.Ordinal));
        Assert.Contains(result.Tensors, t => t.Name == Up + ".weight_packed");
    }

    private static void Break(QuantizedFolder folder, string defect)
    {
        string[] words = defect.Split(' ', 2);
        string name = Up + words[1];
        switch (words[0])
        {
            case "remove":
                Assert.True(folder.Tensors.Remove(name));
                break;
            case "half":
                (string type, long[] shape, byte[] bytes) = folder.Tensors[name];
                folder.Tensors[name] = (type, [shape[0], shape[1] / 2], bytes[..(bytes.Length / 2)]);
                break;
            case "shape":
                folder.SetWord(name, 2, 300);
                break;
            case "index":
                folder.SetWord(name, 5, 4);
                break;
            case "ones":
                folder.SetWord(name, 3, uint.MaxValue);
                break;
            case "zero":
                folder.SetWord(name, 0, 0);
                break;
            default:
                string[] change = words[1].Split("=>");
                string text = folder.Config["quantization_config"]!.ToJsonString();
                Assert.Contains(change[0], text, StringComparison.Ordinal);
                folder.Config["quantization_config"] = JsonNode.Parse(text.Replace(change[0], change[1], StringComparison.Ordinal));
                break;
        }
    }

    private static float[] Logits(string path)
    {
        using ModelSession session = ModelInput.Open(path, new ModelSessionOptions { Threads = 1 });
        return session.Run(NamedTensor.Of("input_ids", (long[])[3, 17, 5, 22, 39, 1, 0, 8], 1, 8)).Single().Values<float>().ToArray();
    }
}
