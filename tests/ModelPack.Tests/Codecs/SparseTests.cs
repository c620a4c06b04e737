using System.Buffers.Binary;
using System.IO.Hashing;
using ModelPack.Testing;
using Xunit;

namespace ModelPack.Tests.Codecs;

/// <summary>Codec <c>sparse</c>: runs of zeros and the rest.</summary>
[Trait("Category", "Simd")]
public sealed class SparseTests
{
    private static readonly ICodec Codec = ModelPack.Codecs.Codecs.Get("sparse");

    public static TheoryData<DType, int> Widths => new() { { DType.U8, 1 }, { DType.I4, 1 }, { DType.U16, 2 }, { DType.BF16, 2 }, { DType.F16, 2 }, { DType.F32, 4 }, { DType.U32, 4 }, { DType.F64, 8 }, { DType.U64, 8 } };

    [Theory]
    [MemberData(nameof(Widths))]
    public void TryDecode_everyLengthAndDensity_givesTheOriginal(DType type, int width)
    {
        int encoded = 0;
        foreach (int length in Enumerable.Range(1, 140).Concat([1000, 4099, 70_003, 1 << 20]))
        {
            foreach (double density in new[] { 0, 1e-5, 1e-3, 0.015, 0.2, 0.7 })
            {
                byte[] raw = Make(length, width, density, length);
                using PoisonBuffer room = PoisonBuffer.EndingAtGuard(raw.Length + 64);
                if (!Codec.TryEncode(raw, type, room.GetSpan(), out int written))
                {
                    continue;
                }

                encoded++;
                using PoisonBuffer input = PoisonBuffer.Copy<byte>(room.GetSpan()[..written]);
                using PoisonBuffer output = PoisonBuffer.EndingAtGuard(raw.Length);
                output.GetSpan().Fill(0x5a);
                Assert.True(Codec.TryDecode(input.GetSpan(), DType.Undefined, output.GetSpan()), $"{type}, {length} bytes, density {density}");
                Assert.True(raw.AsSpan().SequenceEqual(output.GetSpan()), $"{type}, {length} bytes, density {density}");
            }
        }

        Assert.True(encoded > 500, $"{encoded}");
    }

    [Theory]
    [InlineData(0, 1, 0)]
    [InlineData(254, 1, 0)]
    [InlineData(255, 2, 0)]
    [InlineData(256, 2, 0)]
    [InlineData(510, 3, 0)]
    [InlineData(65_534, 1, 1)]
    [InlineData(65_535, 2, 1)]
    [InlineData(65_536, 2, 1)]
    [InlineData(131_070, 3, 1)]
    public void TryEncode_gapsAroundAFullWord_takeTheWordsOfTheSpecification(int gap, int words, int wide)
    {
        // One gap of that length before the first value, then values without gaps: enough of them for the width of words asked for.
        int values = wide == 1 ? 1 : 1 + (gap / 200);
        byte[] raw = new byte[gap + values];
        raw.AsSpan(gap).Fill(7);
        byte[] room = new byte[raw.Length + 100];
        if (!Codec.TryEncode(raw, DType.U8, room, out int written))
        {
            Assert.Equal(0, gap);
            return;
        }

        Assert.Equal(wide + 1, room[2]);
        Assert.Equal(words + values, BinaryPrimitives.ReadInt32LittleEndian(room.AsSpan(3)));
        Assert.Equal(values, BinaryPrimitives.ReadInt32LittleEndian(room.AsSpan(7)));
        byte[] back = new byte[raw.Length];
        Assert.True(Codec.TryDecode(room.AsSpan(0, written), DType.U8, back));
        Assert.Equal(raw, back);
    }

    /// <summary>Elements 0 0 1 0 0 0 0x0203 and the tail 9.</summary>
    private static byte[] ByHand() =>
    [
        2, 0, 1, 3, 0, 0, 0, 2, 0, 0, 0,
        0, 3, 0, 0, 0,
        0, 2, 0, 0, 0,
        0, 2, 0, 0, 0,
        2, 3, 0,
        0, 2,
        1, 3,
        9,
    ];

    [Fact]
    public void TryDecode_chunkMadeByHandFromTheSpecification_givesItsElements()
    {
        byte[] raw = new byte[15];
        Assert.True(Codec.TryDecode(ByHand(), DType.U16, raw));
        Assert.Equal([0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 3, 2, 9], raw);
    }

    [Theory]
    [InlineData("width 3", 0, 3)]
    [InlineData("sign moved out of the element", 1, 16)]
    [InlineData("gap words of 0 bytes", 2, 0)]
    [InlineData("gap words of 3 bytes", 2, 3)]
    [InlineData("fewer words than gaps", 3, 2)]
    [InlineData("more words than zeros can need", 3, 4)]
    [InlineData("words beyond the chunk", 6, 1)]
    [InlineData("words of a negative number", 6, 0x80)]
    [InlineData("more values than words end gaps", 7, 3)]
    [InlineData("fewer values than words end gaps", 7, 1)]
    [InlineData("values beyond the chunk", 10, 0x7f)]
    [InlineData("unknown mode", 11, 3)]
    [InlineData("mode Huffman", 11, 1)]
    [InlineData("mode constant of three bytes", 11, 2)]
    [InlineData("plane of no bytes", 12, 0)]
    [InlineData("plane longer than the chunk", 13, 1)]
    [InlineData("plane of negative length", 15, 0xff)]
    [InlineData("zeros beyond the end", 26, 3)]
    [InlineData("too few zeros", 26, 1)]
    [InlineData("a last gap that goes on", 28, 255)]
    public void TryDecode_hostileChunk_isRefused(string why, int at, int value)
    {
        byte[] chunk = ByHand();
        chunk[at] = (byte)value;
        using PoisonBuffer input = PoisonBuffer.Copy<byte>(chunk);
        using PoisonBuffer output = PoisonBuffer.EndingAtGuard(15);
        Assert.False(Codec.TryDecode(input.GetSpan(), DType.U16, output.GetSpan()), why);
    }

    [Fact]
    public void TryDecode_wordsOfALengthThatNoChunkCanNeed_areRefusedBeforeAnythingIsAllocated()
    {
        byte[] chunk = ByHand();
        BinaryPrimitives.WriteUInt32LittleEndian(chunk.AsSpan(3), 0x7fff_fff0);
        BinaryPrimitives.WriteUInt32LittleEndian(chunk.AsSpan(7), 0x7fff_ffef);
        long before = GC.GetAllocatedBytesForCurrentThread();
        Assert.False(Codec.TryDecode(chunk, DType.U16, new byte[15]));
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 1000);
    }

    [Fact]
    public void TryEncode_onePointFivePercentChangedByOne_isNearTheEntropy()
    {
        // 0.1124 bits for where plus 0.015 for the direction: 0.1274 bits per element, 1/125.6 of 16.
        byte[] raw = new byte[1 << 20];
        var random = new Random(3);
        for (int i = 0; i < raw.Length; i += 2)
        {
            raw[i] = random.NextDouble() < 0.015 ? (byte)(1 + random.Next(2)) : (byte)0;
        }

        byte[] room = new byte[raw.Length];
        Assert.True(Codec.TryEncode(raw, DType.U16, room, out int written));
        Assert.InRange((double)raw.Length / written, 119, 126);
    }

    [Fact]
    public void TryEncode_sameBytesOnEveryMachine()
    {
        var hashes = new List<string>();
        foreach ((DType type, int width, double density) in new[] { (DType.U8, 1, 0.1), (DType.U16, 2, 0.015), (DType.BF16, 2, 0.5), (DType.F32, 4, 0.001), (DType.U64, 8, 0.02) })
        {
            byte[] raw = Make(300_001, width, density, 7);
            byte[] room = new byte[raw.Length];
            Assert.True(Codec.TryEncode(raw, type, room, out int written));
            hashes.Add($"{type} {written} {XxHash3.HashToUInt64(room.AsSpan(0, written)):x16}");
        }

        Assert.Equal(["U8 44328 60568a673c7dfb02", "U16 6641 67090130aa74d374", "BF16 159755 baed3749646f8ea4", "F32 452 4049964d63975604", "U64 6856 b486da0e51e82470"], hashes);
    }

    /// <summary>Small numbers among zeros.</summary>
    private static byte[] Make(int length, int width, double density, int seed)
    {
        byte[] raw = new byte[length];
        var random = new Random(seed);
        for (int i = 0; i + width <= length; i += width)
        {
            if (random.NextDouble() < density)
            {
                random.NextBytes(raw.AsSpan(i, width));
                raw[i] |= 1;
            }
        }

        return raw;
    }
}
