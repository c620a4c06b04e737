using System.Security.Cryptography;
using ModelPack.Codecs;
using ModelPack.Pack;
using ModelPack.Testing;
using Xunit;

namespace ModelPack.Tests.Pack;

public sealed class FilePackTests : IDisposable
{
    private readonly TempFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Extract_singleFileWithTensors_isByteExact()
    {
        byte[] bytes = [.. PackSamples.Random(1, 77), .. PackSamples.Bf16(2, 700_000), .. PackSamples.Random(3, 5), .. PackSamples.F32(4, 300_000), .. PackSamples.Bf16(2, 700_000)];
        using MappedFile file = MappedFile.Open(_folder.Write("in.bin", bytes));
        PackedFileRange[] ranges =
        [
            new("a", DType.BF16, new Shape(700, 1000), 77, 1_400_000),
            new("b", DType.F32, new Shape(300_000), 1_400_082, 1_200_000),
            new("a", DType.BF16, new Shape(700, 1000), 2_600_082, 1_400_000),
        ];
        PackResult packed = FilePacker.Write(_folder["a.mpack"], [new PackedFileSource("in.bin", file, ranges)], new PackOptions { Threads = 2 });

        Assert.Equal("a", packed.Tensors[2].SharedWith);
        Assert.Equal(0, packed.Tensors[2].OutputBytes);
        Assert.True(packed.OutputBytes < 2_200_000, $"{packed.OutputBytes} bytes");
        Assert.Equal(bytes, Restore("out.bin", threads: 2));
        Assert.Equal(bytes, Restore("other.bin", threads: 1));
    }

    /// <summary>What repeats far apart in a text is found; binary data keeps short chunks; every level and thread count gives the file back.</summary>
    [Theory]
    [InlineData(CodecLevel.Fast)]
    [InlineData(CodecLevel.Default)]
    [InlineData(CodecLevel.Max)]
    public void Write_longText_hasLongChunksAndIsSmallerForIt(CodecLevel level)
    {
        // Half of every line is noise, which comes back 2 MB later: a chunk of 1 MiB holds none twice and cannot go below 36 %.
        string noise = Convert.ToBase64String(PackSamples.Random(1, 700_000));
        string lines = string.Concat(noise.Chunk(36).Select(c => $"\"the part that every one of the lines has\": {new string(c)}\n"));
        byte[] text = System.Text.Encoding.ASCII.GetBytes(string.Concat(Enumerable.Repeat(lines, 4)));
        using MappedFile file = MappedFile.Open(_folder.Write("t.txt", text));
        using MappedFile binary = MappedFile.Open(_folder.Write("b.bin", PackSamples.Random(2, 5_000_000)));
        var sources = new[] { new PackedFileSource("t.txt", file, []), new PackedFileSource("b.bin", binary, []) };
        foreach (int threads in new[] { 1, 3 })
        {
            FilePacker.Write(_folder[$"{threads}.mpack"], sources, new PackOptions { Level = level, Threads = threads, MaxMemoryBytes = 32 << 20 }, folder: true);
        }

        Assert.Equal(File.ReadAllBytes(_folder["1.mpack"]), File.ReadAllBytes(_folder["3.mpack"]));
        using PackReader reader = PackReader.Open(_folder["1.mpack"]);
        Assert.Equal(PackLayout.TextChunkBytes, reader.Streams[0].ChunkBytes);
        Assert.Equal("zstd", reader.Streams[0].Codec);
        Assert.Equal(PackLayout.ChunkBytes, reader.Streams[1].ChunkBytes);
        Assert.InRange(reader.Streams[0].StoredBytes, 1, text.Length / 4);
        Assert.Empty(reader.Verify(threads: 2));
        FileUnpacker.Extract(reader, _folder["out"], threads: 2);
        Assert.Equal(text, File.ReadAllBytes(Path.Combine(_folder["out"], "t.txt")));
    }

    public static TheoryData<int, int> Sizes => new() { { 0, 0 }, { 1, 0 }, { 1, 1 }, { 100, 0 }, { 100, 100 }, { 3 << 20, 0 }, { (1 << 20) + 1, 1 << 20 }, { 40_000_000, 39_999_990 } };

    [Theory]
    [MemberData(nameof(Sizes))]
    public void Extract_anySize_isByteExact(int fileBytes, int tensorBytes)
    {
        byte[] bytes = PackSamples.Random(7, fileBytes);
        using MappedFile file = MappedFile.Open(_folder.Write("in.bin", bytes));
        PackedFileRange[] ranges = tensorBytes == 0 ? [] : [new("t", DType.U8, new Shape(tensorBytes), fileBytes - tensorBytes, tensorBytes)];
        FilePacker.Write(_folder["a.mpack"], [new PackedFileSource("in.bin", file, ranges)], new PackOptions { Threads = 2, MaxMemoryBytes = 64 << 20 });

        Assert.Equal(SHA256.HashData(bytes), SHA256.HashData(Restore("out.bin", threads: 2)));
    }

    [Fact]
    public void Extract_manySmallTensors_isByteExact()
    {
        byte[] bytes = PackSamples.Random(9, 5000);
        using MappedFile file = MappedFile.Open(_folder.Write("in.bin", bytes));
        PackedFileRange[] ranges = [.. Enumerable.Range(0, 400).Select(i => new PackedFileRange("t", DType.U8, new Shape(7), (i * 12) + (i % 3), 7))];
        FilePacker.Write(_folder["a.mpack"], [new PackedFileSource("in.bin", file, ranges)], new PackOptions());

        Assert.Equal(bytes, Restore("out.bin", threads: 1));
    }

    [Fact]
    public void Extract_severalFiles_mainAtGivenPathOthersBeside()
    {
        using MappedFile main = MappedFile.Open(_folder.Write("model.onnx", "graph"));
        using MappedFile data = MappedFile.Open(_folder.Write("data.bin", PackSamples.Random(1, 1000)));
        FilePacker.Write(
            _folder["a.mpack"],
            [new PackedFileSource("model.onnx", main, []), new PackedFileSource("weights/data.bin", data, [new("w", DType.U8, new Shape(1000), 0, 1000)])],
            new PackOptions());
        using PackReader reader = PackReader.Open(_folder["a.mpack"]);
        IReadOnlyList<string> written = FileUnpacker.Extract(reader, _folder["out/renamed.onnx"]);

        Assert.Equal([_folder["out/renamed.onnx"], _folder["out/weights/data.bin"]], written);
        Assert.Equal("graph", File.ReadAllText(written[0]));
        Assert.Equal(File.ReadAllBytes(_folder["data.bin"]), File.ReadAllBytes(written[1]));
        Assert.True(FileUnpacker.HoldsFiles(reader));
    }

    [Fact]
    public void Extract_folder_restoresIntoTheFolder()
    {
        using MappedFile main = MappedFile.Open(_folder.Write("config.json", "{}"));
        FilePacker.Write(_folder["a.mpack"], [new PackedFileSource("sub/config.json", main, [])], new PackOptions(), folder: true);
        using PackReader reader = PackReader.Open(_folder["a.mpack"]);

        Assert.Equal([Path.Combine(_folder["out"], "sub/config.json")], FileUnpacker.Extract(reader, _folder["out"]));
    }

    [Fact]
    public void Write_wrongDtypeOfARange_isStoredAsBytes()
    {
        using MappedFile file = MappedFile.Open(_folder.Write("in.bin", PackSamples.Random(1, 99)));
        FilePacker.Write(_folder["a.mpack"], [new PackedFileSource("in.bin", file, [new("t", DType.F32, new Shape(3), 0, 99)])], new PackOptions());
        using PackReader reader = PackReader.Open(_folder["a.mpack"]);

        Assert.Equal(DType.U8, reader.Tensors[0].DType);
        Assert.Equal(File.ReadAllBytes(_folder["in.bin"]), Restore("out.bin", threads: 1));
    }

    [Theory]
    [InlineData("../x")]
    [InlineData("/x")]
    [InlineData("a/../x")]
    [InlineData("a//x")]
    [InlineData("C:x")]
    [InlineData("a\\x")]
    [InlineData(".")]
    [InlineData("")]
    [InlineData("x.")]
    public void Write_unsafePath_isMP4006(string path)
    {
        using MappedFile file = MappedFile.Open(_folder.Write("in.bin", "abc"));
        var e = Assert.Throws<ModelPackException>(() => FilePacker.Write(_folder["a.mpack"], [new PackedFileSource(path, file, [])], new PackOptions()));
        Assert.Equal(ErrorCodes.PackFileMap, e.Code);
        Assert.False(File.Exists(_folder["a.mpack"]));
    }

    [Theory]
    [InlineData(0, 5, 4, 2)]
    [InlineData(0, 0, 5, 5)]
    [InlineData(90, 11, 0, 0)]
    public void Write_rangesOverlapOrLeaveTheFile_isMP4006(long offset, long length, long offset2, long length2)
    {
        using MappedFile file = MappedFile.Open(_folder.Write("in.bin", new byte[100]));
        PackedFileRange[] ranges = [new("a", DType.U8, new Shape(length), offset, length), new("b", DType.U8, new Shape(length2), offset2, length2)];
        var e = Assert.Throws<ModelPackException>(() => FilePacker.Write(_folder["a.mpack"], [new PackedFileSource("in.bin", file, ranges)], new PackOptions()));
        Assert.Equal(ErrorCodes.PackFileMap, e.Code);
    }

    [Fact]
    public void Extract_artifactWithoutFiles_isMP1312()
    {
        PackWriter.Write(_folder["a.mpack"], PackSamples.Small(), new PackOptions());
        using PackReader reader = PackReader.Open(_folder["a.mpack"]);
        var e = Assert.Throws<ModelPackException>(() => FileUnpacker.Extract(reader, _folder["out"]));
        Assert.Equal(ErrorCodes.ArtifactNotFiles, e.Code);
    }

    [Theory]
    [InlineData("\"path\":\"in.bin\"", "\"path\":\"../n.bn\"")]
    [InlineData("\"bytes\":100", "\"bytes\":101")]
    [InlineData("[0,10]", "[0,95]")]
    [InlineData("[0,10]", "[1,10]")]
    [InlineData("\"version\":1", "\"version\":2")]
    [InlineData("\"framing\":\"f", "\"framing\":\"g")]
    public void Extract_damagedTable_isMP1313(string find, string replace)
    {
        WriteForged(find, replace);
        using PackReader reader = PackReader.Open(_folder["a.mpack"]);
        var e = Assert.Throws<ModelPackException>(() => FileUnpacker.Extract(reader, _folder["out.bin"]));
        Assert.Equal(ErrorCodes.ArtifactFileTable, e.Code);
        Assert.False(File.Exists(_folder["out.bin"]));
    }

    [Fact]
    public void Extract_otherHash_isMP1314AndLeavesNothing()
    {
        WriteForged("\"sha256\":\"", "\"sha256\":\"0");
        using PackReader reader = PackReader.Open(_folder["a.mpack"]);
        var e = Assert.Throws<ModelPackException>(() => FileUnpacker.Extract(reader, _folder["out.bin"]));
        Assert.Equal(ErrorCodes.ArtifactFileHash, e.Code);
        Assert.DoesNotContain(Directory.EnumerateFiles(_folder.Path), f => f.Contains("out.bin", StringComparison.Ordinal));
    }

    /// <summary>Packs a file, then writes an artifact of the same parts with another file table.</summary>
    private void WriteForged(string find, string replace)
    {
        using MappedFile file = MappedFile.Open(_folder.Write("in.bin", PackSamples.Random(3, 100)));
        FilePacker.Write(_folder["b.mpack"], [new PackedFileSource("in.bin", file, [new("t", DType.U8, new Shape(50), 10, 50)])], new PackOptions());
        using PackReader reader = PackReader.Open(_folder["b.mpack"]);
        string table = System.Text.Encoding.UTF8.GetString(reader.Blobs["files"].ToArray());
        string forged = table.Replace(find, replace, StringComparison.Ordinal);
        if (find == "\"sha256\":\"")
        {
            int at = table.IndexOf(find, StringComparison.Ordinal) + find.Length;
            forged = string.Concat(table.AsSpan(0, at), table[at] == '0' ? "1" : "0", table.AsSpan(at + 1));
        }

        Assert.NotEqual(table, forged);
        PackContent content = PackContent.Empty with
        {
            Tensors = [.. reader.Tensors.Select(t => new PackTensorContent(t.Name, t.DType, t.Shape, t.Encoding))],
            Blobs = [.. reader.Blobs.Where(b => b.Key != "files"), KeyValuePair.Create("files", TensorData.FromBytes(System.Text.Encoding.UTF8.GetBytes(forged)))],
            Metadata = reader.Metadata,
        };
        PackWriter.Write(_folder["a.mpack"], content, new PackOptions());
    }

    private byte[] Restore(string name, int threads)
    {
        using PackReader reader = PackReader.Open(_folder["a.mpack"]);
        Assert.Equal([_folder[name]], FileUnpacker.Extract(reader, _folder[name], threads));
        return File.ReadAllBytes(_folder[name]);
    }
}
