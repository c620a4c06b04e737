using ModelPack.Compiler;
using ModelPack.Containers.Onnx;
using ModelPack.Containers.Onnx.Schema;
using ModelPack.Testing;
using Xunit;
using DataType = ModelPack.Containers.Onnx.Schema.TensorProto.Types.DataType;

namespace ModelPack.Tests.Onnx;

public sealed class OnnxContainerTests
{
    private static readonly OnnxContainer Container = new();

    [Fact]
    public void Container_is_registered() => Assert.IsType<OnnxContainer>(ModelPack.Containers.Containers.All.Single(c => c.Id == "onnx"));

    [Fact]
    public void Recognizes_by_name_or_first_bytes()
    {
        using var folder = new TempFolder();
        byte[] model = OnnxModels.KitchenSink().ToBytes();
        Assert.True(Container.Recognizes(folder.Write("a.ONNX", [])));
        Assert.True(Container.Recognizes(folder.Write("b.bin", model)));
        Assert.False(Container.Recognizes(folder.Write("c.bin", model.AsSpan(1))));
        Assert.False(Container.Recognizes(folder.Write("d.bin", [])));
        Assert.False(Container.Recognizes(folder.Write("e.txt", "plain text, nothing else")));
        Assert.False(Container.Recognizes(folder["absent.onnx"]));
        Assert.False(Container.Recognizes(folder.Path));
    }

    [Fact]
    public void Import_of_an_absent_file_is_MP1001() =>
        Assert.Equal(ErrorCodes.FileNotFound, Assert.Throws<ModelPackException>(() => Container.Import("absent.onnx")).Code);

    [Fact]
    public void Import_names_the_file_in_its_error()
    {
        using var folder = new TempFolder();
        string path = folder.Write("bad.onnx", [0x0E, 1]);
        Assert.StartsWith($"{path}: error MP1200: at 0x1: ", Assert.Throws<ModelPackException>(() => Container.Import(path)).Line, StringComparison.Ordinal);
        Assert.Equal(path, Assert.Throws<ModelPackException>(() => Container.Map(path)).Path);
    }

    [Fact]
    public void Map_gives_the_ranges_of_all_dense_bytes_under_their_paths()
    {
        using var folder = new TempFolder();
        string path = OnnxModels.KitchenSink().Save(folder);
        byte[] bytes = File.ReadAllBytes(path);
        FileMap map = Assert.Single(Container.Map(path));
        using MappedFile file = map.File;
        using ImportedModel imported = Container.Import(path);
        var tensors = ModelTensors.Enumerate(imported.Model).ToDictionary(t => t.Path, t => t.Tensor);
        // Varint data and strings have no dense bytes in the file; all others do.
        Assert.Equal(tensors.Keys.Except(["shape", "words"]).Order(StringComparer.Ordinal), map.Ranges.Select(r => r.Name).Order(StringComparer.Ordinal));
        long end = 0;
        foreach (TensorRange range in map.Ranges)
        {
            Assert.True(range.OffsetBytes >= end);
            end = range.OffsetBytes + range.LengthBytes;
            Assert.Equal(OnnxRoundTrip.Dense(tensors[range.Name]).ToArray(), bytes[(int)range.OffsetBytes..(int)end]);
        }
    }

    [Fact]
    public void Map_and_import_of_data_inside_the_model_file_itself_open_it_once()
    {
        using var folder = new TempFolder();
        TensorProto tensor = new() { Name = "w", DataType = (int)DataType.Uint8, Dims = { 4 }, DataLocation = TensorProto.Types.DataLocation.External, ExternalData = { OnnxModels.Entry("location", "model.onnx"), OnnxModels.Entry("offset", "0") } };
        string path = OnnxModels.Model(new GraphProto { Initializer = { tensor } }).Save(folder);
        using ImportedModel imported = Container.Import(path);
        Assert.Single(imported.Files);
        Assert.Equal(File.ReadAllBytes(path)[..4], OnnxRoundTrip.Dense(imported.Model.Graph.Initializers[0]).ToArray());
        FileMap map = Assert.Single(Container.Map(path));
        map.File.Dispose();
        Assert.Equal(new TensorRange("w", DType.U8, new Shape(4), 0, 4), Assert.Single(map.Ranges));
    }

    [Fact]
    public void Export_writes_what_import_reads()
    {
        using var folder = new TempFolder();
        string path = OnnxModels.KitchenSink().Save(folder);
        using ImportedModel imported = Container.Import(path);
        Assert.Equal([folder["copy.onnx"]], Container.Export(imported.Model, folder["copy.onnx"], OnnxRoundTrip.Dense));
        OnnxSemantics.AssertSame(path, folder["copy.onnx"]);
    }

    [Fact]
    public void Import_and_map_stop_when_cancelled()
    {
        using var folder = new TempFolder();
        string path = OnnxModels.KitchenSink().Save(folder);
        using var cancelled = new CancellationTokenSource();
        cancelled.Cancel();
        Assert.Throws<OperationCanceledException>(() => Container.Import(path, cancelled.Token));
        Assert.Throws<OperationCanceledException>(() => Container.Map(path, cancelled.Token));
    }

    [Fact]
    public void Export_is_deterministic()
    {
        using var folder = new TempFolder();
        string path = OnnxModels.KitchenSink().Save(folder);
        OnnxRoundTrip.Copy(path, folder["a.onnx"]);
        OnnxRoundTrip.Copy(folder["a.onnx"], folder["b.onnx"]);
        Assert.Equal(File.ReadAllBytes(folder["a.onnx"]), File.ReadAllBytes(folder["b.onnx"]));
    }
}
