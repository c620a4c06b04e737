using System.Reflection;
using ModelPack.Compiler;
using ModelPack.Containers.Checkpoint;
using ModelPack.Testing;
using Xunit;
using static ModelPack.Tests.Containers.SafetensorsBytes;

namespace ModelPack.Tests.Containers;

public sealed class CheckpointTests
{
    private const string Index = "model.safetensors.index.json";
    private const string Shard1 = "model-00001-of-00002.safetensors";
    private const string Shard2 = "model-00002-of-00002.safetensors";
    private const string GoodIndex = $$$"""{"metadata":{"total_size":20},"weight_map":{"a":"{{{Shard1}}}","b":"{{{Shard2}}}","c":"{{{Shard2}}}"}}""";
    private static readonly CheckpointContainer Container = new();

    [Fact]
    public void Codes_of_this_area_each_have_a_test()
    {
        string[] codes = [.. typeof(ErrorCodes).GetFields().Where(f => ((ErrorCode)f.GetValue(null)!).Number is >= 1150 and < 1200).Select(f => f.Name)];
        string[] tests = [.. typeof(CheckpointTests).GetMethods(BindingFlags.Instance | BindingFlags.Public | BindingFlags.DeclaredOnly).Select(m => m.Name.Split('_')[0])];
        Assert.True(codes.Length > 14);
        Assert.Empty(codes.Except(tests));
    }

    [Fact]
    public void Fp8BlockScale_declared_and_missing()
    {
        using var folder = new TempFolder();
        var model = new Model
        {
            Kind = ModelKind.Checkpoint,
            Graph = new Graph { Initializers = [Tensor.Raw("x.weight", DType.F8E4M3FN, new Shape(2, 2), TensorData.FromBytes(new byte[4]))] },
            Files = [new CarriedFile("config.json", TensorData.FromBytes("{\"quantization_config\":{\"quant_method\":\"fp8\",\"weight_block_size\":[128,128]}}"u8.ToArray()))],
        };
        Container.Export(model, folder["m"], t => t.TryGetRawData(out TensorData data) ? data : TensorData.Empty);
        var error = Assert.Throws<ModelPackException>(() => Container.Import(folder["m"]));
        Assert.Equal(ErrorCodes.Fp8BlockScale, error.Code);
        Assert.Equal("x.weight", error.Tensor);
    }

    [Fact]
    public void Import_single_file_folder()
    {
        using var folder = new TempFolder();
        folder.Write("model.safetensors", Shard("a", 8));
        folder.Write("config.json", """{"model_type":"llama"}""");
        folder.Write("tokenizer.json", "{}");
        folder.Write("empty_config.json", "");
        folder.Write("model.onnx", "not looked at");
        folder.Write("modeling.py", "code is not carried");
        folder.Write("pytorch_model.bin", "nor are other weights");
        folder.Write("notes.txt", "nor anything unknown");
        Assert.IsType<CheckpointContainer>(ModelPack.Containers.Containers.For(folder.Path));
        using ImportedModel imported = Container.Import(folder.Path);
        Assert.Equal(ModelKind.Checkpoint, imported.Model.Kind);
        Assert.Equal("a", Assert.Single(imported.Model.Graph.Initializers).Name);
        Assert.Equal(["config.json", "empty_config.json", "tokenizer.json"], imported.Model.Files.Select(f => f.RelativePath));
        Assert.Equal("""{"model_type":"llama"}"""u8.ToArray(), imported.Model.Files[0].Data.ToArray());
        Assert.Equal(["model.safetensors", "config.json", "empty_config.json", "tokenizer.json"], imported.Files.Select(f => Path.GetFileName(f.Path)));
    }

    [Fact]
    public void Import_shards_in_name_order_by_folder_or_by_index()
    {
        using var folder = new TempFolder();
        WriteSharded(folder, GoodIndex);
        folder.Write("config.json", "{}");
        foreach (string path in (string[])[folder.Path, folder.Path + "/", folder[Index]])
        {
            Assert.IsType<CheckpointContainer>(ModelPack.Containers.Containers.For(path));
            using ImportedModel imported = Container.Import(path);
            Assert.Equal(["a", "b", "c"], imported.Model.Graph.Initializers.Select(t => t.Name));
            Assert.Equal([1, 2, 3, 4], Bytes(imported.Model.Graph.Initializers[2]).AsSpan(0, 4).ToArray().Select(b => b - 8));
            Assert.Equal([Index, Shard1, Shard2, "config.json"], imported.Files.Select(f => Path.GetFileName(f.Path)));
        }
    }

    [Theory]
    [InlineData("config.json", true)]
    [InlineData("generation_config.json", true)]
    [InlineData("preprocessor_config.json", true)]
    [InlineData("tokenizer.json", true)]
    [InlineData("tokenizer.model", true)]
    [InlineData("tokenizer_config.json", true)]
    [InlineData("vocab.json", true)]
    [InlineData("vocab.txt", true)]
    [InlineData("merges.txt", true)]
    [InlineData("special_tokens_map.json", true)]
    [InlineData("added_tokens.json", true)]
    [InlineData("chat_template.jinja", true)]
    [InlineData("chat_template.json", true)]
    [InlineData("spiece.model", true)]
    [InlineData("qwen.tiktoken", true)]
    [InlineData("README.md", true)]
    [InlineData("LICENSE", true)]
    [InlineData("LICENSE.txt", true)]
    [InlineData("NOTICE", true)]
    [InlineData("tokenizer.py", false)]
    [InlineData("tokenization_custom.py", false)]
    [InlineData("model.onnx", false)]
    [InlineData("model.safetensors", false)]
    [InlineData("model.safetensors.index.json", false)]
    [InlineData("pytorch_model.bin.index.json", false)]
    [InlineData("vocab.bin", false)]
    [InlineData("calib.tokens.bin", false)]
    [InlineData(".gitattributes", false)]
    [InlineData("trainer_state.json", false)]
    [InlineData("config.json.tmp-12-0", false)]
    public void IsCarried_decides_by_name(string name, bool carried) => Assert.Equal(carried, CheckpointFolder.IsCarried(name));

    [Fact]
    public void Map_covers_every_file_of_the_checkpoint()
    {
        using var folder = new TempFolder();
        WriteSharded(folder, GoodIndex);
        folder.Write("config.json", "{}");
        IReadOnlyList<FileMap> maps = Container.Map(folder.Path);
        Assert.Equal([Index, Shard1, Shard2, "config.json"], maps.Select(m => Path.GetFileName(m.File.Path)));
        Assert.Equal(["a|b,c"], (string[])[string.Join('|', maps.Where(m => !m.Ranges.IsEmpty).Select(m => string.Join(',', m.Ranges.Select(r => r.Name))))]);
        Assert.All(maps[2].Ranges.Zip([0L, 8L]), p => Assert.Equal(maps[2].File.LengthBytes - 12 + p.Second, p.First.OffsetBytes));
        foreach (FileMap map in maps)
        {
            map.File.Dispose();
        }
    }

    [Fact]
    public void Export_single_file_round_trips()
    {
        using var folder = new TempFolder();
        folder.Write("in/model.safetensors", Shard("a", 8));
        folder.Write("in/config.json", """{"x":1}""");
        using ImportedModel imported = Container.Import(folder["in"]);
        IReadOnlyList<string> written = Container.Export(imported.Model, folder["new/out"], SafetensorsContainerTests.Raw);
        Assert.Equal(["model.safetensors", "config.json"], written.Select(p => Path.GetRelativePath(folder["new/out"], p)));
        Assert.Equal("""{"x":1}""", System.IO.File.ReadAllText(folder["new/out/config.json"]));
        using ImportedModel again = Container.Import(folder["new/out"]);
        Assert.Equal([1, 2, 3, 4, 5, 6, 7, 8], Bytes(Assert.Single(again.Model.Graph.Initializers)));
        Assert.Equal([("format", "pt")], again.Model.Metadata.Select(m => (m.Key, m.Value)));
    }

    [Fact]
    public void Export_larger_than_the_limit_writes_shards_and_index()
    {
        using var folder = new TempFolder();
        Tensor[] tensors = [.. new[] { 6, 4, 11, 1, 9, 0 }.Select((n, i) => Tensor.Raw($"t{i}é", DType.U8, new Shape(n), TensorData.FromBytes(Enumerable.Repeat((byte)i, n).ToArray())))];
        var model = new Model
        {
            Kind = ModelKind.Checkpoint,
            Graph = new Graph { Initializers = [.. tensors] },
            Files = [new CarriedFile("onnx/config.json", TensorData.FromBytes("{}"u8.ToArray())), new CarriedFile("empty.model", TensorData.Empty)],
        };
        IReadOnlyList<string> written = new CheckpointContainer(maxShardBytes: 10).Export(model, folder["out"], SafetensorsContainerTests.Raw);
        Assert.Equal(
            ["model-00001-of-00003.safetensors", "model-00002-of-00003.safetensors", "model-00003-of-00003.safetensors", Index, "onnx/config.json", "empty.model"],
            written.Select(p => Path.GetRelativePath(folder["out"], p).Replace('\\', '/')));
        const string expected =
            """
            {
              "metadata": {
                "total_size": 31
              },
              "weight_map": {
                "t0é": "model-00001-of-00003.safetensors",
                "t1é": "model-00001-of-00003.safetensors",
                "t2é": "model-00002-of-00003.safetensors",
                "t3é": "model-00003-of-00003.safetensors",
                "t4é": "model-00003-of-00003.safetensors",
                "t5é": "model-00003-of-00003.safetensors"
              }
            }

            """;
        Assert.Equal(expected.ReplaceLineEndings("\n"), System.IO.File.ReadAllText(folder["out/" + Index]));
        using ImportedModel again = Container.Import(folder["out"]);
        Assert.Equal(tensors.Select(t => (t.Name, t.Shape)), again.Model.Graph.Initializers.Select(t => (t.Name, t.Shape)));
        Assert.All(again.Model.Graph.Initializers, t => Assert.All(Bytes(t), b => Assert.Equal(t.Name, $"t{b}é")));
        Assert.Equal(["empty.model"], again.Model.Files.Select(f => f.RelativePath));
    }

    [Fact]
    public void Import_shard_with_the_name_of_a_carried_file_is_opened_once()
    {
        using var folder = new TempFolder();
        folder.Write(Index, """{"weight_map":{"a":"tokenizer.model"}}""");
        folder.Write("tokenizer.model", Shard("a", 8));
        using ImportedModel imported = Container.Import(folder.Path);
        Assert.Empty(imported.Model.Files);
        Assert.Equal(2, imported.Files.Length);
    }

    [Fact]
    public void Import_missing_folder_is_not_found()
    {
        using var folder = new TempFolder();
        Assert.False(Container.Recognizes(folder["absent"]));
        Assert.Equal(ErrorCodes.FileNotFound, Assert.Throws<ModelPackException>(() => Container.Import(folder["absent"])).Code);
    }

    [Fact]
    public void CheckpointWithoutTensors_folder_of_other_files()
    {
        using var folder = new TempFolder();
        folder.Write("config.json", "{}");
        Assert.False(Container.Recognizes(folder.Path));
        Rejects(ErrorCodes.CheckpointWithoutTensors, folder);
    }

    [Fact]
    public void CheckpointAmbiguous_several_files_without_index()
    {
        using var folder = new TempFolder();
        folder.Write("one.safetensors", Shard("a", 1));
        Container.Import(folder.Path).Dispose();
        folder.Write("two.safetensors", Shard("b", 1));
        Assert.True(Container.Recognizes(folder.Path));
        Rejects(ErrorCodes.CheckpointAmbiguous, folder);
    }

    [Fact]
    public void IndexTooLarge_over_100_mb()
    {
        using var folder = new TempFolder();
        SparseFile.Create(folder[Index], 100_000_001);
        Rejects(ErrorCodes.IndexTooLarge, folder);
    }

    [Theory]
    [InlineData("")]
    [InlineData("[]")]
    [InlineData("{")]
    [InlineData(GoodIndex + "x")]
    [InlineData("{\"\\ud800\":1}")]
    [InlineData("{\"weight_map\":{\"\\ud800\":\"x\"}}")]
    public void IndexNotJson_broken_text(string index) => RejectsIndex(ErrorCodes.IndexNotJson, index);

    [Fact]
    public void IndexNotJson_recursion_bomb() => RejectsIndex(ErrorCodes.IndexNotJson, "{\"metadata\":" + new string('[', 1_000_000));

    [Fact]
    public void IndexNotJson_not_utf8()
    {
        using var folder = new TempFolder();
        folder.Write(Index, [(byte)'{', (byte)'"', 0xFF, (byte)'"', (byte)':', (byte)'1', (byte)'}']);
        Rejects(ErrorCodes.IndexNotJson, folder);
    }

    [Theory]
    [InlineData("""{"weight_map":{},"weight_map":{}}""")]
    [InlineData("""{"metadata":{},"met\u0061data":{}}""")]
    [InlineData("""{"weight_map":{"a":"x","a":"x"}}""")]
    public void IndexDuplicateKey_on_either_level(string index) => RejectsIndex(ErrorCodes.IndexDuplicateKey, index);

    [Theory]
    [InlineData("{}")]
    [InlineData("""{"metadata":{"weight_map":{}}}""")]
    public void IndexWithoutWeightMap_other_keys_only(string index) => RejectsIndex(ErrorCodes.IndexWithoutWeightMap, index);

    [Theory]
    [InlineData("""{"weight_map":[]}""")]
    [InlineData("""{"weight_map":{"a":1}}""")]
    [InlineData("""{"weight_map":{"a":["x"]}}""")]
    public void IndexBadWeightMap_wrong_types(string index) => RejectsIndex(ErrorCodes.IndexBadWeightMap, index);

    [Theory]
    [InlineData("/etc/passwd")]
    [InlineData("\\\\\\\\server\\\\share")]
    [InlineData("C:\\\\x.safetensors")]
    [InlineData("c:x")]
    public void CheckpointPathAbsolute_in_the_index(string shard) => RejectsIndex(ErrorCodes.CheckpointPathAbsolute, $$$"""{"weight_map":{"a":"{{{shard}}}"}}""");

    [Theory]
    [InlineData("../x.safetensors")]
    [InlineData("sub/../../x.safetensors")]
    [InlineData("sub/../model-00001-of-00002.safetensors")]
    [InlineData("./model-00001-of-00002.safetensors")]
    [InlineData("..\\\\x")]
    [InlineData("sub//x")]
    [InlineData("")]
    [InlineData("x\\u0000")]
    [InlineData("file:stream")]
    public void CheckpointPathOutside_in_the_index(string shard) => RejectsIndex(ErrorCodes.CheckpointPathOutside, $$$"""{"weight_map":{"a":"{{{shard}}}"}}""");

    [Fact]
    public void CheckpointPathOutside_and_absolute_on_export()
    {
        using var folder = new TempFolder();
        Assert.Equal(ErrorCodes.CheckpointPathOutside, ExportError(folder, "../config.json").Code);
        Assert.Equal(ErrorCodes.CheckpointPathAbsolute, ExportError(folder, "/tmp/config.json").Code);
        Assert.Empty(Directory.GetFileSystemEntries(folder.Path));
    }

    [SkippableFact]
    public void CheckpointLinkOutside_shard_folder_and_carried_file()
    {
        using var outside = new TempFolder();
        using var folder = new TempFolder();
        WriteSharded(folder, GoodIndex);
        System.IO.File.Move(folder[Shard2], outside[Shard2]);
        Link(folder[Shard2], outside[Shard2]);
        Rejects(ErrorCodes.CheckpointLinkOutside, folder);

        WriteSharded(folder, GoodIndex.Replace(Shard2, "sub/" + Shard2, StringComparison.Ordinal), replaceShard2: false);
        Directory.CreateSymbolicLink(folder["sub"], outside.Path);
        Rejects(ErrorCodes.CheckpointLinkOutside, folder);

        System.IO.File.Delete(folder[Shard2]);
        WriteSharded(folder, GoodIndex);
        Container.Import(folder.Path).Dispose();
        outside.Write("secret", "x");
        Link(folder["config.json"], outside["secret"]);
        Rejects(ErrorCodes.CheckpointLinkOutside, folder);
    }

    [SkippableFact]
    public void CheckpointLinkOutside_links_in_a_circle()
    {
        using var folder = new TempFolder();
        Link(folder["model.safetensors"], folder["b"]);
        Link(folder["b"], folder["model.safetensors"]);
        Rejects(ErrorCodes.CheckpointLinkOutside, folder);
    }

    [SkippableFact]
    public void Import_links_inside_the_folder_and_into_the_hub_cache_are_fine()
    {
        using var folder = new TempFolder();
        folder.Write("plain/data/real.bin", Shard("a", 1));
        Link(folder["plain/model.safetensors"], "data/real.bin");
        Container.Import(folder["plain"]).Dispose();

        // The download cache of the hub: snapshots/<revision>/<name> -> ../../blobs/<hash>
        folder.Write("models--x--y/blobs/0123", Shard("a", 1));
        folder.Write("models--x--y/blobs/4567", "{}");
        Directory.CreateDirectory(folder["models--x--y/snapshots/abc"]);
        Link(folder["models--x--y/snapshots/abc/model.safetensors"], "../../blobs/0123");
        Link(folder["models--x--y/snapshots/abc/config.json"], "../../blobs/4567");
        using (ImportedModel imported = Container.Import(folder["models--x--y/snapshots/abc"]))
        {
            Assert.Equal("config.json", Assert.Single(imported.Model.Files).RelativePath);
        }

        System.IO.File.Delete(folder["models--x--y/snapshots/abc/config.json"]);
        Link(folder["models--x--y/snapshots/abc/config.json"], "../../../plain/data/real.bin");
        Rejects(ErrorCodes.CheckpointLinkOutside, folder["models--x--y/snapshots/abc"]);
    }

    [Fact]
    public void ShardMissing_is_named()
    {
        using var folder = new TempFolder();
        WriteSharded(folder, GoodIndex);
        System.IO.File.Delete(folder[Shard2]);
        ModelPackException e = Rejects(ErrorCodes.ShardMissing, folder);
        Assert.Contains(Shard2, e.Message, StringComparison.Ordinal);
        Assert.Equal("b", e.Tensor);
    }

    [Fact]
    public void TensorNotInShard_absent_or_elsewhere()
    {
        using var folder = new TempFolder();
        WriteSharded(folder, GoodIndex.Replace("\"c\":", $"\"d\":\"{Shard1}\",\"c\":", StringComparison.Ordinal));
        Assert.Equal("d", Rejects(ErrorCodes.TensorNotInShard, folder).Tensor);
        WriteSharded(folder, GoodIndex.Replace($"\"b\":\"{Shard2}\"", $"\"b\":\"{Shard1}\"", StringComparison.Ordinal));
        ModelPackException e = Rejects(ErrorCodes.TensorNotInShard, folder);
        Assert.Equal("b", e.Tensor);
        Assert.Contains($"but in '{Shard2}'", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void TensorNotInIndex_is_named()
    {
        using var folder = new TempFolder();
        WriteSharded(folder, GoodIndex.Replace($",\"c\":\"{Shard2}\"", "", StringComparison.Ordinal));
        ModelPackException e = Rejects(ErrorCodes.TensorNotInIndex, folder);
        Assert.Equal("c", e.Tensor);
        Assert.Equal(folder[Shard2], e.Path);
    }

    [Fact]
    public void TensorInTwoShards_is_named()
    {
        using var folder = new TempFolder();
        WriteSharded(folder, GoodIndex);
        folder.Write(Shard1, Pair("a", "b"));
        ModelPackException e = Rejects(ErrorCodes.TensorInTwoShards, folder);
        Assert.Equal("b", e.Tensor);
        Assert.Contains(Shard1, e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Import_damaged_shard_reports_the_shard()
    {
        using var folder = new TempFolder();
        WriteSharded(folder, GoodIndex);
        folder.Write(Shard2, [1, 2, 3]);
        Assert.Equal(folder[Shard2], Rejects(ErrorCodes.SafetensorsTooShort, folder).Path);
    }

    [Fact]
    public void CheckpointFileClash_on_export()
    {
        using var folder = new TempFolder();
        Assert.Equal(ErrorCodes.CheckpointFileClash, ExportError(folder, "config.json", "Config.json").Code);
        Assert.Equal(ErrorCodes.CheckpointFileClash, ExportError(folder, "model.safetensors").Code);
        Assert.Empty(Directory.GetFileSystemEntries(folder.Path));
    }

    [Theory]
    [InlineData("model-00001-of-00002.safetensors")]
    [InlineData("model.safetensors.index.json")]
    public void CheckpointFolderOccupied_on_export(string other)
    {
        using var folder = new TempFolder();
        folder.Write("out/" + other, "x");
        Assert.Equal(ErrorCodes.CheckpointFolderOccupied, ExportError(folder, "config.json").Code);
        Assert.Single(Directory.GetFileSystemEntries(folder["out"]));
    }

    [Fact]
    public void Import_10000_damaged_indexes_is_an_error_or_consistent()
    {
        using var folder = new TempFolder();
        WriteSharded(folder, GoodIndex);
        FuzzReport report = Fuzzer.Fuzz(System.Text.Encoding.UTF8.GetBytes(GoodIndex), 10_000, bytes =>
        {
            folder.Write(Index, bytes);
            using ImportedModel imported = Container.Import(folder[Index]);
            string[] names = [.. imported.Model.Graph.Initializers.Select(t => t.Name)];
            Assert.Equal(["a", "b", "c"], names);
        });
        Assert.True(report.Accepted > 100, $"accepted {report.Accepted}");
        Assert.True(report.Rejected.Count > 8, $"codes {string.Join(' ', report.Rejected)}");
    }

    private static ModelPackException ExportError(TempFolder folder, params string[] carried)
    {
        var model = new Model
        {
            Kind = ModelKind.Checkpoint,
            Graph = new Graph { Initializers = [Tensor.Raw("a", DType.U8, new Shape(1), TensorData.FromBytes(new byte[1]))] },
            Files = [.. carried.Select(c => new CarriedFile(c, TensorData.Empty))],
        };
        return Assert.Throws<ModelPackException>(() => Container.Export(model, folder["out"], SafetensorsContainerTests.Raw));
    }

    private static void RejectsIndex(ErrorCode code, string index)
    {
        using var folder = new TempFolder();
        WriteSharded(folder, index);
        Assert.Equal(folder[Index], Rejects(code, folder).Path);
    }

    private static ModelPackException Rejects(ErrorCode code, TempFolder folder) => Rejects(code, folder.Path);

    private static ModelPackException Rejects(ErrorCode code, string path)
    {
        var e = Assert.Throws<ModelPackException>(() => Container.Import(path));
        Assert.Equal(code, e.Code);
        Assert.NotNull(e.Path);
        Assert.Equal(e.Line, Assert.Throws<ModelPackException>(() => Container.Map(path)).Line);
        return e;
    }

    private static void WriteSharded(TempFolder folder, string index, bool replaceShard2 = true)
    {
        folder.Write(Index, index);
        folder.Write(Shard1, Shard("a", 8));
        if (replaceShard2)
        {
            folder.Write(Shard2, Pair("b", "c"));
        }
    }

    private static byte[] Shard(string tensor, int bytes) => File($$$"""{"{{{tensor}}}":{"dtype":"U8","shape":[{{{bytes}}}],"data_offsets":[0,{{{bytes}}}]}}""", bytes);

    private static byte[] Pair(string first, string second) =>
        File($$$"""{"{{{first}}}":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"{{{second}}}":{"dtype":"F16","shape":[2,1],"data_offsets":[8,12]}}""", 12);

    private static void Link(string path, string target)
    {
        try
        {
            System.IO.File.CreateSymbolicLink(path, target);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            Skip.If(true, $"symbolic links cannot be made here: {e.Message}");
        }
    }
}
