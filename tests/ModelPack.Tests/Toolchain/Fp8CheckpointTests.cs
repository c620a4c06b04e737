using System.Runtime.InteropServices;
using System.Text;
using System.Text.Json.Nodes;
using ModelPack.Compiler;
using ModelPack.Numbers;
using ModelPack.Pack;
using ModelPack.Testing;
using ModelPack.Toolchain;
using Xunit;

namespace ModelPack.Tests.Toolchain;

/// <summary>Checkpoints with FP8 weights and 128x128 scales: read as weights, stored without change, written again.</summary>
public sealed class Fp8CheckpointTests
{
    private const string Declared = """{"model_type":"x","quantization_config":{"quant_method":"fp8","fmt":"e4m3","activation_scheme":"dynamic","weight_block_size":[128,128]},"eps":1e-05}""";

    private static readonly (string Name, int Rows, int Columns)[] Matrices = [("a.weight", 200, 300), ("b.weight", 256, 130), ("c.weight", 7, 5)];

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Read_pairs_areWeights(bool folderWithConfig)
    {
        using var folder = new TempFolder();
        string path = folderWithConfig ? Write(folder, "m", Original(), Declared) : Path.Combine(Write(folder, "m", Original(), null), "model.safetensors");
        InspectResult inspected = Inspection.Inspect(path);
        Assert.Equal(["a.weight", "b.weight", "c.weight", "norm.weight"], inspected.Tensors.Select(t => t.Name).Order(StringComparer.Ordinal));
        Assert.All(inspected.Tensors.Where(t => t.Name != "norm.weight"), t => Assert.StartsWith("fp8(", t.Encoding, StringComparison.Ordinal));
        using ImportedModel imported = ModelPack.Containers.Containers.For(path).Import(path);
        foreach ((string name, int rows, int columns) in Matrices)
        {
            Tensor tensor = imported.Model.Graph.Initializers.Single(t => t.Name == name);
            float[] expected = Expected(name, rows, columns);
            IValueReader reader = EncodingValues.Open(tensor.Encoding);
            foreach (int step in new[] { rows, 1, 77, 128, 150 })
            {
                for (int r = 0; r < rows; r += step)
                {
                    int n = Math.Min(step, rows - r);
                    float[] values = new float[n * columns];
                    reader.ReadRows(r, n, values);
                    Assert.Equal(expected.AsSpan(r * columns, n * columns).ToArray(), values);
                }
            }
        }
    }

    [Fact]
    public void Pack_checkpoint_comesBackByteForByte()
    {
        using var folder = new TempFolder();
        string original = Write(folder, "m", Original(), Declared);
        FilePacking.Pack(original, folder["m.mpack"]);
        FilePacking.Unpack(folder["m.mpack"], folder["again"]);
        foreach (string file in Directory.EnumerateFiles(original))
        {
            Assert.Equal(File.ReadAllBytes(file), File.ReadAllBytes(Path.Combine(folder["again"], Path.GetFileName(file))));
        }
    }

    [Fact]
    public void Compile_losslessFp8Checkpoint_unpacksToTheSameFiles_orToTheTrueValues()
    {
        using var folder = new TempFolder();
        string original = Write(folder, "m", Original(), Declared);
        ModelCompiler.Compile(new CompileRequest { Input = original, Output = folder["m.mpack"], Recipe = "lossless" });
        Assert.True(Verification.Verify(folder["m.mpack"], against: original, rederive: original).Ok);

        FilePacking.Unpack(folder["m.mpack"], folder["fp8"], fp8: true);
        Assert.Equal(File.ReadAllBytes(Path.Combine(original, "model.safetensors")), File.ReadAllBytes(Path.Combine(folder["fp8"], "model.safetensors")));
        Assert.Equal(Declared, File.ReadAllText(Path.Combine(folder["fp8"], "config.json")));
        Assert.Equal(["loaders of FP8 checkpoints with 128x128 block scales (transformers, vLLM)"], Exporting.Export(folder["m.mpack"], "safetensors", folder["export"]).LoadableBy);
        Assert.Equal(File.ReadAllBytes(Path.Combine(original, "model.safetensors")), File.ReadAllBytes(Path.Combine(folder["export"], "model.safetensors")));

        FilePacking.Unpack(folder["m.mpack"], folder["dense"]);
        CompareResult compared = Comparison.Compare(original, folder["dense"]);
        Assert.Empty(compared.Missing);
        Assert.Empty(compared.Extra);
        Assert.All(compared.Tensors, t => Assert.True(t.Identical, t.Name));
        JsonNode config = JsonNode.Parse(File.ReadAllText(Path.Combine(folder["dense"], "config.json")))!;
        Assert.Null(config["quantization_config"]);
        Assert.Equal("1e-05", config["eps"]!.ToJsonString());

        FilePacking.Unpack(folder["m.mpack"], folder["bf16"], DType.BF16);
        Assert.All(Comparison.Compare(original, folder["bf16"]).Tensors, t => Assert.InRange(t.RelativeError!.Value, 0, 1.0 / 256));
    }

    [Fact]
    public void Compile_quantizedToFp8_unpacksToACheckpointWithTheSameBits()
    {
        using var folder = new TempFolder();
        Tensor[] plain =
        [
            .. Matrices.Take(2).Select(m => Raw(m.Name, DType.F32, new Shape(m.Rows, m.Columns), Values.Weights((ulong)m.Rows, m.Rows * m.Columns))),
            Raw("lm_head.weight", DType.F32, new Shape(128, 64), Values.Weights(4, 128 * 64)),
            Raw("norm.weight", DType.F32, new Shape(64), Values.Weights(5, 64)),
        ];
        string original = Write(folder, "m", plain, """{"model_type":"x"}""");
        ModelCompiler.Compile(new CompileRequest
        {
            Input = original,
            Output = folder["m.mpack"],
            Recipe = "int8",
            Sets = ["quantize.format=fp8(scope=tile)", "quantize.ends=keep", "quantize.min_elements=1"],
        });
        FilePacking.Unpack(folder["m.mpack"], folder["fp8"], fp8: true);
        JsonNode declared = JsonNode.Parse(File.ReadAllText(Path.Combine(folder["fp8"], "config.json")))!["quantization_config"]!;
        Assert.Equal("fp8", (string?)declared["quant_method"]);
        Assert.Equal("[128,128]", declared["weight_block_size"]!.ToJsonString());
        Assert.Equal("""["lm_head"]""", declared["modules_to_not_convert"]!.ToJsonString());
        Assert.Equal("""["lm_head"]""", declared["ignored_layers"]!.ToJsonString());

        CompareResult compared = Comparison.Compare(folder["m.mpack"], folder["fp8"]);
        Assert.Empty(compared.Missing);
        Assert.Empty(compared.Extra);
        Assert.All(compared.Tensors, t => Assert.True(t.Identical, t.Name));
        Assert.All(Comparison.Compare(original, folder["fp8"]).Tensors, t => Assert.InRange(t.RelativeError!.Value, 0, 0.04));

        // What a second implementation of the layout says the tensors are.
        using (ImportedModel files = Tensors(Path.Combine(folder["fp8"], "model.safetensors")))
        {
            (string name, int rows, int columns) = Matrices[0];
            byte[] expectedCodes = new byte[rows * columns];
            var grid = new Fp8Grid(rows, columns, 128, 128);
            float[] scales = new float[grid.Down * grid.Across];
            Fp8Reference.Encode(Values.Weights((ulong)rows, rows * columns), grid, new Fp8Rule(Fp8Element.Get("e4m3fn"), "absmax", 1, 0), scales, expectedCodes);
            var encoding = (DenseEncoding)files.Model.Graph.Initializers.Single(t => t.Name == name).Encoding;
            Assert.Equal(expectedCodes, encoding.Streams[0].Data.ToArray());
            Assert.Equal(MemoryMarshal.AsBytes<float>(scales).ToArray(), encoding.Streams[1].Data.ToArray());
        }

        ModelCompiler.Compile(new CompileRequest { Input = folder["fp8"], Output = folder["again.mpack"], Recipe = "lossless" });
        FilePacking.Unpack(folder["again.mpack"], folder["again"], fp8: true);
        foreach (string file in Directory.EnumerateFiles(folder["fp8"]))
        {
            Assert.Equal(File.ReadAllBytes(file), File.ReadAllBytes(Path.Combine(folder["again"], Path.GetFileName(file))));
        }
    }

    [Fact]
    public void Compile_fp8CheckpointToInt4_quantisesTheValues()
    {
        using var folder = new TempFolder();
        string original = Write(folder, "m", Original(), Declared);
        string[] sets = ["quantize.min_elements=1000"];
        CompileResult result = ModelCompiler.Compile(new CompileRequest { Input = original, Output = folder["m.mpack"], Recipe = "int4", Sets = sets });
        Assert.StartsWith("int4(", result.Tensors.Single(t => t.Name == "a.weight").Encoding, StringComparison.Ordinal);
        Assert.StartsWith("fp8(", result.Tensors.Single(t => t.Name == "c.weight").Encoding, StringComparison.Ordinal);

        // The weights that are no longer FP8 leave the declaration.
        FilePacking.Unpack(folder["m.mpack"], folder["mixed"], fp8: true);
        JsonNode declared = JsonNode.Parse(File.ReadAllText(Path.Combine(folder["mixed"], "config.json")))!["quantization_config"]!;
        Assert.Equal("""["a","b"]""", declared["modules_to_not_convert"]!.ToJsonString());
    }

    [Fact]
    public void DryRun_tiles_countsWholeStreams()
    {
        using var folder = new TempFolder();
        string original = Write(folder, "m", [Raw("w.weight", DType.F32, new Shape(256, 256), Values.Weights(1, 65536))], "{}");
        CompileResult dry = ModelCompiler.Compile(new CompileRequest { Input = original, Output = folder["m.mpack"], Recipe = "int8", Sets = ["quantize.format=fp8(scope=tile)"], DryRun = true });
        Assert.Equal(65536 + 16, dry.Tensors.Single().OutputBytes);
    }

    [Theory]
    [InlineData("shape", "a.weight_scale_inv")]
    [InlineData("dtype", "a.weight_scale_inv")]
    [InlineData("no scale", "a.weight")]
    [InlineData("no weight", "a.weight_scale_inv")]
    [InlineData("other weight", "a.weight_scale_inv")]
    public void Read_declaredPairThatDoesNotFit_isMP1170(string damage, string tensor)
    {
        using var folder = new TempFolder();
        Tensor[] tensors = Damaged(damage);
        string path = Write(folder, "m", tensors, Declared);
        var error = Assert.Throws<ModelPackException>(() => Inspection.Inspect(path));
        Assert.Equal(ErrorCodes.Fp8BlockScale, error.Code);
        Assert.Equal(tensor, error.Tensor);
        Assert.Equal(path, error.Path);

        // Keeping the files needs no meaning.
        FilePacking.Pack(path, folder["m.mpack"]);

        // Without the declaration the tensors are just tensors.
        using ImportedModel imported = Tensors(Path.Combine(path, "model.safetensors"));
        Assert.Equal(tensors.Length - 2, imported.Model.Graph.Initializers.Length);
        Assert.All(imported.Model.Graph.Initializers.Where(t => t.Name.StartsWith("a.", StringComparison.Ordinal)), t => Assert.True(t.TryGetRawData(out _)));
    }

    [Theory]
    [InlineData("""{"quantization_config":{"quant_method":"fp8","weight_block_size":[64,128]}}""")]
    [InlineData("""{"quantization_config":{"quant_method":"gptq","weight_block_size":[128,128]}}""")]
    [InlineData("""{"quantization_config":{"quant_method":"fp8","weight_block_size":["a",null]}}""")]
    [InlineData("""{"quantization_config":{"quant_method":"fp8","quant_method":"fp8","weight_block_size":[128,128]}}""")]
    [InlineData("""{"quantization_config":7}""")]
    [InlineData("[1")]
    [InlineData("{}")]
    public void Read_configThatDeclaresNothing_staysLenient(string config)
    {
        using var folder = new TempFolder();
        Assert.NotEmpty(Inspection.Inspect(Write(folder, "m", Damaged("shape"), config)).Tensors);
    }

    [Fact]
    public void Unpack_fp8OfArtifactWithout_isMP4107()
    {
        using var folder = new TempFolder();
        string original = Write(folder, "m", [Raw("w.weight", DType.F32, new Shape(2, 2), [1, 2, 3, 4])], "{}");
        ModelCompiler.Compile(new CompileRequest { Input = original, Output = folder["m.mpack"], Recipe = "lossless" });
        Assert.Equal(ErrorCodes.ExportNotPossible, Assert.Throws<ModelPackException>(() => FilePacking.Unpack(folder["m.mpack"], folder["x"], fp8: true)).Code);
        FilePacking.Pack(original, folder["p.mpack"]);
        Assert.Equal(ErrorCodes.NotACompiledArtifact, Assert.Throws<ModelPackException>(() => FilePacking.Unpack(folder["p.mpack"], folder["x"], fp8: true)).Code);
    }

    private static Tensor[] Damaged(string damage)
    {
        List<Tensor> tensors = [.. Original()];
        int scale = tensors.FindIndex(t => t.Name == "a.weight_scale_inv");
        int weight = tensors.FindIndex(t => t.Name == "a.weight");
        switch (damage)
        {
            case "shape":
                tensors[scale] = Raw("a.weight_scale_inv", DType.F32, new Shape(3, 2), new float[6]);
                break;
            case "dtype":
                tensors[scale] = Tensor.Raw("a.weight_scale_inv", DType.BF16, new Shape(2, 3), TensorData.FromBytes(new byte[12]));
                break;
            case "no scale":
                tensors.RemoveAt(scale);
                break;
            case "no weight":
                tensors.RemoveAt(weight);
                break;
            default:
                tensors[weight] = Tensor.Raw("a.weight", DType.F8E5M2, new Shape(200, 300), TensorData.FromBytes(new byte[60000]));
                break;
        }

        return [.. tensors];
    }

    /// <summary>Three matrices with every finite code, and a norm.</summary>
    private static Tensor[] Original() =>
    [
        .. Matrices.SelectMany(m => new[]
        {
            Tensor.Raw(m.Name, DType.F8E4M3FN, new Shape(m.Rows, m.Columns), TensorData.FromBytes(Codes(m.Rows, m.Columns))),
            Raw(m.Name + "_scale_inv", DType.F32, new Shape((m.Rows + 127) / 128, (m.Columns + 127) / 128), Scales(m.Rows, m.Columns)),
        }),
        Tensor.Raw("norm.weight", DType.BF16, new Shape(64), TensorData.FromBytes(new byte[128])),
    ];

    private static byte[] Codes(int rows, int columns)
    {
        byte[] codes = new byte[rows * columns];
        new SplitMix((ulong)rows).Fill(codes);
        return [.. codes.Select(c => (c & 0x7F) == 0x7F ? (byte)(c - 1) : c)];
    }

    private static float[] Scales(int rows, int columns) => [.. Enumerable.Range(1, (rows + 127) / 128 * ((columns + 127) / 128)).Select(i => 0.0001f * i)];

    private static float[] Expected(string name, int rows, int columns)
    {
        Assert.Contains(Matrices, m => m.Name == name);
        float[] table = Numbers.Golden.Floats("scalar/e4m3fn_table.bin");
        byte[] codes = Codes(rows, columns);
        float[] scales = Scales(rows, columns);
        int across = (columns + 127) / 128;
        return [.. Enumerable.Range(0, codes.Length).Select(i => table[codes[i]] * scales[(i / columns / 128 * across) + (i % columns / 128)])];
    }

    private static Tensor Raw(string name, DType dtype, Shape shape, float[] values) =>
        Tensor.Raw(name, dtype, shape, TensorData.FromBytes(MemoryMarshal.AsBytes<float>(values).ToArray()));

    private static ImportedModel Tensors(string path) => ModelPack.Containers.Containers.All.First(c => c.Id == "safetensors").Import(path);

    private static string Write(TempFolder folder, string name, Tensor[] tensors, string? config)
    {
        var model = new Model
        {
            Kind = ModelKind.Checkpoint,
            Graph = new Graph { Initializers = [.. tensors] },
            Files = config is null ? [] : [new CarriedFile("config.json", TensorData.FromBytes(Encoding.UTF8.GetBytes(config)))],
        };
        ModelPack.Containers.Containers.All.First(c => c.Id == "checkpoint").Export(model, folder[name], t => t.TryGetRawData(out TensorData data) ? data : throw new InvalidOperationException(t.Name));
        return folder[name];
    }
}
