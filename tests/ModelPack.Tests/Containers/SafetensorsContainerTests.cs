using System.Diagnostics;
using System.Globalization;
using System.Text;
using ModelPack.Compiler;
using ModelPack.Containers.Safetensors;
using ModelPack.Testing;
using Xunit;
using static ModelPack.Tests.Containers.SafetensorsBytes;

namespace ModelPack.Tests.Containers;

public sealed class SafetensorsContainerTests
{
    private static readonly SafetensorsContainer Container = new();

    [Fact]
    public void Recognizes_by_name_or_by_first_bytes()
    {
        using var folder = new TempFolder();
        byte[] good = File("{}");
        Assert.True(Container.Recognizes(folder.Write("a.safetensors", "anything")));
        Assert.True(Container.Recognizes(folder.Write("weights.bin", good)));
        Assert.False(Container.Recognizes(folder.Write("packed.mpack", good)));
        Assert.False(Container.Recognizes(folder.Write("other.bin", "12345678["u8)));
        Assert.False(Container.Recognizes(folder.Write("short.bin", "1234"u8)));
        Assert.False(Container.Recognizes(folder.Write("empty.bin", [])));
        Assert.False(Container.Recognizes(folder["absent.safetensors"]));
        Assert.False(Container.Recognizes(folder.Path));
    }

    [Fact]
    public void Recognizes_before_onnx_when_the_header_length_looks_like_an_ir_version()
    {
        using var folder = new TempFolder();
        byte[] header = new byte[0x120408];
        header.AsSpan().Fill((byte)' ');
        "{}"u8.CopyTo(header);
        string path = folder.Write("weights.bin", File(header));
        Assert.IsType<SafetensorsContainer>(ModelPack.Containers.Containers.For(path));
        Container.Import(path).Dispose();
    }

    [Fact]
    public void Import_every_dtype_has_its_bytes()
    {
        (string Name, DType DType, long[] Shape)[] cases =
        [
            ("BOOL", DType.Bool, [3]), ("F4", DType.F4E2M1, [2, 3]), ("F6_E2M3", DType.F6E2M3, [4]), ("F6_E3M2", DType.F6E3M2, [2, 2]),
            ("U8", DType.U8, [5]), ("I8", DType.I8, [5]), ("F8_E5M2", DType.F8E5M2, [3]), ("F8_E4M3", DType.F8E4M3FN, [3]), ("F8_E8M0", DType.F8E8M0, [3]),
            ("F8_E4M3FNUZ", DType.F8E4M3FNUZ, [3]), ("F8_E5M2FNUZ", DType.F8E5M2FNUZ, [3]), ("I16", DType.I16, [3]), ("U16", DType.U16, [3]),
            ("F16", DType.F16, [3]), ("BF16", DType.BF16, [3]), ("I32", DType.I32, [3]), ("U32", DType.U32, [3]), ("F32", DType.F32, [3]),
            ("C64", DType.C64, [2]), ("F64", DType.F64, [2]), ("I64", DType.I64, []), ("U64", DType.U64, [1, 1]),
        ];
        Assert.Equal(SafetensorsDTypes.All.Order(), cases.Select(c => c.DType).Order());
        var header = new StringBuilder("{");
        long offset = 0;
        foreach ((string name, DType dtype, long[] shape) in cases)
        {
            long end = offset + dtype.StorageBytes(new Shape(shape).ElementCount);
            header.Append(CultureInfo.InvariantCulture, $"{(offset > 0 ? "," : "")}\"t.{name}\":{{\"dtype\":\"{name}\",\"shape\":[{string.Join(',', shape)}],\"data_offsets\":[{offset},{end}]}}");
            offset = end;
        }

        byte[] file = File(header.Append('}').ToString(), (int)offset);
        using var folder = new TempFolder();
        using ImportedModel imported = Import(folder, file);
        Assert.Equal(ModelKind.Safetensors, imported.Model.Kind);
        Assert.Equal(cases.Select(c => ("t." + c.Name, c.DType, new Shape(c.Shape))), imported.Model.Graph.Initializers.Select(t => (t.Name, t.DType, t.Shape)));
        AssertConsistent(folder, file, imported);
        AssertRoundTrip(folder, imported.Model);
    }

    [Fact]
    public void Import_keeps_file_order_and_metadata_order()
    {
        const string header = """
            { "c" : {"data_offsets":[4,8],"shape":[4],"dtype":"U8"},
              "empty2":{"dtype":"F32","shape":[0,3],"data_offsets":[4,4]},
              "__metadata__":{"z":"1","a":"é\n\u00e9","m":""},
              "a":{"dtype":"F32","shape":[],"data_offsets":[0,4]}, "empty1":{"dtype":"F32","shape":[3,0],"data_offsets":[4,4]},
              "\u0061\ud83d\ude00\/":{"dtype":"F4","shape":[0],"data_offsets":[8,8]} }    
            """;
        using var folder = new TempFolder();
        byte[] file = File(header + "   \t\r\n ", 8);
        using ImportedModel imported = Import(folder, file);
        Assert.Equal(["a", "empty2", "empty1", "c", "a😀/"], imported.Model.Graph.Initializers.Select(t => t.Name));
        Assert.Equal([("z", "1"), ("a", "é\né"), ("m", "")], imported.Model.Metadata.Select(m => (m.Key, m.Value)));
        Assert.Equal([1, 2, 3, 4], Bytes(imported.Model.Graph.Initializers[0]));
        AssertConsistent(folder, file, imported);
        AssertRoundTrip(folder, imported.Model);
    }

    [Theory]
    [InlineData("{}")]
    [InlineData("{   }  ")]
    [InlineData("{\"__metadata__\":{}}")]
    [InlineData("{\"__metadata__\":null}")]
    public void Import_file_without_tensors(string header)
    {
        using var folder = new TempFolder();
        byte[] file = File(header);
        using ImportedModel imported = Import(folder, file);
        Assert.Empty(imported.Model.Graph.Initializers);
        AssertConsistent(folder, file, imported);
        AssertRoundTrip(folder, imported.Model);
    }

    /// <summary>The published example files of the reference implementation's own tests.</summary>
    [Fact]
    public void Export_gives_the_bytes_of_the_reference_writer()
    {
        float[] values = [0, 1, 2, 3, 4, 5];
        byte[] data = new byte[24];
        Buffer.BlockCopy(values, 0, data, 0, 24);
        Assert.Equal(
            [64, 0, 0, 0, 0, 0, 0, 0, .. """{"attn.0":{"dtype":"F32","shape":[1,2,3],"data_offsets":[0,24]}}"""u8, .. data],
            Written([Tensor.Raw("attn.0", DType.F32, new Shape(1, 2, 3), TensorData.FromBytes(data))]));
        Assert.Equal(
            [72, 0, 0, 0, 0, 0, 0, 0, .. """{"attn0":{"dtype":"F32","shape":[1,1,2,3],"data_offsets":[0,24]}}       """u8, .. data],
            Written([Tensor.Raw("attn0", DType.F32, new Shape(1, 1, 2, 3), TensorData.FromBytes(data))]));
        Assert.Equal([8, 0, 0, 0, 0, 0, 0, 0, .. "{}      "u8], Written([]));
        Assert.Equal([40, 0, 0, 0, 0, 0, 0, 0, .. """{"__metadata__":{"framework":"pt"}}     """u8], Written([], KeyValuePair.Create("framework", "pt")));
    }

    [Fact]
    public void Export_orders_by_alignment_then_by_utf8_name()
    {
        Tensor Make(string name, DType dtype) => Tensor.Raw(name, dtype, new Shape(2), TensorData.FromBytes(new byte[dtype.StorageBytes(2)]));
        byte[] file = Written([Make("b", DType.U8), Make("\U00010000", DType.F32), Make("\uFFFF", DType.F32), Make("a", DType.F32), Make("a\"\\\n\u0001", DType.BF16), Make("z", DType.I64), Make("f4", DType.F4E2M1), Make("bool", DType.Bool)]);
        using var folder = new TempFolder();
        using ImportedModel imported = Import(folder, file);
        Assert.Equal(["z", "a", "\uFFFF", "\U00010000", "a\"\\\n\u0001", "b", "f4", "bool"], imported.Model.Graph.Initializers.Select(t => t.Name));
        Assert.Contains("\"a\\\"\\\\\\n\\u0001\"", Encoding.UTF8.GetString(file), StringComparison.Ordinal);
        AssertConsistent(folder, file, imported);
    }

    [Fact]
    public void Export_failing_tensor_leaves_nothing()
    {
        using var folder = new TempFolder();
        folder.Write("out.safetensors", "old");
        Tensor x = Tensor.Raw("x", DType.U8, new Shape(4), TensorData.FromBytes(new byte[3]));
        var model = new Model { Kind = ModelKind.Safetensors, Graph = new Graph { Initializers = [x] } };
        Assert.Throws<InvalidOperationException>(() => Container.Export(model, folder["out.safetensors"], _ => TensorData.FromBytes(new byte[3])));
        Assert.Throws<OperationCanceledException>(() => Container.Export(model, folder["out.safetensors"], _ => TensorData.FromBytes(new byte[4]), new CancellationToken(canceled: true)));
        Assert.Equal([folder["out.safetensors"]], Directory.GetFileSystemEntries(folder.Path));
        Assert.Equal("old", System.IO.File.ReadAllText(folder["out.safetensors"]));
    }

    [Fact]
    public void Import_100000_tensors_is_fast_and_small()
    {
        var header = new StringBuilder("{");
        for (int i = 0; i < 100_000; i++)
        {
            header.Append(CultureInfo.InvariantCulture, $"{(i > 0 ? "," : "")}\"model.layers.{i / 100}.experts.{i % 100}.weight\":{{\"dtype\":\"U8\",\"shape\":[2,3],\"data_offsets\":[{i * 6},{(i * 6) + 6}]}}");
        }

        using var folder = new TempFolder();
        string path = folder.Write("x.safetensors", File(header.Append('}').ToString(), 600_000));
        Container.Import(path).Dispose(); // compile the code
        long before = GC.GetAllocatedBytesForCurrentThread();
        var watch = Stopwatch.StartNew();
        using ImportedModel imported = Container.Import(path);
        watch.Stop();
        long allocated = GC.GetAllocatedBytesForCurrentThread() - before;
        Assert.Equal(100_000, imported.Model.Graph.Initializers.Length);
        Assert.InRange(allocated, 0, 100_000 * 800L);
        Assert.InRange(watch.Elapsed.TotalSeconds, 0, 5); // 0.1 s on an idle machine
    }

    [Fact]
    public void Import_4_gb_file_allocates_little()
    {
        const int count = 64;
        const long each = 64L << 20;
        var header = new StringBuilder("{");
        for (long i = 0; i < count; i++)
        {
            header.Append(CultureInfo.InvariantCulture, $"{(i > 0 ? "," : "")}\"t{i}\":{{\"dtype\":\"F32\",\"shape\":[4096,4096],\"data_offsets\":[{i * each},{(i + 1) * each}]}}");
        }

        byte[] head = File(header.Append('}').ToString());
        using var folder = new TempFolder();
        long length = head.Length + (count * each);
        SparseFile.Create(folder["big.safetensors"], length, (0, head), (length - 2, [7, 8]));
        long before = GC.GetAllocatedBytesForCurrentThread();
        using ImportedModel imported = Container.Import(folder["big.safetensors"]);
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 5 << 20);
        Assert.Equal(count, imported.Model.Graph.Initializers.Length);
        Assert.True(imported.Model.Graph.Initializers[^1].TryGetRawData(out TensorData data));
        byte[] tail = new byte[3];
        data.Read(each - 3, tail);
        Assert.Equal([0, 7, 8], tail);
    }

    [Fact]
    public void Import_10000_damaged_files_is_an_error_or_consistent()
    {
        const string header = """
            {"__metadata__":{"format":"pt"},"w.weight":{"dtype":"F32","shape":[3,2],"data_offsets":[0,24]},"q":{"dtype":"F4","shape":[2,4],"data_offsets":[24,28]},
            "e":{"dtype":"BF16","shape":[0,7],"data_offsets":[28,28]},"n":{"dtype":"I64","shape":[],"data_offsets":[28,36]}}
            """;
        byte[] original = File(header, 36);
        using var folder = new TempFolder();
        FuzzReport report = Fuzzer.Fuzz(original, 10_000, hotBytes: 24, action: bytes =>
        {
            string path = folder.Write("x.safetensors", bytes);
            using ImportedModel imported = Container.Import(path);
            IReadOnlyList<FileMap> maps = Container.Map(path);
            maps[0].File.Dispose();
            SafetensorsOracle.AssertConsistent(bytes, imported.Model, maps);
        });
        Assert.True(report.Accepted > 100, $"accepted {report.Accepted}");
        Assert.True(report.Rejected.Count > 12, $"codes {string.Join(' ', report.Rejected)}");
    }

    internal static TensorData Raw(Tensor tensor) => tensor.TryGetRawData(out TensorData data) ? data : throw new InvalidOperationException("not raw");

    /// <summary>Exports and imports again: the same tensors and metadata; a second export gives the same bytes.</summary>
    internal static void AssertRoundTrip(TempFolder folder, Model model)
    {
        string path = Assert.Single(Container.Export(model, folder["out/again.safetensors"], Raw));
        byte[] file = System.IO.File.ReadAllBytes(path);
        using ImportedModel again = Container.Import(path);
        Assert.Equal(model.Metadata.Select(m => (m.Key, m.Value)), again.Model.Metadata.Select(m => (m.Key, m.Value)));
        Assert.Equal(
            model.Graph.Initializers.OrderBy(t => t.Name, StringComparer.Ordinal).Select(t => (t.Name, t.DType, t.Shape, Convert.ToHexString(Bytes(t)))),
            again.Model.Graph.Initializers.OrderBy(t => t.Name, StringComparer.Ordinal).Select(t => (t.Name, t.DType, t.Shape, Convert.ToHexString(Bytes(t)))));
        AssertConsistent(folder, file, again);
        Assert.Equal(file, Written(again.Model.Graph.Initializers, [.. again.Model.Metadata]));
        Assert.Equal(0, BitConverter.ToInt64(file) % 8);
        Assert.Single(Directory.GetFiles(folder["out"]));
    }

    internal static void AssertConsistent(TempFolder folder, byte[] file, ImportedModel imported)
    {
        IReadOnlyList<FileMap> maps = Container.Map(folder.Write("map.safetensors", file));
        using MappedFile open = maps[0].File;
        SafetensorsOracle.AssertConsistent(file, imported.Model, maps);
    }

    private static byte[] Written(IEnumerable<Tensor> tensors, params KeyValuePair<string, string>[] metadata)
    {
        using var stream = new MemoryStream();
        SafetensorsWriter.Write(stream, [.. tensors], [.. metadata], Raw, CancellationToken.None);
        return stream.ToArray();
    }
}
