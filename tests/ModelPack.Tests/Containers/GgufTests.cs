using System.Runtime.InteropServices;
using System.Security.Cryptography;
using ModelPack.Compiler;
using ModelPack.Containers.Gguf;
using ModelPack.Numbers;
using ModelPack.Pack;
using ModelPack.Testing;
using ModelPack.Tests.Cli;
using ModelPack.Tests.Numbers;
using ModelPack.Tests.Pack;
using ModelPack.Toolchain;
using Xunit;

namespace ModelPack.Tests.Containers;

public sealed class GgufTests : IDisposable
{
    private readonly TempFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    private static byte[] U64(ulong value) => BitConverter.GetBytes(value);

    private static byte[] U32(uint value) => BitConverter.GetBytes(value);

    private static GgufBytes Sample(uint version = 3, int alignment = 32)
    {
        var file = new GgufBytes { Version = version, Alignment = alignment };
        file.Pair("general.architecture", "llama")
            .Pair("u8", 0, 200).Pair("i8", 1, 200).Pair("u16", 2, 0xff, 0xff).Pair("i16", 3, 0xff, 0xff).Pair("i32", 5, 0xfe, 0xff, 0xff, 0xff)
            .Pair("f32", 6, BitConverter.GetBytes(1.5f)).Pair("no", 7, 0).Pair("yes", 7, 1).Pair("u64", 10, U64(ulong.MaxValue)).Pair("i64", 11, U64(ulong.MaxValue)).Pair("f64", 12, BitConverter.GetBytes(0.1))
            .Pair("list", 9, [.. U32(4), .. U64(10), .. Enumerable.Range(0, 10).SelectMany(i => U32((uint)i))])
            .Pair("words", 9, [.. U32(8), .. U64(2), .. GgufBytes.Text("a"), .. GgufBytes.Text("ü")])
            .Pair("nested", 9, [.. U32(9), .. U64(2), .. U32(0), .. U64(1), 7, .. U32(7), .. U64(0)]);
        if (alignment != 32)
        {
            file.Pair("general.alignment", 4, U32((uint)alignment));
        }

        return file
            .Tensor("token_embd.weight", [64, 3], 8, PackSamples.Random(1, 6 * 34))
            .Tensor("norm", [5], 0, PackSamples.F32(2, 5))
            .Tensor("half", [4, 2], 1, PackSamples.Random(3, 16))
            .Tensor("unknown.to.us", [256, 2], 13, PackSamples.Random(4, 352));
    }

    [Theory]
    [InlineData(2, 32)]
    [InlineData(3, 32)]
    [InlineData(3, 64)]
    [InlineData(3, 4096)]
    public void Read_everyTypeOfValue(uint version, int alignment)
    {
        string path = _folder.Write("m.gguf", Sample(version, alignment).Build());
        using MappedFile file = MappedFile.Open(path);
        GgufHeader header = GgufHeader.Read(file);

        Assert.Equal((int)version, header.Version);
        Assert.Equal(alignment, header.Alignment);
        Assert.Equal(
            [
                "general.architecture=llama", "u8=200", "i8=-56", "u16=65535", "i16=-1", "i32=-2", "f32=1.5", "no=false", "yes=true", "u64=18446744073709551615", "i64=-1", "f64=0.1",
                "list=10 x u32 [0, 1, 2, 3, 4, 5, 6, 7, ...]", "words=2 x string [a, ü]", "nested=2 x array [1 x u8 [7], 0 x bool []]",
            ],
            header.Metadata.Take(15).Select(m => $"{m.Key}={m.Value}"));
        Assert.Equal(["q8_0[3,64] 204", "f32[5] 20", "f16[2,4] 16", "q5_k[2,256] 352"], header.Tensors.Select(t => $"{t.Type.Name}{t.Shape} {t.LengthBytes}"));
        Assert.All(header.Tensors, t => Assert.Equal(0, t.OffsetBytes % alignment));
    }

    [Fact]
    public void Types_haveTheSizesOfGgml()
    {
        string all = string.Join(' ', GgufType.All.Select(t => $"{t.Id}:{t.Name}:{t.BlockValues}:{t.BlockBytes}"));
        Assert.Equal(
            "0:f32:1:4 1:f16:1:2 2:q4_0:32:18 3:q4_1:32:20 6:q5_0:32:22 7:q5_1:32:24 8:q8_0:32:34 9:q8_1:32:36 10:q2_k:256:84 11:q3_k:256:110 12:q4_k:256:144 13:q5_k:256:176 14:q6_k:256:210 15:q8_k:256:292 "
            + "16:iq2_xxs:256:66 17:iq2_xs:256:74 18:iq3_xxs:256:98 19:iq1_s:256:50 20:iq4_nl:32:18 21:iq3_s:256:110 22:iq2_s:256:82 23:iq4_xs:256:136 24:i8:1:1 25:i16:1:2 26:i32:1:4 27:i64:1:8 28:f64:1:8 "
            + "29:iq1_m:256:56 30:bf16:1:2 34:tq1_0:256:54 35:tq2_0:256:66 36:i2_s:4:1 38:tl1:4:1 39:mxfp4:32:17 40:nvfp4:64:36 41:q1_0:128:18 42:q2_0:64:18",
            all);
        foreach (GgufType type in GgufType.All.Where(t => t.Format is not null))
        {
            Assert.Equal(type.BlockBytes, NumberFormats.Bind(new UnitSpec(type.Format!), new Shape(1, type.BlockValues)).Streams[0].BytesPerRow);
        }
    }

    /// <summary>bitnet.cpp's files: i2_s with its scale behind it, tl1 with the scale listed as a tensor, tl2 under the number that mxfp4 has too.</summary>
    [Fact]
    public void BitNet_matrices_areListedPackedAndRead()
    {
        var random = new Random(7);
        sbyte[] trits = [.. Enumerable.Range(0, 3 * 256).Select(_ => (sbyte)random.Next(-1, 2))];
        byte[] codes = new byte[trits.Length / 4];
        for (int i = 0; i < trits.Length; i++)
        {
            codes[(i / 128 * 32) + (i % 32)] |= (byte)((trits[i] + 1) << (6 - (i % 128 / 32 * 2)));
        }

        byte[] scale = [.. BitConverter.GetBytes(0.0123f), .. new byte[28]];
        byte[] gguf = new GgufBytes()
            .Pair("general.architecture", "bitnet")
            .Tensor("i2", [256, 3], 36, [.. codes, .. scale])
            .Tensor("tl1", [64, 32], 38, PackSamples.Random(1, 512))
            .Tensor("tl1_scale", [1], 0, BitConverter.GetBytes(0.5f))
            .Tensor("tl2", [512, 96], 39, [.. PackSamples.Random(2, 11_264), .. scale])
            .Tensor("mx", [512, 96], 39, PackSamples.Random(3, 512 / 32 * 96 * 17))
            .Tensor("short rows", [64, 2], 36, [.. PackSamples.Random(4, 32), .. scale])
            .Tensor("no number", [128, 2], 36, [.. PackSamples.Random(5, 64), .. BitConverter.GetBytes(float.NaN), .. new byte[28]])
            .Tensor("norm", [5], 0, PackSamples.F32(2, 5))
            .Build();
        string path = _folder.Write("m.gguf", gguf);
        Assert.Equal(
            ["i2 i2_s 2 bitnet-i2_s(scale=0.0123)", "tl1 tl1 2 bitnet-tl1(scale=0.5,tiles=unknown)", "tl1_scale f32 32 f32", "tl2 tl2 1.8333 bitnet-tl2(scale=0.0123,tiles=unknown)", "mx mxfp4 4.25 gguf-mxfp4", "short rows i2_s 2 gguf-i2_s", "no number i2_s 2 gguf-i2_s", "norm f32 32 f32"],
            Inspection.Inspect(path).Tensors.Select(t => FormattableString.Invariant($"{t.Name} {t.DType} {t.BitsPerWeight} {t.Encoding}")));

        (int code, _, string errors) = CliHarness.Run("pack", path, "-o", _folder["m.mpack"]);
        Assert.True(code == 0, errors);
        Assert.Equal(0, CliHarness.Run("unpack", _folder["m.mpack"], "-o", _folder["back.gguf"]).ExitCode);
        Assert.Equal(gguf, File.ReadAllBytes(_folder["back.gguf"]));
        Assert.Equal(0, CliHarness.Run("unpack", _folder["m.mpack"], "--tensor", "i2", "--dtype", "f32", "-o", _folder["i2.bin"]).ExitCode);
        Assert.Equal(trits.Select(t => t * 0.0123f), MemoryMarshal.Cast<byte, float>(File.ReadAllBytes(_folder["i2.bin"])).ToArray());

        // A matrix whose scale is cut off ends behind the file.
        byte[] cut = new GgufBytes().Tensor("i2", [256, 3], 36, [.. codes, .. scale.AsSpan(0, 16)]).Build();
        ModelPackException e = Assert.Throws<ModelPackException>(() => Inspection.Inspect(_folder.Write("cut.gguf", cut.AsSpan()[..^16])));
        Assert.Equal(ErrorCodes.GgufDataPastEnd, e.Code);
    }

    [Fact]
    public void Inspect_listsTypesByTheirNames()
    {
        _folder.Write("m.gguf", Sample().Build());
        InspectResult result = Inspection.Inspect(_folder["m.gguf"]);
        Assert.Equal("gguf", result.Format);
        Assert.Equal(["q8_0 8.5", "f32 32", "f16 16", "q5_k 5.5"], result.Tensors.Select(t => FormattableString.Invariant($"{t.DType} {t.BitsPerWeight}")));
        Assert.Equal("3", result.Metadata["metadata.gguf.version"]);
        Assert.Equal("llama", result.Metadata["metadata.general.architecture"]);
        (int code, string output, _) = CliHarness.Run("inspect", _folder["m.gguf"]);
        Assert.Equal(0, code);
        Assert.Contains("token_embd.weight  q8_0", output, StringComparison.Ordinal);
        Assert.Contains("8.50", output, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("magic", 1400)]
    [InlineData("empty", 1400)]
    [InlineData("version 1", 1401)]
    [InlineData("version 4", 1401)]
    [InlineData("big-endian", 1402)]
    [InlineData("text past the end", 1403)]
    [InlineData("list past the end", 1403)]
    [InlineData("tensors", 1404)]
    [InlineData("pairs", 1404)]
    [InlineData("empty key", 1405)]
    [InlineData("long key", 1405)]
    [InlineData("key not UTF-8", 1405)]
    [InlineData("key twice", 1406)]
    [InlineData("value type", 1407)]
    [InlineData("item type", 1407)]
    [InlineData("bool 2", 1408)]
    [InlineData("deep list", 1408)]
    [InlineData("alignment 0", 1409)]
    [InlineData("alignment 24", 1409)]
    [InlineData("alignment u64", 1409)]
    [InlineData("empty name", 1410)]
    [InlineData("name twice", 1411)]
    [InlineData("five dimensions", 1412)]
    [InlineData("huge dimension", 1412)]
    [InlineData("huge product", 1412)]
    [InlineData("type 4", 1413)]
    [InlineData("type 99", 1413)]
    [InlineData("rows of 33", 1414)]
    [InlineData("offset 8", 1415)]
    [InlineData("past the end", 1416)]
    [InlineData("offset 2^63", 1416)]
    [InlineData("overlap", 1417)]
    [InlineData("twice the same", 1417)]
    public void Import_whatIsWrong_hasItsOwnCode(string what, int code)
    {
        var f = new GgufBytes();
        byte[] q8 = new byte[34];
        byte[] bytes = what switch
        {
            "magic" => [.. "GGUX"u8, .. f.Build()[4..]],
            "empty" => [],
            "version 1" => new GgufBytes { Version = 1 }.Build(),
            "version 4" => new GgufBytes { Version = 4 }.Build(),
            "big-endian" => new GgufBytes { Version = 0x03000000 }.Build(),
            "text past the end" => f.Pair("k", 8, U64(1000)).Build(),
            "list past the end" => f.Pair("k", 9, [.. U32(10), .. U64(1000)]).Build(),
            "tensors" => new GgufBytes { TensorCount = 1 << 20 }.Build(),
            "pairs" => new GgufBytes { PairCount = ulong.MaxValue }.Build(),
            "empty key" => f.Pair("", 0, 1).Build(),
            "long key" => f.Pair(new string('k', 65_536), 0, 1).Build(),
            "key not UTF-8" => [.. f.Pair("key", 0, 1).Build().Select((b, i) => i == 33 ? (byte)0xff : b)],
            "key twice" => f.Pair("k", 0, 1).Pair("k", 0, 2).Build(),
            "value type" => f.Pair("k", 13, 1).Build(),
            "item type" => f.Pair("k", 9, [.. U32(13), .. U64(0)]).Build(),
            "bool 2" => f.Pair("k", 7, 2).Build(),
            "deep list" => f.Pair("k", 9, [.. Enumerable.Repeat<byte[]>([.. U32(9), .. U64(1)], 6).SelectMany(b => b), .. U32(0), .. U64(0)]).Build(),
            "alignment 0" => f.Pair("general.alignment", 4, U32(0)).Build(),
            "alignment 24" => f.Pair("general.alignment", 4, U32(24)).Build(),
            "alignment u64" => f.Pair("general.alignment", 10, U64(32)).Build(),
            "empty name" => f.Tensor("", [1], 0, new byte[4]).Build(),
            "name twice" => f.Tensor("a", [1], 0, new byte[4]).Tensor("a", [1], 0, new byte[4]).Build(),
            "five dimensions" => f.Tensor("a", [1, 1, 1, 1, 1], 0, new byte[4]).Build(),
            "huge dimension" => f.Tensor("a", [ulong.MaxValue], 0, new byte[4]).Build(),
            "huge product" => f.Tensor("a", [1UL << 40, 1UL << 40], 0, new byte[4]).Build(),
            "type 4" => f.Tensor("a", [32], 4, q8).Build(),
            "type 99" => f.Tensor("a", [32], 99, q8).Build(),
            "rows of 33" => f.Tensor("a", [33, 32], 8, q8).Build(),
            "offset 8" => f.Tensor("a", [32], 8, q8, offset: 8).Build(),
            "past the end" => f.Tensor("a", [32, 3], 8, q8).Build(),
            "offset 2^63" => f.Tensor("a", [32], 8, q8, offset: 1UL << 63).Build(),
            "overlap" => f.Tensor("a", [32, 2], 8, new byte[68]).Tensor("b", [32], 8, q8, offset: 64).Build(),
            _ => f.Tensor("a", [32], 8, q8).Tensor("b", [32], 8, q8, offset: 0).Build(),
        };
        string path = _folder.Write("m.gguf", bytes);
        var e = Assert.Throws<ModelPackException>(() => Container().Import(path));
        Assert.Equal(code, e.Code.Number);
        Assert.Equal(path, e.Path);
        Assert.Equal(code, Assert.Throws<ModelPackException>(() => Container().Map(path)).Code.Number);
    }

    [Fact]
    public void Import_everyTruncation_isAnErrorOfTheFile()
    {
        byte[] whole = Sample().Build();
        for (int length = 0; length < whole.Length - 32; length++)
        {
            string path = _folder.Write("m.gguf", whole.AsSpan(0, length));
            var e = Assert.Throws<ModelPackException>(() => Container().Import(path));
            Assert.InRange(e.Code.Number, 1400, 1417);
        }
    }

    [Fact]
    public void Import_tenThousandMutations_neverCrashesAndRangesStayInside()
    {
        byte[] whole = Sample().Build();
        FuzzReport report = Fuzzer.Fuzz(
            whole,
            10_000,
            bytes =>
            {
                string path = _folder.Write("f.gguf", bytes);
                IReadOnlyList<FileMap> maps = Container().Map(path);
                using MappedFile file = maps[0].File;
                long end = 0;
                foreach (TensorRange range in maps[0].Ranges)
                {
                    Assert.True(range.OffsetBytes >= end && range.LengthBytes > 0 && range.LengthBytes <= file.LengthBytes - range.OffsetBytes, $"{range}");
                    end = range.OffsetBytes + range.LengthBytes;
                }
            },
            hotBytes: 700);
        Assert.True(report.RejectedCount > 1000, $"{report}");
        Assert.True(report.Accepted > 1000, $"{report}");
    }

    public static TheoryData<string> BlockTypes => [.. GgufType.All.Where(t => t.Records is not null).Select(t => t.Name)];

    [Theory]
    [MemberData(nameof(BlockTypes))]
    public void Pack_everyBlockType_comesBack(string name)
    {
        GgufType type = GgufType.All.Single(t => t.Name == name);
        foreach (int rows in new[] { 1, 7, 4000 })
        {
            // Scales that repeat their high byte and codes of few values: something to gain in every field.
            byte[] blocks = PackSamples.Random(rows, rows * 2 * type.BlockBytes);
            for (int i = 0; i < blocks.Length; i++)
            {
                blocks[i] &= 0x33;
            }

            byte[] file = Sample().Tensor("blocks", [(ulong)(2 * type.BlockValues), (ulong)rows], (uint)type.Id, blocks).Build();
            FilePacking.Pack(_folder.Write("m.gguf", file), _folder["m.mpack"], threads: 2);
            FilePacking.Unpack(_folder["m.mpack"], _folder["back.gguf"]);
            Assert.Equal(SHA256.HashData(file), SHA256.HashData(File.ReadAllBytes(_folder["back.gguf"])));
            using PackReader reader = PackReader.Open(_folder["m.mpack"]);
            PackTensor tensor = reader.Find("blocks")!;
            Assert.Equal(type.Format ?? "u8", tensor.Encoding.Describe());
            Assert.True(rows < 100 || tensor.Streams[0].Stream.Codec is "records" or "huffman", tensor.Streams[0].Stream.Codec);
            Assert.Equal(0, tensor.Streams[0].Stream.ChunkBytes % type.BlockBytes);
        }
    }

    [Theory]
    [InlineData("q4_0")]
    [InlineData("q8_0")]
    [InlineData("q4_K")]
    [InlineData("q6_K")]
    [InlineData("tq1_0")]
    public void Tensor_ofAPackedFile_hasTheValuesOfGgml(string name)
    {
        GgufType type = GgufType.All.Single(t => t.Name.Equals(name, StringComparison.OrdinalIgnoreCase));
        byte[] blocks = Golden.Bytes($"gguf/normal_{name}.bin");
        float[] expected = Golden.Floats($"gguf/normal_{name}_dec.bin");
        FilePacking.Pack(_folder.Write("m.gguf", new GgufBytes().Tensor("w", [256, (ulong)expected.Length / 256], (uint)type.Id, blocks).Build()), _folder["m.mpack"]);
        TensorExtraction.Extract(_folder["m.mpack"], _folder["w.npy"], ["w"]);
        using NpyFile npy = NpyFile.Open(_folder["w.npy"]);
        Assert.Equal(new Shape(expected.Length / 256, 256), npy.Shape);
        Assert.Equal(expected, System.Runtime.InteropServices.MemoryMarshal.Cast<byte, float>(npy.Data.ToArray()).ToArray());
    }

    [Fact]
    public void Export_byTheContainer_isRefused()
    {
        string path = _folder.Write("m.gguf", Sample().Build());
        using ImportedModel imported = Container().Import(path);
        Assert.Equal(ErrorCodes.ExportNotPossible, Assert.Throws<ModelPackException>(() => Container().Export(imported.Model, _folder["x.gguf"], _ => TensorData.Empty)).Code);
    }

    [Fact]
    public void Delta_ofBlocks_isSmall()
    {
        byte[] blocks = PackSamples.Random(1, 4000 * 34);
        string old = _folder.Write("old.gguf", new GgufBytes().Tensor("w", [32, 4000], 8, blocks).Tensor("f", [5], 0, PackSamples.F32(2, 5)).Build());
        blocks[99]++;
        string now = _folder.Write("new.gguf", new GgufBytes().Tensor("w", [32, 4000], 8, blocks).Tensor("f", [5], 0, PackSamples.F32(2, 5)).Build());
        FilePacking.Pack(old, _folder["old.mpack"]);
        foreach (string basis in new[] { old, _folder["old.mpack"] })
        {
            Assert.InRange(FilePacking.Pack(now, _folder["d.mpack"], against: basis).OutputBytes, 1, 4000);
            FilePacking.Unpack(_folder["d.mpack"], _folder["back"], against: old);
            Assert.Equal(File.ReadAllBytes(now), File.ReadAllBytes(_folder["back"]));
        }
    }

    private static IContainer Container() => ModelPack.Containers.Containers.All.Single(c => c.Id == "gguf");
}
