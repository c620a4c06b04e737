using System.Buffers.Binary;
using System.Text;
using System.Text.Json.Nodes;
using ModelPack.Compiler;
using ModelPack.Containers.Gguf;
using ModelPack.Tests.Cli;
using ModelPack.Toolchain;
using Xunit;

namespace ModelPack.Tests.Toolchain.Exports;

/// <summary><c>modelpack check</c>: what we export passes, and each of the defects that loaders trip over is found by its rule.</summary>
public sealed class CheckTests : IClassFixture<CheckTests.Exports>
{
    private const string Up = "model.layers.0.mlp.up_proj";
    private const string Q = "model.layers.0.self_attn.q_proj";

    private readonly Exports _exports;

    public CheckTests(Exports exports) => _exports = exports;

    public static TheoryData<string> DefectNames => [.. Defects.Select(d => d.Name)];

    /// <summary>Name, the sound export it is made in, the rule that must find it, and the damage.</summary>
    private static IReadOnlyList<(string Name, string Export, string Rule, Action<Folder> Damage)> Defects { get; } =
    [
        ("fused layers with different global scales", "nvfp4", "fused-global-scale", f => f.Set(Up + ".weight_global_scale", 0, BitConverter.GetBytes(4096f))),
        ("fused layers of which one is ignored", "w4a16", "fused-scheme", f => Ignore(f, Q)),
        ("quantised layer on the ignore list", "w4a16", "ignored-but-quantized", f => Ignore(f, "model.layers.0.mlp.down_proj")),
        ("dropped tensor of an architecture", "w4a16", "MP1506", f => f.Tensors.Remove("model.layers.0.input_layernorm.weight")),
        ("dropped scale", "w4a16", "tensor-missing", f => f.Tensors.Remove(Up + ".weight_scale")),
        ("dropped weight_shape", "w4a16", "tensor-missing", f => f.Tensors.Remove(Up + ".weight_shape")),
        ("dropped zero points", "w4a16-asym", "tensor-missing", f => f.Tensors.Remove(Up + ".weight_zero_point")),
        ("NaN scale", "w4a16", "scale-not-finite", f => f.Set(Up + ".weight_scale", 6, [0xC0, 0x7F])),
        ("zero scale", "w4a16", "scale-not-positive", f => f.Set(Up + ".weight_scale", 2, [0, 0])),
        ("NaN in a norm", "w4a16", "value-not-finite", f => f.Set("model.norm.weight", 4, [0xC0, 0xFF])),
        ("E8M0 scale of NaN", "mxfp4", "scale-not-finite", f => f.Set(Up + ".weight_scale", 3, [0xFF])),
        ("unknown key in a group", "w4a16", "unknown-key", f => Arguments(f)["made_by"] = "us"),
        ("scales of another shape", "w4a16", "scale-mismatch", f => f.Tensors[Up + ".weight_scale"] = f.Tensors[Up + ".weight_scale"] with { Shape = [256, 4] }),
        ("codes of another shape", "w4a16", "codes-mismatch", f => f.Tensors[Up + ".weight_packed"] = f.Tensors[Up + ".weight_packed"] with { Shape = [1024, 16] }),
        ("E8M0 scales typed as floats", "mxfp4", "scale-dtype", f => f.Tensors[Up + ".weight_scale"] = f.Tensors[Up + ".weight_scale"] with { Type = "F8_E8M0" }),
        ("zero points of a symmetric scheme", "w4a16", "zero-point-symmetric", f => f.Tensors[Up + ".weight_zero_point"] = new Stored("I32", [64, 2], new byte[512])),
        ("group without group_size", "w4a16", "arguments-invalid", f => Arguments(f)["group_size"] = null),
        ("unknown strategy", "w4a16", "arguments-invalid", f => Arguments(f)["strategy"] = "row"),
        ("bits that vLLM does not have", "w4a16", "bits-unsupported", f => Arguments(f)["num_bits"] = 3),
        ("vestigial sparsity targets", "w4a16", "sparsity-targets", f => f.Quantization["sparsity_config"] = JsonNode.Parse("""{"targets":["Linear"]}""")),
        ("mixed precision without formats", "w4a16", "format-missing", f => f.Quantization["format"] = "mixed-precision"),
        ("unknown format", "w4a16", "format-unknown", f => f.Quantization["format"] = "nibbles"),
        ("ignore list of tensor names", "w4a16", "ignore-unmatched", f => f.Quantization["ignore"]!.AsArray().Add("lm_head.weight")),
        ("no declaration at all", "w4a16", "quantization-undeclared", f => f.Config.Remove("quantization_config")),
        ("tokenizer beyond the vocabulary", "w4a16", "vocabulary-mismatch", f => f.Tokenizer["model"]!["vocab"]!["zz"] = 99),
        ("config without architecture", "w4a16", "architecture-unknown", f => f.Config.Remove("architectures")),
        ("config that is not JSON", "w4a16", "config-not-json", f => f.ConfigText = "{"),
        ("FP8 weight without scales", "fp8", "tensor-missing", f => f.Tensors.Remove(Up + ".weight_scale_inv")),
        ("FP8 blocks with static activations", "fp8", "activation-scheme", f => f.Quantization["activation_scheme"] = "static"),
        ("FP8 list that vLLM does not read", "fp8", "ignore-missing", f => f.Quantization["ignored_layers"] = new JsonArray("other")),
        ("FP8 scales of BF16", "fp8", "scale-dtype", f => f.Tensors[Up + ".weight_scale_inv"] = new Stored("BF16", f.Tensors[Up + ".weight_scale_inv"].Shape, [0x80, 0x3F, 0x80, 0x3F, 0x80, 0x3F, 0x80, 0x3F, 0x80, 0x3F, 0x80, 0x3F, 0x80, 0x3F, 0x80, 0x3F])),
        ("truncated file", "w4a16", "MP1128", f => f.CutBytes = 100),
        ("index that lacks a tensor", "w4a16", "MP1162", f => f.Index = i => i["weight_map"]!.AsObject().Remove("model.norm.weight")),
        ("index that names a missing shard", "w4a16", "MP1160", f => f.Index = i => i["weight_map"]!["model.norm.weight"] = "model-00009.safetensors"),
        ("index with a wrong size", "w4a16", "index-total-size", f => f.Index = i => i["metadata"]!["total_size"] = 1),
        ("GPTQ bytes of the other version", "gptq", "format-marker", f => f.Quantization["checkpoint_format"] = "gptq_v2"),
        ("AWQ in the order of gemv", "awq", "format-marker", f => f.Quantization["version"] = "gemv"),
    ];

    [Theory]
    [InlineData("w4a16")]
    [InlineData("w4a16-asym")]
    [InlineData("nvfp4")]
    [InlineData("mxfp4")]
    [InlineData("fp8")]
    [InlineData("gptq")]
    [InlineData("awq")]
    public void Check_soundExport_isLoadable(string export)
    {
        foreach (string target in new[] { "vllm", "transformers" })
        {
            CheckResult result = Checking.Check(_exports.Write(export, _ => { }), target);
            Assert.True(result.Ok, string.Join('\n', result.Findings));
            Assert.Empty(result.Findings);
        }
    }

    [Theory]
    [MemberData(nameof(DefectNames))]
    public void Check_defect_isFound(string name)
    {
        (_, string export, string rule, Action<Folder> damage) = Defects.Single(d => d.Name == name);
        CheckResult result = Checking.Check(_exports.Write(export, damage), "vllm");
        Assert.True(result.Findings.Any(f => f.Rule == rule), string.Join('\n', result.Findings));
        bool warning = rule is "ignore-unmatched" or "architecture-unknown" or "index-total-size";
        Assert.Equal(warning, result.Ok);
    }

    [Theory]
    [InlineData("norm of f16", "norm-dtype")]
    [InlineData("no epsilon", "key-missing")]
    [InlineData("rotary dimension", "rope-dimension")]
    [InlineData("tokens fewer than rows", "vocabulary-mismatch")]
    [InlineData("no merges", "tokenizer-missing")]
    [InlineData("no embedding", "tensor-missing")]
    [InlineData("NaN scale", "scale-not-finite")]
    [InlineData("no quantization version", "key-missing")]
    [InlineData("sound", null)]
    public void Check_gguf_findsDefects(string defect, string? rule)
    {
        bool Is(string name) => defect == name;
        var metadata = new GgufMetadata();
        metadata.Add("general.architecture", "llama");
        metadata.Add("llama.context_length", 64u);
        metadata.Add("llama.embedding_length", 64u);
        metadata.Add("llama.block_count", 1u);
        metadata.Add("llama.attention.head_count", 4u);
        metadata.Add("llama.rope.dimension_count", Is("rotary dimension") ? 64u : 16u);
        if (!Is("no epsilon"))
        {
            metadata.Add("llama.attention.layer_norm_rms_epsilon", 1e-5f);
        }

        if (!Is("no quantization version"))
        {
            metadata.Add("general.quantization_version", 2u);
        }

        metadata.Add("tokenizer.ggml.model", "gpt2");
        metadata.Add("tokenizer.ggml.pre", "gpt-2");
        metadata.Add("tokenizer.ggml.tokens", (string[])(Is("tokens fewer than rows") ? ["a"] : ["a", "b"]));
        if (!Is("no merges"))
        {
            metadata.Add("tokenizer.ggml.merges", (string[])["a b"]);
        }

        byte[] blocks = new byte[2 * 2 * 34];
        BinaryPrimitives.WriteHalfLittleEndian(blocks.AsSpan(34), Is("NaN scale") ? Half.NaN : Half.One);
        GgufOutputTensor Tensor(string name, string type, Shape shape, int bytes) => new(name, type, shape, TensorData.FromBytes(new byte[bytes]));
        List<GgufOutputTensor> tensors =
        [
            new("token_embd.weight", "q8_0", new Shape(2, 64), TensorData.FromBytes(blocks)),
            Is("norm of f16") ? Tensor("output_norm.weight", "f16", new Shape(64), 128) : Tensor("output_norm.weight", "f32", new Shape(64), 256),
            Tensor("blk.0.attn_norm.weight", "f32", new Shape(64), 256),
            Tensor("blk.0.ffn_norm.weight", "f32", new Shape(64), 256),
            Tensor("blk.0.attn_output.weight", "f32", new Shape(1, 64), 256),
            Tensor("blk.0.ffn_down.weight", "f32", new Shape(1, 64), 256),
        ];
        tensors.RemoveAll(t => Is("no embedding") && t.Name == "token_embd.weight");
        string path = _exports.Path($"{defect}.gguf");
        using (FileStream stream = File.Create(path))
        {
            GgufWriter.Write(stream, metadata, tensors);
        }

        CheckResult result = Checking.Check(path, "llamacpp");
        Assert.True(rule is null ? result.Findings.Count == 0 : result.Findings.Any(f => f.Rule == rule), string.Join('\n', result.Findings));
        Assert.Equal(rule is null, result.Ok);
    }

    [Fact]
    public void Check_exportedGguf_isLoadable()
    {
        CheckResult result = Checking.Check(_exports.Gguf, "llamacpp");
        Assert.True(result.Ok && result.Findings.Count == 0, string.Join('\n', result.Findings));
        byte[] cut = File.ReadAllBytes(_exports.Gguf)[..^5000];
        File.WriteAllBytes(_exports.Path("cut.gguf"), cut);
        Assert.Contains(Checking.Check(_exports.Path("cut.gguf"), "llamacpp").Findings, f => f.Rule.StartsWith("MP14", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData(4, 32, "", null)]
    [InlineData(4, 24, "", "arguments-invalid")]
    [InlineData(8, 32, "", "codes-mismatch")]
    [InlineData(4, 64, "", "codes-mismatch")]
    [InlineData(4, 32, "scales", "scale-mismatch")]
    [InlineData(4, 32, "nan", "scale-not-finite")]
    [InlineData(4, 32, "domain", "domain-unknown")]
    public void Check_matMulNBits_findsDefects(int bits, int block, string defect, string? rule)
    {
        float[] scales = [.. Enumerable.Repeat(defect == "nan" ? float.NaN : 1f, defect == "scales" ? 6 : 8)];
        var node = new Node
        {
            OpType = "MatMulNBits",
            Domain = "com.microsoft",
            Inputs = ["x", "w", "w_scales"],
            Outputs = ["y"],
            Attributes = [new("K", new AttributeValue.Int(64)), new("N", new AttributeValue.Int(4)), new("bits", new AttributeValue.Int(bits)), new("block_size", new AttributeValue.Int(block))],
        };
        var f32 = new ModelPack.Compiler.ValueType(DType.F32, [new Dimension(1), new Dimension(64)]);
        var model = new Model
        {
            Kind = ModelKind.Onnx,
            IrVersion = 8,
            Opsets = System.Collections.Immutable.ImmutableSortedDictionary<string, long>.Empty.Add("", 17).Add("com.microsoft", 1).Add(defect == "domain" ? "somebody" : "ai.onnx.ml", 1),
            Graph = new Graph
            {
                Name = "g",
                Inputs = [new ValueInfo("x", f32)],
                Outputs = [new ValueInfo("y", f32)],
                Nodes = [node],
                Initializers = [Tensor.Raw("w", DType.U8, new Shape(4, 2, 16), TensorData.FromBytes(new byte[128])), Tensor.Raw("w_scales", DType.F32, new Shape(scales.Length), TensorData.FromBytes(scales.SelectMany(BitConverter.GetBytes).ToArray()))],
            },
        };
        string path = _exports.Path($"n{bits}-{block}{defect}.onnx");
        ModelPack.Containers.Containers.Get("onnx").Export(model, path, t => ((DenseEncoding)t.Encoding).Streams[0].Data);
        CheckResult result = Checking.Check(path, "ort");
        Assert.True(rule is null ? result.Findings.Count == 0 : result.Findings.Any(f => f.Rule == rule), string.Join('\n', result.Findings));
    }

    [Fact]
    public void Cli_tellsTheVerdict()
    {
        string sound = _exports.Write("w4a16", _ => { });
        (int code, string output, string error) = CliHarness.Run("check", sound, "--target", "vllm", "--json");
        Assert.Equal((0, ""), (code, error));
        JsonNode json = JsonNode.Parse(output)!;
        Assert.Equal("true vllm compressed-tensors 0", $"{json["ok"]!.ToJsonString()} {json["target"]} {json["format"]} {json["findings"]!.AsArray().Count}");

        string broken = _exports.Write("w4a16", f => f.Tensors.Remove(Up + ".weight_scale"));
        (code, output, error) = CliHarness.Run("check", broken, "--target", "vllm", "--json");
        Assert.Equal(1, code);
        Assert.Contains($"error MP4114: tensor '{Up}.weight_scale': pack-quantized needs it [tensor-missing]", error, StringComparison.Ordinal);
        Assert.Equal("tensor-missing", (string?)JsonNode.Parse(output)!["findings"]![0]!["rule"]);

        (code, _, error) = CliHarness.Run("check", sound, "--target", "vlm");
        Assert.Equal(2, code);
        Assert.Contains("did you mean 'vllm'?", error, StringComparison.Ordinal);
        (code, _, error) = CliHarness.Run("check", sound + "-none", "--target", "vllm");
        Assert.Equal(1, code);
        Assert.Contains("error MP1001", error, StringComparison.Ordinal);
        Assert.Equal(1, CliHarness.Run("check", sound, "--target", "llamacpp").ExitCode);
    }

    private static JsonObject Arguments(Folder folder) => (JsonObject)folder.Quantization["config_groups"]!["group_0"]!["weights"]!;

    private static void Ignore(Folder folder, string module) => folder.Quantization["ignore"]!.AsArray().Add(module);

    /// <summary>A tensor of a file.</summary>
    internal sealed record Stored(string Type, long[] Shape, byte[] Bytes);

    /// <summary>A checkpoint folder in memory, to be damaged.</summary>
    internal sealed class Folder
    {
        public required SortedDictionary<string, Stored> Tensors { get; init; }

        public required JsonObject Config { get; init; }

        public required JsonObject Tokenizer { get; init; }

        public JsonObject Quantization => (JsonObject)Config["quantization_config"]!;

        public string? ConfigText { get; set; }

        public int CutBytes { get; set; }

        /// <summary>Damages an index, which there is only then.</summary>
        public Action<JsonNode>? Index { get; set; }

        public void Set(string tensor, int at, byte[] bytes) => bytes.CopyTo(Tensors[tensor].Bytes, at);
    }

    /// <summary>Sound exports, made once.</summary>
    public sealed class Exports : IDisposable
    {
        private readonly ExportCase _case = new();
        private readonly Dictionary<string, string> _folders = [];
        private int _written;

        public Exports()
        {
            Make("w4a16", "int4(block=128,scale=bf16)", "compressed-tensors");
            Make("w4a16-asym", "int4(block=128,scale=bf16,symmetric=false)", "compressed-tensors");
            Make("nvfp4", "nvfp4", "compressed-tensors");
            Make("mxfp4", "mxfp4", "compressed-tensors");
            Make("fp8", "fp8(scope=tile)", "fp8");
            _case.Compile("gguf-q8_0");
            _case.Export("gguf", "exported.gguf");
        }

        public string Gguf => _case["exported.gguf"];

        public string Path(string name) => _case[name];

        public void Dispose() => _case.Dispose();

        internal string Write(string export, Action<Folder> damage)
        {
            Folder folder = export is "gptq" or "awq" ? InputsFirst(export) : Read(_folders[export]);
            damage(folder);
            string path = _case[$"check-{_written++}"];
            Directory.CreateDirectory(path);
            File.WriteAllText(System.IO.Path.Combine(path, "config.json"), folder.ConfigText ?? folder.Config.ToJsonString());
            File.WriteAllText(System.IO.Path.Combine(path, "tokenizer.json"), folder.Tokenizer.ToJsonString());
            byte[] file = Safetensors(folder.Tensors);
            string name = folder.Index is null ? "model.safetensors" : "model-00001-of-00001.safetensors";
            File.WriteAllBytes(System.IO.Path.Combine(path, name), file[..^folder.CutBytes]);
            if (folder.Index is not null)
            {
                var map = new JsonObject();
                foreach (string tensor in folder.Tensors.Keys)
                {
                    map[tensor] = name;
                }

                var index = new JsonObject { ["metadata"] = new JsonObject { ["total_size"] = folder.Tensors.Values.Sum(t => (long)t.Bytes.Length) }, ["weight_map"] = map };
                folder.Index(index);
                File.WriteAllText(System.IO.Path.Combine(path, "model.safetensors.index.json"), index.ToJsonString());
            }

            return path;
        }

        private void Make(string name, string recipe, string to)
        {
            _case.Compile(recipe, "quantize.ends=keep", "quantize.share_scales=true");
            _case.Export(to, name);
            _folders[name] = _case[name];
        }

        private static Folder Read(string path)
        {
            var file = new PlainSafetensors(System.IO.Path.Combine(path, "model.safetensors"));
            return new Folder
            {
                Tensors = new(file.Names.ToDictionary(n => n, n => new Stored(file.Type(n), file.Shape(n), file.Bytes(n))), StringComparer.Ordinal),
                Config = (JsonObject)JsonNode.Parse(File.ReadAllText(System.IO.Path.Combine(path, "config.json")))!,
                Tokenizer = (JsonObject)JsonNode.Parse(File.ReadAllText(System.IO.Path.Combine(path, "tokenizer.json")))!,
            };
        }

        /// <summary>The layers in the layouts of GPTQ and AWQ, with zero points that say 8.</summary>
        private Folder InputsFirst(string method)
        {
            Folder folder = Read(_folders["w4a16"]);
            foreach (string module in folder.Tensors.Keys.Where(n => n.EndsWith(".weight_packed", StringComparison.Ordinal)).Select(n => n[..^".weight_packed".Length]).ToArray())
            {
                (long rows, long columns) = (folder.Tensors[module + ".weight_packed"].Shape[0], folder.Tensors[module + ".weight_packed"].Shape[1] * 8);
                foreach (string part in new[] { "weight_packed", "weight_scale", "weight_shape" })
                {
                    folder.Tensors.Remove($"{module}.{part}");
                }

                byte[] one = BitConverter.GetBytes((Half)1);
                folder.Tensors[module + ".qweight"] = new Stored("I32", method == "gptq" ? [columns / 8, rows] : [columns, rows / 8], new byte[rows * columns / 2]);
                folder.Tensors[module + ".scales"] = new Stored("F16", [columns / 128, rows], [.. Enumerable.Range(0, (int)(columns / 128 * rows)).SelectMany(_ => one)]);
                folder.Tensors[module + ".qzeros"] = new Stored("I32", [columns / 128, rows / 8], [.. Enumerable.Repeat((byte)0x77, (int)(columns / 128 * rows / 2))]);
            }

            folder.Config["quantization_config"] = JsonNode.Parse(method == "gptq"
                ? """{"quant_method":"gptq","bits":4,"group_size":128,"sym":true,"desc_act":false}"""
                : """{"quant_method":"awq","bits":4,"group_size":128,"zero_point":true,"version":"gemm"}""");
            return folder;
        }

        private static byte[] Safetensors(SortedDictionary<string, Stored> tensors)
        {
            var header = new JsonObject();
            using var data = new MemoryStream();
            foreach ((string name, Stored tensor) in tensors)
            {
                long begin = data.Length;
                data.Write(tensor.Bytes);
                header[name] = new JsonObject { ["dtype"] = tensor.Type, ["shape"] = new JsonArray([.. tensor.Shape.Select(d => (JsonNode)d)]), ["data_offsets"] = new JsonArray(begin, data.Length) };
            }

            byte[] text = Encoding.UTF8.GetBytes(header.ToJsonString());
            return [.. BitConverter.GetBytes((long)text.Length), .. text, .. data.ToArray()];
        }
    }
}
