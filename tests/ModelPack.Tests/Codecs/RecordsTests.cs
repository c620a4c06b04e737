using System.IO.Hashing;
using ModelPack.Codecs;
using ModelPack.Testing;
using ModelPack.Tests.Pack;
using Xunit;

namespace ModelPack.Tests.Codecs;

/// <summary>Codec <c>records</c>: fields put together.</summary>
[Trait("Category", "Simd")]
public sealed class RecordsTests
{
    private static readonly ICodec Codec = ModelPack.Codecs.Codecs.Get("records");

    public static TheoryData<string> Layouts => ["2/2/5 32", "16 64 2/2/5 2/2/5", "128 64 16 2/2/5", "1 16", "4/4/8 256 32/2/0", "3", "8/8/11 5 1", "48 4 2/2/5"];

    [Theory]
    [MemberData(nameof(Layouts))]
    public void TryDecode_everyNumberOfRecordsAndTail_givesTheOriginal(string text)
    {
        RecordLayout layout = Parse(text);
        var codec = new RecordsCodec(layout);
        int encoded = 0;
        foreach (int records in new[] { 1, 2, 3, 15, 16, 17, 100, 2000 })
        {
            foreach (int tail in new[] { 0, 1, layout.RecordBytes - 1 })
            {
                byte[] raw = [.. PackSamples.Random(records, (records * layout.RecordBytes) + tail).Select(b => (byte)(b & 0x17))];
                using PoisonBuffer room = PoisonBuffer.EndingAtGuard(raw.Length + 200);
                if (!codec.TryEncode(raw, DType.U8, room.GetSpan(), out int written))
                {
                    continue;
                }

                encoded++;
                using PoisonBuffer input = PoisonBuffer.Copy<byte>(room.GetSpan()[..written]);
                using PoisonBuffer output = PoisonBuffer.EndingAtGuard(raw.Length);
                Assert.True(Codec.TryDecode(input.GetSpan(), DType.Undefined, output.GetSpan()), $"{text}, {records} records, tail {tail}");
                Assert.True(raw.AsSpan().SequenceEqual(output.GetSpan()), $"{text}, {records} records, tail {tail}");
            }
        }

        Assert.True(encoded >= 20, $"{encoded}");
    }

    /// <summary>Two records of an f16 and one byte, and the tail 9: 0x3c00, 5 and 0xbc00, 5.</summary>
    private static byte[] ByHand() =>
    [
        2, 2, 0, 2, 5, 1, 0, 1, 0,
        0, 2, 0, 0, 0,
        2, 1, 0, 0, 0,
        2, 1, 0, 0, 0,
        0x78, 0x7c, 0, 5,
        9,
    ];

    [Fact]
    public void TryDecode_chunkMadeByHandFromTheSpecification_givesItsRecords()
    {
        byte[] raw = new byte[7];
        Assert.True(Codec.TryDecode(ByHand(), DType.U8, raw));
        Assert.Equal([0, 0x3c, 5, 0, 0xbc, 5, 9], raw);
    }

    [Theory]
    [InlineData("no field", 0, 0)]
    [InlineData("17 fields", 0, 17)]
    [InlineData("a field of no bytes", 1, 0)]
    [InlineData("a field that is no multiple of its width", 1, 3)]
    [InlineData("a field of 65282 bytes", 2, 255)]
    [InlineData("width 3", 3, 3)]
    [InlineData("width 0", 3, 0)]
    [InlineData("sign moved out of the element", 4, 16)]
    [InlineData("sign of a byte moved", 8, 1)]
    [InlineData("records longer than the chunk", 5, 9)]
    [InlineData("unknown mode", 9, 3)]
    [InlineData("mode Huffman", 9, 1)]
    [InlineData("a plane of no bytes", 10, 0)]
    [InlineData("a plane longer than the chunk", 11, 1)]
    [InlineData("a plane of negative length", 13, 255)]
    [InlineData("a plane of one byte too many", 15, 2)]
    public void TryDecode_hostileChunk_isRefused(string why, int at, int value)
    {
        byte[] chunk = ByHand();
        chunk[at] = (byte)value;
        using PoisonBuffer input = PoisonBuffer.Copy<byte>(chunk);
        using PoisonBuffer output = PoisonBuffer.EndingAtGuard(7);
        Assert.False(Codec.TryDecode(input.GetSpan(), DType.U8, output.GetSpan()), why);
    }

    [Fact]
    public void TryEncode_sameBytesOnEveryMachine()
    {
        var hashes = new List<string>();
        foreach (string text in new[] { "2/2/5 32", "128 64 16 2/2/5", "4/4/8 256 32/2/0" })
        {
            byte[] raw = [.. PackSamples.Random(5, 300_001).Select(b => (byte)(b & (b >> 3)))];
            byte[] room = new byte[raw.Length];
            Assert.True(new RecordsCodec(Parse(text)).TryEncode(raw, DType.U8, room, out int written));
            hashes.Add($"{written} {XxHash3.HashToUInt64(room.AsSpan(0, written)):x16}");
        }

        Assert.Equal(["147694 07a64911a327d66a", "147771 3bc70090f5383a5b", "147824 3acf1cb6e91fb2d3"], hashes);
    }

    private static RecordLayout Parse(string text) => new([.. text.Split(' ').Select(f => f.Split('/').Select(int.Parse).ToArray()).Select(f => f.Length == 1 ? new RecordField(f[0]) : new RecordField(f[0], f[1], f[2]))]);
}
