using System.Globalization;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using System.Text;
using ModelPack.Pack;
using ModelPack.Structures;
using ModelPack.Testing;
using ModelPack.Tests.Cli;
using ModelPack.Toolchain;
using Xunit;

namespace ModelPack.Tests.Pack;

/// <summary>Files packed as differences from a base, and what happens without it.</summary>
public sealed class DeltaTests : IDisposable
{
    private readonly TempFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void OnePointFivePercentMovedByOneUlp_isMoreThanSixtyTimesSmaller_onAnyThreadsAndMemory()
    {
        byte[] old = PackSamples.Bf16(1, 4 << 20);
        string oldFile = Safetensors("old.safetensors", ("a", "BF16", [1024, 2048], old[..(4 << 20)]), ("b", "BF16", [1024, 2048], old[(4 << 20)..]));
        byte[] now = Moved(old, 0.015);
        string newFile = Safetensors("new.safetensors", ("a", "BF16", [1024, 2048], now[..(4 << 20)]), ("b", "BF16", [1024, 2048], now[(4 << 20)..]));

        PackFileResult packed = FilePacking.Pack(newFile, _folder["d.mpack"], threads: 1, against: oldFile);
        FilePacking.Pack(newFile, _folder["e.mpack"], threads: 3, maxMemoryBytes: 8 << 20, against: oldFile);

        Assert.True(packed.Ratio > 100, $"{packed.Ratio:F1}");
        Assert.Equal(File.ReadAllBytes(_folder["d.mpack"]), File.ReadAllBytes(_folder["e.mpack"]));
        FilePacking.Unpack(_folder["d.mpack"], _folder["back"], threads: 2, against: oldFile);
        Assert.Equal(SHA256.HashData(File.ReadAllBytes(newFile)), SHA256.HashData(File.ReadAllBytes(_folder["back"])));
        using PackReader reader = PackReader.Open(_folder["d.mpack"]);
        Assert.Equal("sparse", reader.Find("a")!.Streams[0].Stream.Codec);
        Assert.Equal("delta > u16", reader.Find("a")!.Encoding.Describe());
    }

    [Fact]
    public void ChangesWhereNoSampleWasTaken_areCodedAllTheSame()
    {
        // Samples see zeros alone; chunk 1 has a few changes, chunk 2 nothing else.
        byte[] old = PackSamples.Bf16(1, 2 << 20);
        byte[] now = [.. old];
        for (int i = 1_300_000; i < 1_350_000; i += 1001)
        {
            now[i] ^= 1;
        }

        for (int i = 2_200_000; i < 2_600_000; i++)
        {
            now[i] = (byte)(i % 3 == 0 ? now[i] + 1 : now[i] ^ 1);
        }

        string oldFile = Safetensors("old.safetensors", ("a", "BF16", [2 << 20], old));
        string newFile = Safetensors("new.safetensors", ("a", "BF16", [2 << 20], now));
        PackFileResult packed = FilePacking.Pack(newFile, _folder["d.mpack"], against: oldFile);

        using PackReader reader = PackReader.Open(_folder["d.mpack"], oldFile);
        PackStream stream = reader.Find("a")!.Streams[0].Stream;
        Assert.Equal([1, 10, 10, 1], Enumerable.Range(0, 4).Select(c => (int)reader.Record(stream, c).Codec));
        Assert.InRange(packed.OutputBytes, 1000, 400_000);
        FileUnpacker.Check(reader);
    }

    [Fact]
    public void Tensors_areFoundByNameOrContent_elseStoredAlone()
    {
        byte[] a = PackSamples.Bf16(1, 50_000);
        byte[] b = PackSamples.F32(2, 50_000);
        byte[] c = PackSamples.Bf16(3, 50_000);
        string oldFile = Safetensors("old.safetensors", ("a", "BF16", [50_000], a), ("before", "F32", [500, 100], b), ("c", "BF16", [50_000], c));
        string newFile = Safetensors("new.safetensors", ("a", "BF16", [50_000], Moved(a, 0.3)), ("after", "F32", [500, 100], b), ("c", "BF16", [100, 500], Moved(c, 0.01)), ("d", "BF16", [50_000], PackSamples.Bf16(9, 50_000)));
        FilePacking.Pack(newFile, _folder["d.mpack"], against: oldFile);

        using (PackReader reader = PackReader.Open(_folder["d.mpack"]))
        {
            Assert.Equal("delta > u16", reader.Find("a")!.Encoding.Describe());
            Assert.Equal("delta > u32", reader.Find("after")!.Encoding.Describe());
            Assert.Equal("constant", reader.Find("after")!.Streams[0].Stream.Codec);
            Assert.Equal("bf16", reader.Find("c")!.Encoding.Describe());
            Assert.Equal("bf16", reader.Find("d")!.Encoding.Describe());
        }

        FilePacking.Unpack(_folder["d.mpack"], _folder["back"], against: oldFile);
        Assert.Equal(File.ReadAllBytes(newFile), File.ReadAllBytes(_folder["back"]));
    }

    [Theory]
    [InlineData(1e-5)]
    [InlineData(1e-4)]
    [InlineData(1e-3)]
    [InlineData(1)]
    public void DenseChanges_areNoLargerThanPackingAlone(double scale)
    {
        float[] old = PackSamples.Weights(1, 300_000);
        float[] change = PackSamples.Weights(2, 300_000, scale);
        byte[] Bf16(float[] values) => [.. values.SelectMany(v => BitConverter.GetBytes((ushort)(BitConverter.SingleToUInt32Bits(v) >> 16)))];
        string oldFile = Safetensors("old.safetensors", ("a", "BF16", [300_000], Bf16(old)), ("f", "F32", [300_000], MemoryMarshal.AsBytes(old.AsSpan()).ToArray()));
        float[] now = [.. old.Zip(change, (x, y) => x + y)];
        string newFile = Safetensors("new.safetensors", ("a", "BF16", [300_000], Bf16(now)), ("f", "F32", [300_000], MemoryMarshal.AsBytes(now.AsSpan()).ToArray()));

        long alone = FilePacking.Pack(newFile, _folder["p.mpack"]).OutputBytes;
        long delta = FilePacking.Pack(newFile, _folder["d.mpack"], against: oldFile).OutputBytes;

        Assert.InRange(delta, 1, scale < 1 ? alone : alone + 4096);
        FilePacking.Unpack(_folder["d.mpack"], _folder["back"], against: scale == 1 && !NeedsBase("d.mpack") ? null : oldFile);
        Assert.Equal(File.ReadAllBytes(newFile), File.ReadAllBytes(_folder["back"]));
    }

    [Fact]
    public void Base_mayBeAnArtifactThatHoldsIt()
    {
        byte[] a = PackSamples.Bf16(1, 300_000);
        string oldFile = Safetensors("old.safetensors", ("a", "BF16", [300_000], a), ("tiny", "U8", [3], [1, 2, 3]));
        string newFile = Safetensors("new.safetensors", ("a", "BF16", [300_000], Moved(a, 0.01)), ("tiny", "U8", [3], [1, 2, 4]));
        FilePacking.Pack(oldFile, _folder["old.mpack"]);
        FilePacking.Pack(newFile, _folder["d.mpack"], against: _folder["old.mpack"]);
        FilePacking.Pack(newFile, _folder["e.mpack"], against: oldFile);

        Assert.Equal(File.ReadAllBytes(_folder["e.mpack"]), File.ReadAllBytes(_folder["d.mpack"]));
        foreach (string basis in new[] { oldFile, _folder["old.mpack"] })
        {
            FilePacking.Unpack(_folder["d.mpack"], _folder["back"], against: basis);
            Assert.Equal(File.ReadAllBytes(newFile), File.ReadAllBytes(_folder["back"]));
        }

        // A delta is no base: it has not its own.
        Assert.Equal(ErrorCodes.ArtifactBaseMissing, Assert.Throws<ModelPackException>(() => FilePacking.Pack(newFile, _folder["f.mpack"], against: _folder["d.mpack"])).Code);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(100_001)]
    [InlineData((1 << 20) + 3)]
    public void AnyFile_isComparedAsBytes(int length)
    {
        byte[] old = PackSamples.Random(1, length);
        byte[] now = [.. old];
        for (int i = 0; i < length; i += 997)
        {
            now[i]++;
        }

        string oldFile = _folder.Write("old.xyz", old);
        string newFile = _folder.Write("new.xyz", now);
        FilePacking.Pack(newFile, _folder["d.mpack"], against: oldFile);
        FilePacking.Unpack(_folder["d.mpack"], _folder["back"], against: NeedsBase("d.mpack") ? oldFile : null);
        Assert.Equal(now, File.ReadAllBytes(_folder["back"]));
        Assert.Equal(length > 1, NeedsBase("d.mpack"));
        Assert.InRange(new FileInfo(_folder["d.mpack"]).Length, 0, 2500 + (length / 100));
    }

    [Theory]
    [InlineData("F64", 8)]
    [InlineData("F32", 4)]
    [InlineData("F16", 2)]
    [InlineData("U8", 1)]
    [InlineData("I64", 8)]
    [InlineData("F4", 1)]
    public void EveryWidth_comesBack(string dtype, int width)
    {
        byte[] old = PackSamples.Random(1, 24_000);
        byte[] now = [.. old.Select((b, i) => i % 50 == 0 ? (byte)(b + 255) : b)];
        long count = dtype == "F4" ? 48_000 : 24_000 / width;
        string oldFile = Safetensors("old.safetensors", ("a", dtype, [count], old));
        string newFile = Safetensors("new.safetensors", ("a", dtype, [count], now));
        FilePacking.Pack(newFile, _folder["d.mpack"], against: oldFile);
        Assert.True(NeedsBase("d.mpack"));
        FilePacking.Unpack(_folder["d.mpack"], _folder["back"], against: oldFile);
        Assert.Equal(File.ReadAllBytes(newFile), File.ReadAllBytes(_folder["back"]));
    }

    [Fact]
    public void WithoutTheBase_checksumsAreCheckedAndValuesRefused()
    {
        (string oldFile, string newFile) = Pair();
        VerifyResult verified = Verification.Verify(_folder["d.mpack"]);
        Assert.True(verified.Ok);
        Assert.Contains("checked without the base 'old.safetensors'", verified.Note, StringComparison.Ordinal);
        Assert.Contains("checked with the base", Verification.Verify(_folder["d.mpack"], basePath: oldFile).Note, StringComparison.Ordinal);
        Assert.True(Verification.Verify(_folder["d.mpack"], against: newFile, basePath: oldFile).Ok);
        InspectResult inspected = Inspection.Inspect(_folder["d.mpack"]);
        Assert.Equal("1 of 1 tensors are differences: their values need the base", inspected.Metadata["delta"]);
        Assert.StartsWith($"{new FileInfo(oldFile).Length} bytes, sha256 ", inspected.Metadata["delta.base.old.safetensors"], StringComparison.Ordinal);

        foreach (Action use in new Action[]
        {
            () => FilePacking.Unpack(_folder["d.mpack"], _folder["back"]),
            () => TensorExtraction.Extract(_folder["d.mpack"], _folder["back"], ["a"]),
            () => Comparison.Compare(newFile, _folder["d.mpack"]),
        })
        {
            var e = Assert.Throws<ModelPackException>(use);
            Assert.Equal(ErrorCodes.ArtifactBaseMissing, e.Code);
            Assert.Contains("--base", e.Message, StringComparison.Ordinal);
        }

        Assert.False(File.Exists(_folder["back"]));
    }

    [Fact]
    public void Rows_withTheBase_areThoseOfTheFile()
    {
        (string oldFile, string newFile) = Pair();
        (int code, _, string error) = CliHarness.Run("unpack", _folder["d.mpack"], "--base", oldFile, "--tensor", "a", "--rows", "10:20", "-o", _folder["rows.bin"]);
        Assert.True(code == 0, error);
        byte[] file = File.ReadAllBytes(newFile);
        Assert.Equal(file[^(300 * 2000)..][(10 * 2000)..(20 * 2000)], File.ReadAllBytes(_folder["rows.bin"]));

        using PackReader reader = PackReader.Open(_folder["d.mpack"], oldFile);
        byte[] whole = new byte[300 * 2000];
        unsafe
        {
            fixed (byte* start = whole)
            {
                reader.DecodeDense(reader.Find("a")!, DType.BF16, (nint)start, whole.Length, threads: 2);
            }
        }

        Assert.Equal(file[^whole.Length..], whole);
    }

    [Fact]
    public void WrongBase_isRefusedBeforeAnythingIsWritten()
    {
        (string oldFile, string newFile) = Pair();
        byte[] other = File.ReadAllBytes(oldFile);
        other[^1] ^= 1;
        foreach ((string path, ErrorCode code) in new[]
        {
            (newFile, ErrorCodes.ArtifactBaseWrong),
            (_folder.Write("flipped.safetensors", other), ErrorCodes.ArtifactBaseWrong),
            (_folder.Write("short.safetensors", other.AsSpan(0, 1000)), ErrorCodes.ArtifactBaseWrong),
            (_folder["missing.safetensors"], ErrorCodes.FileNotFound),
        })
        {
            Assert.Equal(code, Assert.Throws<ModelPackException>(() => FilePacking.Unpack(_folder["d.mpack"], _folder["back"], against: path)).Code);
            Assert.False(File.Exists(_folder["back"]));
        }

        FilePacking.Pack(newFile, _folder["p.mpack"]);
        Assert.Equal(ErrorCodes.ArtifactNotADelta, Assert.Throws<ModelPackException>(() => FilePacking.Unpack(_folder["p.mpack"], _folder["back"], against: oldFile)).Code);
        Assert.Equal(ErrorCodes.OutputIsInput, Assert.Throws<ModelPackException>(() => FilePacking.Unpack(_folder["d.mpack"], oldFile, against: oldFile)).Code);
        Assert.Equal(ErrorCodes.OutputIsInput, Assert.Throws<ModelPackException>(() => FilePacking.Pack(newFile, oldFile, against: oldFile)).Code);
    }

    [Fact]
    public void DamagedDifference_isAnErrorAndNoFile()
    {
        (string oldFile, _) = Pair();
        byte[] artifact = File.ReadAllBytes(_folder["d.mpack"]);
        using (PackReader sound = PackReader.Open(_folder["d.mpack"]))
        {
            artifact[sound.Record(sound.Find("a")!.Streams[0].Stream, 0).OffsetBytes + 40] ^= 4;
        }

        _folder.Write("bad.mpack", artifact);
        Assert.Equal(ErrorCodes.ArtifactChunk, Assert.Throws<ModelPackException>(() => FilePacking.Unpack(_folder["bad.mpack"], _folder["back"], against: oldFile)).Code);
        Assert.False(File.Exists(_folder["back"]));
        Assert.False(Verification.Verify(_folder["bad.mpack"], basePath: oldFile).Ok);
    }

    private static readonly string Sha = new('0', 64);

    [Theory]
    [InlineData("not json")]
    [InlineData("""{"version":2,"files":[{"path":"a","bytes":9,"sha256":"SHA"}],"tensors":[]}""")]
    [InlineData("""{"version":1,"files":[],"tensors":[]}""")]
    [InlineData("""{"version":1,"files":[{"path":"../a","bytes":9,"sha256":"SHA"}],"tensors":[]}""")]
    [InlineData("""{"version":1,"files":[{"path":"a","bytes":-1,"sha256":"SHA"}],"tensors":[]}""")]
    [InlineData("""{"version":1,"files":[{"path":"a","bytes":9,"sha256":"12"}],"tensors":[]}""")]
    [InlineData("""{"version":1,"files":[{"path":"a","bytes":9,"sha256":"SHA"}]}""")]
    [InlineData("""{"version":1,"files":[{"path":"a","bytes":9,"sha256":"SHA"}],"tensors":[[0,0,6]]}""")]
    [InlineData("""{"version":1,"files":[{"path":"a","bytes":9,"sha256":"SHA"}],"tensors":[[0,0,-1]]}""")]
    [InlineData("""{"version":1,"files":[{"path":"a","bytes":9,"sha256":"SHA"}],"tensors":[[0,1,0]]}""")]
    [InlineData("""{"version":1,"files":[{"path":"a","bytes":9,"sha256":"SHA"}],"tensors":[[1,0,0]]}""")]
    [InlineData("""{"version":1,"files":[{"path":"a","bytes":9,"sha256":"SHA"}],"tensors":[[2,0,0]]}""")]
    [InlineData("""{"version":1,"files":[{"path":"a","bytes":9,"sha256":"SHA"}],"tensors":[[0,0,0],[0,0,0]]}""")]
    [InlineData("""{"version":1,"files":[{"path":"a","bytes":9,"sha256":"SHA"}],"tensors":[[0,0]]}""")]
    [InlineData("""{"version":1,"files":[{"path":"a","bytes":9,"sha256":"SHA"}],"tensors":[[0,0,9223372036854775807]]}""")]
    public void BaseRecord_thatIsNone_isMP1317(string json)
    {
        Forge(json.Replace("SHA", Sha, StringComparison.Ordinal), DType.BF16);
        var e = Assert.Throws<ModelPackException>(() => PackReader.Open(_folder["f.mpack"], _folder.Write("a", new byte[9])));
        Assert.Equal(ErrorCodes.ArtifactBaseRecord, e.Code);
        Assert.Equal(ErrorCodes.ArtifactBaseRecord, Assert.Throws<ModelPackException>(() => Inspection.Inspect(_folder["f.mpack"])).Code);
    }

    [Fact]
    public void BaseRecord_withDifferencesOfAnotherType_isMP1317()
    {
        byte[] file = new byte[9];
        Forge($$"""{"version":1,"files":[{"path":"a","bytes":9,"sha256":"{{Convert.ToHexStringLower(SHA256.HashData(file))}}"}],"tensors":[[0,0,0]]}""", DType.F32);
        Assert.Equal(ErrorCodes.ArtifactBaseRecord, Assert.Throws<ModelPackException>(() => PackReader.Open(_folder["f.mpack"], _folder.Write("a", file))).Code);
    }

    [Fact]
    public void Onnx_withExternalData_isADeltaToo()
    {
        string sample = RepositoryTree.PathTo("samples", "models", "tinyllama");
        foreach (string name in new[] { "model.onnx", "model.safetensors" })
        {
            _folder.Write($"old/{name}", File.ReadAllBytes(Path.Combine(sample, name)));
            _folder.Write($"new/{name}", File.ReadAllBytes(Path.Combine(sample, name)));
        }

        byte[] weights = File.ReadAllBytes(_folder["new/model.safetensors"]);
        weights[^2] ^= 1;
        _folder.Write("new/model.safetensors", weights);
        PackFileResult packed = FilePacking.Pack(_folder["new/model.onnx"], _folder["d.mpack"], against: _folder["old/model.onnx"]);
        Assert.True(packed.Ratio > 100, $"{packed.Ratio:F1}");
        FilePacking.Unpack(_folder["d.mpack"], _folder["back/model.onnx"], against: _folder["old/model.onnx"]);
        Assert.Equal(File.ReadAllBytes(_folder["new/model.onnx"]), File.ReadAllBytes(_folder["back/model.onnx"]));
        Assert.Equal(SHA256.HashData(weights), SHA256.HashData(File.ReadAllBytes(_folder["back/model.safetensors"])));
    }

    private (string Old, string New) Pair()
    {
        byte[] a = PackSamples.Bf16(1, 300_000);
        string oldFile = Safetensors("old.safetensors", ("a", "BF16", [300, 1000], a));
        string newFile = Safetensors("new.safetensors", ("a", "BF16", [300, 1000], Moved(a, 0.01)));
        FilePacking.Pack(newFile, _folder["d.mpack"], against: oldFile);
        return (oldFile, newFile);
    }

    /// <summary>Tensor 0 a delta of four bytes, tensor 1 a plain one.</summary>
    private void Forge(string record, DType dtype) => PackWriter.Write(
        _folder["f.mpack"],
        PackContent.Empty with
        {
            Tensors = [new PackTensorContent("a", dtype, new Shape(2), Delta.Of(DType.U16, new Shape(2), TensorData.FromBytes(new byte[4]))), PackSamples.Raw("b", DType.U8, new Shape(2), [1, 2])],
            Blobs = [KeyValuePair.Create(BaseRecord.Blob, TensorData.FromBytes(Encoding.UTF8.GetBytes(record)))],
        },
        new PackOptions());

    private bool NeedsBase(string name)
    {
        using PackReader reader = PackReader.Open(_folder[name]);
        return reader.NeedsBase;
    }

    /// <summary>Some 16-bit patterns, chosen at random, one up or down.</summary>
    private static byte[] Moved(byte[] bytes, double share)
    {
        byte[] moved = [.. bytes];
        var random = new Random(77);
        foreach (ref ushort word in MemoryMarshal.Cast<byte, ushort>(moved.AsSpan()))
        {
            if (random.NextDouble() < share)
            {
                word = (ushort)(word + (random.Next(2) == 0 ? 1 : -1));
            }
        }

        return moved;
    }

    private string Safetensors(string name, params (string Name, string DType, long[] Shape, byte[] Bytes)[] tensors)
    {
        long at = 0;
        var entries = new List<string>();
        foreach ((string tensor, string dtype, long[] shape, byte[] bytes) in tensors)
        {
            entries.Add(string.Create(CultureInfo.InvariantCulture, $"\"{tensor}\":{{\"dtype\":\"{dtype}\",\"shape\":[{string.Join(',', shape)}],\"data_offsets\":[{at},{at += bytes.Length}]}}"));
        }

        string header = $"{{{string.Join(',', entries)}}}";
        return _folder.Write(name, [.. BitConverter.GetBytes((long)header.Length), .. Encoding.ASCII.GetBytes(header), .. tensors.SelectMany(t => t.Bytes)]);
    }
}
