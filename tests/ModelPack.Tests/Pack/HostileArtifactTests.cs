using ModelPack.Pack;
using ModelPack.Testing;
using Xunit;

namespace ModelPack.Tests.Pack;

/// <summary>Artifacts whose hashes are right and whose content lies: each lie has its error.</summary>
public sealed class HostileArtifactTests : IDisposable
{
    private readonly TempFolder _folder = new();
    private readonly byte[] _artifact;

    public HostileArtifactTests()
    {
        PackContent content = PackContent.Empty with
        {
            Tensors =
            [
                PackSamples.Raw("w", DType.BF16, new Shape(24, 32), PackSamples.Bf16(1, 24 * 32)),
                ArtifactDamageTests.Quantized("q", "int4(block=32)", 6, 64),
                PackSamples.Raw("n", DType.U8, new Shape(50), PackSamples.Random(1, 50)),
            ],
            Blobs = [KeyValuePair.Create("b", TensorData.FromBytes(new byte[9]))],
        };
        PackWriter.Write(_folder["sound.mpack"], content, new PackOptions());
        _artifact = File.ReadAllBytes(_folder["sound.mpack"]);
    }

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Build_nothingChanged_opensAndVerifies()
    {
        using PackReader reader = PackReader.Open(_folder.Write("same.mpack", new ArtifactForge(_artifact).Build()));
        Assert.Empty(reader.Verify());
        Assert.Equal(3, reader.Tensors.Count);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(100)]
    [InlineData(5000)]
    public void Open_otherFile_isMP1301(int length)
    {
        AssertOpen(ErrorCodes.NotAnArtifact, PackSamples.Random(1, length));
        Assert.False(PackReader.IsArtifact(_folder["case.mpack"]));
        Assert.True(PackReader.IsArtifact(_folder["sound.mpack"]));
    }

    [Fact]
    public void Open_newerVersion_isMP1302() => AssertOpen(ErrorCodes.ArtifactVersion, Forge(f => f.EditRoot = r => r with { Version = 2 }));

    [Fact]
    public void Open_damagedRoot_isMP1303()
    {
        byte[] damaged = [.. _artifact];
        damaged[^100] ^= 1;
        AssertOpen(ErrorCodes.ArtifactRoot, damaged);
    }

    public static TheoryData<string> RootLies => ["index", "manifest", "header", "negative", "ragged", "huge"];

    [Theory]
    [MemberData(nameof(RootLies))]
    public void Open_rootWithRangesOutside_isMP1303(string lie) => AssertOpen(ErrorCodes.ArtifactRoot, Forge(f => f.EditRoot = r => lie switch
    {
        "index" => r with { IndexOffset = long.MaxValue - 5 },
        "manifest" => r with { ManifestOffset = -8 },
        "header" => r with { HeaderBytes = 1L << 40 },
        "negative" => r with { IndexBytes = -40 },
        "ragged" => r with { IndexBytes = r.IndexBytes - 1 },
        _ => r with { ManifestRawBytes = 1L << 40 },
    }));

    [Fact]
    public void Open_otherLength_isMP1304() => AssertOpen(ErrorCodes.ArtifactLength, Forge(f => f.EditRoot = r => r with { FileBytes = r.FileBytes + 64 }));

    [Fact]
    public void Open_bytesInserted_isMP1304() => AssertOpen(ErrorCodes.ArtifactLength, [.. _artifact[..200], 0, .. _artifact[200..]]);

    [Theory]
    [InlineData("\"dtype\":\"U8\"", "\"dtype\":\"I8\"")]
    [InlineData("\"dtype\":\"U8\"", "\"dtype\":\"U8\",\"dtype\":\"U8\"")]
    [InlineData("\"dtype\":\"U8\"", "\"dtype\":\"U8\",\"\\u0064type\":\"U8\"")]
    [InlineData("\"data_offsets\":[0,", "\"data_offsets\":[1,")]
    [InlineData("\"shape\":[", "\"shape\":[1,")]
    [InlineData("\"w#values\"", "\"n#values\"")]
    [InlineData("{\"__metadata__\"", "[\"__metadata__\"")]
    [InlineData("\"mpk.root\"", "\"mpk.rook\"")]
    public void Open_headerThatLies_isMP1305(string find, string replace) =>
        AssertOpen(ErrorCodes.ArtifactHeader, Forge(f => f.EditHeader = h => ReplaceFirst(h, find, replace)));

    [Fact]
    public void Open_damagedHeader_isMP1305()
    {
        byte[] damaged = [.. _artifact];
        damaged[20] ^= 1;
        AssertOpen(ErrorCodes.ArtifactHeader, damaged);
    }

    [Theory]
    [InlineData("{\"version\"", "[\"version\"")]
    [InlineData("\"version\":1", "\"version\":2")]
    [InlineData("\"streams\":[", "\"streems\":[")]
    [InlineData("\"name\":\"w#values\"", "\"name\":\"x#values\"")]
    [InlineData("\"element\":\"bf16\"", "\"element\":\"bf17\"")]
    [InlineData("\"chunk\":1048576", "\"chunk\":0")]
    [InlineData("\"chunk\":1048576", "\"chunk\":-1")]
    [InlineData("\"bytes\":1536", "\"bytes\":-1536")]
    [InlineData("\"bytes\":1536", "\"bytes\":99999999999999999999")]
    [InlineData("\"name\":\"n\",", "\"name\":\"w\",")]
    [InlineData("\"dtype\":\"bf16\"", "\"dtype\":\"q\"")]
    [InlineData("{\"values\":0}", "{\"values\":77}")]
    [InlineData("{\"values\":0}", "{\"values\":-1}")]
    [InlineData("{\"values\":0}", "{\"values\":0,\"values\":0}")]
    [InlineData("\"shape\":[24,32]", "\"shape\":[24,-32]")]
    [InlineData("\"stream\":4", "\"stream\":9")]
    public void Open_manifestThatLies_isMP1306(string find, string replace) =>
        AssertOpen(ErrorCodes.ArtifactManifest, Forge(f => f.Manifest = ReplaceFirst(f.Manifest, find, replace)));

    [Fact]
    public void Open_damagedManifest_isMP1306()
    {
        byte[] damaged = [.. _artifact];
        Assert.True(RootRecord.TryRead(_artifact.AsSpan()[^128..], out RootRecord root));
        damaged[root.ManifestOffset + 3] ^= 1;
        AssertOpen(ErrorCodes.ArtifactManifest, damaged);
    }

    public static TheoryData<string> IndexLies => ["offset", "raw", "stored", "zero", "reserved", "missing", "extra", "bytes"];

    [Theory]
    [MemberData(nameof(IndexLies))]
    public void Open_indexThatLies_isMP1307(string lie) => AssertOpen(ErrorCodes.ArtifactIndex, Forge(f =>
    {
        ChunkRecord first = f.Record(0);
        switch (lie)
        {
            case "offset":
                f.SetRecord(0, first with { OffsetBytes = first.OffsetBytes + 1 });
                break;
            case "raw":
                f.SetRecord(0, first with { RawBytes = first.RawBytes + 1 });
                break;
            case "stored":
                f.SetRecord(0, first with { StoredBytes = 1 << 20 });
                break;
            case "zero":
                f.SetRecord(0, first with { StoredBytes = 0 });
                break;
            case "reserved":
                f.Index[20] = 1;
                break;
            case "missing":
                f.Index = f.Index[..^40];
                break;
            case "extra":
                f.Index = [.. f.Index, .. f.Index[..40]];
                break;
            default:
                f.Manifest = ReplaceFirst(f.Manifest, "\"bytes\":1536", "\"bytes\":1538");
                break;
        }
    }));

    /// <summary>A few bytes can claim any length: what is coded is bounded, what is stored pays for itself.</summary>
    [Fact]
    public void ChunkRecord_codedAndLongerThanDecodersTake_isNotValid()
    {
        byte[] bytes = new byte[PackLayout.ChunkRecordBytes];
        new ChunkRecord(64, 9, PackLayout.MaxCodedChunkBytes, 1, 1, 2).Write(bytes);
        Assert.True(ChunkRecord.TryRead(bytes, out _));
        new ChunkRecord(64, 9, PackLayout.MaxCodedChunkBytes + 1, 1, 1, 2).Write(bytes);
        Assert.False(ChunkRecord.TryRead(bytes, out _));
        new ChunkRecord(64, PackLayout.MaxChunkBytes, PackLayout.MaxChunkBytes, 0, 1, 1).Write(bytes);
        Assert.True(ChunkRecord.TryRead(bytes, out _));
    }

    [Fact]
    public void Open_damagedIndex_isMP1307()
    {
        byte[] damaged = [.. _artifact];
        Assert.True(RootRecord.TryRead(_artifact.AsSpan()[^128..], out RootRecord root));
        damaged[root.IndexOffset + 25] ^= 1;
        AssertOpen(ErrorCodes.ArtifactIndex, damaged);
    }

    [Theory]
    [InlineData("\"shape\":[24,32]", "\"shape\":[24,33]")]
    [InlineData("\"shape\":[24,32]", "\"shape\":[9223372036854775807,9223372036854775807]")]
    [InlineData("\"shape\":[6,64]", "\"shape\":[7,64]")]
    [InlineData("\"codes\":", "\"kodes\":")]
    [InlineData("\"tile\":6", "\"tile\":5")]
    [InlineData("\"tile\":6", "\"tile\":-6")]
    public void Open_tensorThatDoesNotFitItsStreams_isMP1308(string find, string replace) =>
        AssertOpen(ErrorCodes.ArtifactTensor, Forge(f => f.Manifest = ReplaceFirst(f.Manifest, find, replace)));

    [Fact]
    public void Open_endlessTree_isMP1308()
    {
        string node = "{\"format\":\"bf16\",\"shape\":[24,32],\"streams\":{\"values\":0}}";
        string deep = node;
        for (int i = 0; i < 20; i++)
        {
            deep = "{\"structure\":\"permuted(perm=0x1)\",\"shape\":[24,32],\"components\":[" + deep + "]}";
        }

        AssertOpen(ErrorCodes.ArtifactTensor, Forge(f => f.Manifest = ReplaceFirst(f.Manifest, node, deep)));
    }

    [Fact]
    public void Open_unknownFormat_isMP1021() =>
        AssertOpen(ErrorCodes.UnknownUnit, Forge(f => f.Manifest = ReplaceFirst(f.Manifest, "\"format\":\"int4", "\"format\":\"intx")));

    [Theory]
    [InlineData(3)]
    [InlineData(2)]
    [InlineData(4)]
    public void Read_otherCodecThanWritten_isMP1309(byte codec)
    {
        // The random tensor is stored; claim that its bytes are coded.
        using PackReader reader = PackReader.Open(_folder.Write("case.mpack", Forge(f => f.SetRecord(3, f.Record(3) with { Codec = codec }))));
        var e = Assert.Throws<ModelPackException>(() => reader.Find("n")!.Streams[0].Stream.Data.ToArray());
        Assert.Equal(ErrorCodes.ArtifactChunk, e.Code);
        Assert.Equal(ErrorCodes.ArtifactChunk, Assert.Single(reader.Verify()).Code);
    }

    [Fact]
    public void Read_unknownCodec_isMP1310()
    {
        using PackReader reader = PackReader.Open(_folder.Write("case.mpack", Forge(f => f.SetRecord(3, f.Record(3) with { Codec = 200 }))));
        var e = Assert.Throws<ModelPackException>(() => reader.Find("n")!.Streams[0].Stream.Data.ToArray());
        Assert.Equal(ErrorCodes.ArtifactCodec, e.Code);
    }

    [Fact]
    public void Read_otherDecodedHash_isMP1309()
    {
        using PackReader reader = PackReader.Open(_folder.Write("case.mpack", Forge(f =>
        {
            ChunkRecord blob = f.Record(4);
            Assert.Equal(1, blob.Codec);
            f.SetRecord(4, blob with { RawHash = blob.RawHash + 1 });
        })));
        var e = Assert.Throws<ModelPackException>(() => reader.Blobs["b"].ToArray());
        Assert.Equal(ErrorCodes.ArtifactChunk, e.Code);
    }

    [Fact]
    public void Verify_paddingNotZero_isMP1311()
    {
        byte[] damaged = [.. _artifact];
        using (PackReader sound = PackReader.Open(_folder["sound.mpack"]))
        {
            PackStream n = sound.Find("n")!.Streams[0].Stream;
            damaged[n.BeginBytes + n.StoredBytes] = 1;
        }

        using PackReader reader = PackReader.Open(_folder.Write("case.mpack", damaged));
        Assert.Equal(ErrorCodes.ArtifactPadding, Assert.Single(reader.Verify()).Code);
    }

    private static string ReplaceFirst(string text, string find, string replace)
    {
        int at = text.IndexOf(find, StringComparison.Ordinal);
        Assert.True(at >= 0, $"'{find}' is not in {text}");
        return string.Concat(text.AsSpan(0, at), replace, text.AsSpan(at + find.Length));
    }

    private byte[] Forge(Action<ArtifactForge> change)
    {
        var forge = new ArtifactForge(_artifact);
        change(forge);
        return forge.Build();
    }

    private void AssertOpen(ErrorCode code, byte[] artifact)
    {
        string path = _folder.Write("case.mpack", artifact);
        var e = Assert.Throws<ModelPackException>(() => PackReader.Open(path).Dispose());
        Assert.Equal(code, e.Code);
        Assert.Equal(path, e.Path);
    }
}
