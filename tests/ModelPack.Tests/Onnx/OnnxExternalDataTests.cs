using System.Diagnostics;
using System.Runtime.InteropServices;
using ModelPack.Compiler;
using ModelPack.Containers.Onnx;
using ModelPack.Containers.Onnx.Schema;
using ModelPack.Testing;
using Xunit;
using DataType = ModelPack.Containers.Onnx.Schema.TensorProto.Types.DataType;

namespace ModelPack.Tests.Onnx;

/// <summary>External data: every form of reference, and no way out of the model's folder.</summary>
public sealed class OnnxExternalDataTests
{
    [Fact]
    public void Import_reads_several_files_with_and_without_offset_and_length()
    {
        using var folder = new TempFolder();
        byte[] bytes = [.. Enumerable.Range(0, 64).Select(i => (byte)i)];
        folder.Write("a.bin", bytes);
        folder.Write("sub/b.bin", bytes.Reverse().ToArray());
        GraphProto graph = new()
        {
            Initializer =
            {
                External("all", DataType.Uint8, [64], ("location", "a.bin")),
                External("middle", DataType.Uint16, [4], ("location", "./a.bin"), ("offset", "8"), ("length", "8")),
                External("other", DataType.Int4, [5], ("location", "sub//b.bin"), ("offset", "61"), ("checksum", "ignored")),
                External("tied", DataType.Uint8, [64], ("location", "a.bin"), ("length", "64")),
                External("empty", DataType.Float, [0, 3], ("location", "a.bin"), ("offset", "64")),
            },
        };
        string source = OnnxModels.Model(graph, 21, 10).Save(folder);
        using (ImportedModel imported = OnnxModelReader.Import(source))
        {
            Assert.Equal(["model.onnx", "a.bin", "b.bin"], imported.Files.Select(f => Path.GetFileName(f.Path)));
            Assert.Equal(bytes, OnnxRoundTrip.Dense(imported.Model.Graph.Initializers[0]).ToArray());
            Assert.Equal(bytes[8..16], OnnxRoundTrip.Dense(imported.Model.Graph.Initializers[1]).ToArray());
            Assert.Equal([2, 1, 0], OnnxRoundTrip.Dense(imported.Model.Graph.Initializers[2]).ToArray());
            Assert.Equal(0, OnnxRoundTrip.Dense(imported.Model.Graph.Initializers[4]).LengthBytes);
            OnnxModelWriter.Write(imported.Model, folder["copy.onnx"], OnnxRoundTrip.Dense);
        }

        IReadOnlyList<FileMap> maps = new OnnxContainer().Map(source);
        Assert.Equal([0, 1, 1], maps.Select(m => m.Ranges.Length)); // tied and overlapping ranges once
        foreach (FileMap map in maps)
        {
            map.File.Dispose();
        }
    }

    [Theory]
    [InlineData("../secret.bin", 1232)]
    [InlineData("sub/../../secret.bin", 1232)]
    [InlineData("sub/../inside.bin", 1232)]
    [InlineData("..", 1232)]
    [InlineData("/etc/hostname", 1231)]
    [InlineData("//server/share", 1231)]
    [InlineData("C:/windows/win.ini", 1231)]
    [InlineData("..\\secret.bin", 1233)]
    [InlineData("sub\\inside.bin", 1233)]
    [InlineData("", 1230)]
    [InlineData("a\0b", 1230)]
    [InlineData(".", 1235)]
    [InlineData("sub", 1235)]
    [InlineData("absent.bin", 1237)]
    [InlineData("inside.bin/x", 1237)]
    [InlineData("*/_ORT_MEM_ADDR_/*", 1237)]
    public void Import_of_a_location_that_is_not_allowed_has_its_code(string location, int code)
    {
        using var folder = new TempFolder();
        folder.Write("secret.bin", new byte[4]);
        folder.Write("model/inside.bin", new byte[4]);
        folder.Write("model/sub/inside.bin", new byte[4]);
        AssertCode(code, folder, External("w", DataType.Float, [], ("location", location)));
    }

    [Fact]
    public void Import_without_location_is_MP1230()
    {
        using var folder = new TempFolder();
        AssertCode(1230, folder, External("w", DataType.Float, [], ("offset", "0")));
    }

    [Theory]
    [InlineData("offset", "-1")]
    [InlineData("offset", "0x10")]
    [InlineData("offset", "")]
    [InlineData("offset", "99999999999999999999")]
    [InlineData("length", "4.0")]
    public void Import_of_offset_or_length_that_is_no_number_is_MP1230(string key, string value)
    {
        using var folder = new TempFolder();
        folder.Write("model/w.bin", new byte[64]);
        AssertCode(1230, folder, External("w", DataType.Float, [], ("location", "w.bin"), (key, value)));
    }

    [Theory]
    [InlineData("61")]
    [InlineData("65")]
    [InlineData("9223372036854775807")]
    public void Import_of_a_range_outside_the_file_is_MP1236(string offset)
    {
        using var folder = new TempFolder();
        folder.Write("model/w.bin", new byte[64]);
        AssertCode(1236, folder, External("w", DataType.Float, [], ("location", "w.bin"), ("offset", offset)));
    }

    [Fact]
    public void Import_of_a_length_that_does_not_fit_the_shape_is_MP1222()
    {
        using var folder = new TempFolder();
        folder.Write("model/w.bin", new byte[64]);
        AssertCode(1222, folder, External("w", DataType.Float, [], ("location", "w.bin"), ("length", "8")));
    }

    [Fact]
    public void Import_of_external_strings_or_of_two_places_is_MP1223()
    {
        using var folder = new TempFolder();
        folder.Write("model/w.bin", new byte[64]);
        AssertCode(1223, folder, External("w", DataType.String, [1], ("location", "w.bin")));
        TensorProto both = OnnxModels.Floats("w", [], 1);
        both.MergeFrom(External("w", DataType.Float, [], ("location", "w.bin")));
        AssertCode(1223, folder, both);
    }

    [SkippableFact]
    public void Import_through_a_link_out_of_the_folder_is_MP1234()
    {
        Skip.If(OperatingSystem.IsWindows(), "making links needs a privilege there");
        using var folder = new TempFolder();
        folder.Write("secret.bin", new byte[4]);
        folder.Write("model/inside.bin", new byte[4]);
        File.CreateSymbolicLink(folder["model/file.bin"], folder["secret.bin"]);
        File.CreateSymbolicLink(folder["model/relative.bin"], "../secret.bin");
        Directory.CreateSymbolicLink(folder["model/up"], folder.Path);
        File.CreateSymbolicLink(folder["model/chain.bin"], "relative.bin");
        File.CreateSymbolicLink(folder["model/circle.bin"], "circle.bin");
        foreach (string location in new[] { "file.bin", "relative.bin", "up/secret.bin", "up/model/../secret.bin", "chain.bin", "circle.bin" }.Where(l => !l.Contains("..", StringComparison.Ordinal)))
        {
            AssertCode(1234, folder, External("w", DataType.Float, [], ("location", location)));
        }
    }

    [SkippableFact]
    public void Import_through_links_inside_the_folder_works()
    {
        Skip.If(OperatingSystem.IsWindows(), "making links needs a privilege there");
        using var folder = new TempFolder();
        folder.Write("model/deep/inside.bin", [1, 2, 3, 4]);
        File.CreateSymbolicLink(folder["model/link.bin"], "deep/../deep/inside.bin");
        Directory.CreateSymbolicLink(folder["other"], folder["model"]);
        OnnxModels.Model(new GraphProto { Initializer = { External("w", DataType.Float, [], ("location", "link.bin")) } }).Save(folder, "model/model.onnx");
        foreach (string path in new[] { "model/model.onnx", "other/model.onnx" })
        {
            using ImportedModel imported = OnnxModelReader.Import(folder[path]);
            Assert.Equal([1, 2, 3, 4], OnnxRoundTrip.Dense(imported.Model.Graph.Initializers[0]).ToArray());
        }
    }

    [SkippableFact]
    public void Import_of_a_pipe_is_MP1235_and_does_not_wait()
    {
        Skip.IfNot(RuntimeInformation.IsOSPlatform(OSPlatform.Linux), "pipes are made with mkfifo");
        using var folder = new TempFolder();
        Directory.CreateDirectory(folder["model"]);
        using (Process mkfifo = Process.Start("mkfifo", folder["model/pipe.bin"]))
        {
            mkfifo.WaitForExit();
            Skip.IfNot(mkfifo.ExitCode == 0, "mkfifo failed");
        }

        AssertCode(1235, folder, External("w", DataType.Float, [], ("location", "pipe.bin")));
    }

    [Fact]
    public void Import_that_fails_closes_its_files()
    {
        using var folder = new TempFolder();
        string data = folder.Write("w.bin", new byte[4]);
        GraphProto graph = new() { Initializer = { External("a", DataType.Float, [], ("location", "w.bin")), External("b", DataType.Float, [2], ("location", "w.bin")) } };
        Assert.Throws<ModelPackException>(() => OnnxModelReader.Import(OnnxModels.Model(graph).Save(folder)));
        using FileStream exclusive = new(data, FileMode.Open, FileAccess.ReadWrite, FileShare.None);
        Assert.Equal(4, exclusive.Length);
    }

    [Fact]
    public void Export_writes_aligned_offsets_and_keeps_small_tensors_inside()
    {
        using var folder = new TempFolder();
        GraphProto graph = new() { Initializer = { OnnxModels.Floats("large", [300], OnnxModels.Random(300, 1)), OnnxModels.Floats("small", [255], OnnxModels.Random(255, 2)), OnnxModels.Floats("limit", [256], OnnxModels.Random(256, 3)) } };
        string source = OnnxModels.Model(graph).Save(folder);
        OnnxRoundTrip.Copy(source, folder["out.onnx"], new OnnxExportOptions { Weights = OnnxWeights.External });
        GraphProto written = ModelProto.Parser.ParseFrom(File.ReadAllBytes(folder["out.onnx"])).Graph;
        Assert.Equal("location=out.onnx.data,offset=0,length=1200", Describe(written.Initializer[0]));
        Assert.True(written.Initializer[1].HasRawData);
        Assert.Equal("location=out.onnx.data,offset=4096,length=1024", Describe(written.Initializer[2]));
        Assert.Equal(5120, new FileInfo(folder["out.onnx.data"]).Length);
        OnnxSemantics.AssertSame(source, folder["out.onnx"]);
    }

    [Fact]
    public void Export_turns_to_external_data_when_the_file_would_be_too_large()
    {
        using var folder = new TempFolder();
        string source = OnnxModels.Model(new GraphProto { Initializer = { OnnxModels.Floats("w", [4096], OnnxModels.Random(4096, 1)) } }).Save(folder);
        Assert.Single(OnnxRoundTrip.Copy(source, folder["a.onnx"], new OnnxExportOptions { InlineLimitBytes = 17_000 }));
        Assert.Equal(2, OnnxRoundTrip.Copy(source, folder["b.onnx"], new OnnxExportOptions { InlineLimitBytes = 16_384 }).Count);
        OnnxSemantics.AssertSame(source, folder["b.onnx"]);
    }

    [Fact]
    public void Export_of_two_gibibytes_is_planned_external_and_inline_is_MP1251()
    {
        using var folder = new TempFolder();
        Shape shape = new(1024, 1024, 550);
        Tensor huge = Tensor.Raw("w", DType.F32, shape, new Zeros(shape.ElementCount * 4));
        var model = new Model { Kind = ModelKind.Onnx, IrVersion = 8, Graph = new Graph { Initializers = [huge] } };
        (byte[] slim, DataPlan plan, long size) = OnnxModelWriter.Plan(model, "m.onnx", OnnxRoundTrip.Dense, new OnnxExportOptions());
        Assert.True(size < 1000 && slim.Length < 1000);
        Assert.Equal(shape.ElementCount * 4, plan.ExternalBytes);
        (_, _, long inline) = OnnxModelWriter.Plan(model, "m.onnx", OnnxRoundTrip.Dense, new OnnxExportOptions { Weights = OnnxWeights.Inline });
        Assert.InRange(inline, shape.ElementCount * 4, (shape.ElementCount * 4) + 1000);
        ModelPackException e = Assert.Throws<ModelPackException>(() => OnnxModelWriter.Write(model, folder["m.onnx"], OnnxRoundTrip.Dense, new OnnxExportOptions { Weights = OnnxWeights.Inline }));
        Assert.Equal(ErrorCodes.OnnxExportTooLarge, e.Code);
        Assert.Empty(Directory.GetFiles(folder.Path));
    }

    [Fact]
    public void Export_that_fails_or_is_cancelled_leaves_nothing_behind()
    {
        using var folder = new TempFolder();
        string source = OnnxModels.Model(new GraphProto { Initializer = { OnnxModels.Floats("w", [4096], OnnxModels.Random(4096, 1)) } }).Save(folder);
        using ImportedModel imported = OnnxModelReader.Import(source);
        using var cancelled = new CancellationTokenSource();
        cancelled.Cancel();
        foreach (OnnxWeights weights in Enum.GetValues<OnnxWeights>())
        {
            Assert.Throws<OperationCanceledException>(() => OnnxModelWriter.Write(imported.Model, folder["out.onnx"], OnnxRoundTrip.Dense, new OnnxExportOptions { Weights = weights }, cancelled.Token));
        }

        Assert.Equal([source], Directory.GetFiles(folder.Path));
    }

    [Fact]
    public void Export_over_the_file_that_was_imported_works()
    {
        using var folder = new TempFolder();
        string source = OnnxModels.Model(new GraphProto { Initializer = { OnnxModels.Floats("w", [4096], OnnxModels.Random(4096, 1)) } }).Save(folder);
        File.Copy(source, folder["before.onnx"]);
        OnnxRoundTrip.Copy(source, source);
        OnnxSemantics.AssertSame(folder["before.onnx"], source);
    }

    private static string Describe(TensorProto tensor) => string.Join(',', tensor.ExternalData.Select(e => $"{e.Key}={e.Value}"));

    private static TensorProto External(string name, DataType type, long[] dims, params (string Key, string Value)[] entries) => new()
    {
        Name = name,
        DataType = (int)type,
        Dims = { dims },
        DataLocation = TensorProto.Types.DataLocation.External,
        ExternalData = { entries.Select(e => OnnxModels.Entry(e.Key, e.Value)) },
    };

    private static void AssertCode(int code, TempFolder folder, TensorProto tensor)
    {
        string path = OnnxModels.Model(new GraphProto { Initializer = { tensor } }).Save(folder, "model/model.onnx");
        ModelPackException e = Assert.Throws<ModelPackException>(() => OnnxModelReader.Import(path));
        Assert.True(e.Code.Number == code, e.Line);
        Assert.Equal(path, e.Path);
        Assert.Equal("w", e.Tensor);
    }

    /// <summary>Zeros of any length.</summary>
    private sealed class Zeros(long lengthBytes) : TensorData(lengthBytes)
    {
        protected override void ReadCore(long offsetBytes, Span<byte> destination) => destination.Clear();
    }
}
