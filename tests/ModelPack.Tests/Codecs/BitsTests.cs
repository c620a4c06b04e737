using System.Buffers.Binary;
using System.Numerics;
using ModelPack.Testing;
using Xunit;

namespace ModelPack.Tests.Codecs;

/// <summary>Codec <c>bits</c>: masks of sparse tensors.</summary>
public sealed class BitsTests
{
    private static readonly ICodec Codec = ModelPack.Codecs.Codecs.Get("bits");

    [Fact]
    public void TryDecode_everyLengthAndDensity_givesTheOriginal()
    {
        int encoded = 0;
        foreach (int length in Enumerable.Range(1, 140).Concat([1000, 4099, 70_003]))
        {
            foreach (double density in new[] { 0, 1e-5, 1e-3, 0.02, 0.1, 0.3, 0.5, 0.8, 0.99, 1 })
            {
                byte[] raw = Make(length, density, length);
                using PoisonBuffer room = PoisonBuffer.EndingAtGuard(raw.Length + 64);
                if (!Codec.TryEncode(raw, DType.U8, room.GetSpan(), out int written))
                {
                    continue;
                }

                encoded++;
                using PoisonBuffer input = PoisonBuffer.Copy<byte>(room.GetSpan()[..written]);
                using PoisonBuffer output = PoisonBuffer.EndingAtGuard(raw.Length);
                output.GetSpan().Fill(0x5a);
                Assert.True(Codec.TryDecode(input.GetSpan(), DType.Undefined, output.GetSpan()), $"{length} bytes, density {density}");
                Assert.True(raw.AsSpan().SequenceEqual(output.GetSpan()), $"{length} bytes, density {density}");
            }
        }

        Assert.True(encoded > 800, $"{encoded}");
    }

    /// <summary>From one in four to one in ten thousand, and as many zeros among ones: within 2 % of the entropy.</summary>
    [Theory]
    [InlineData(0.25)]
    [InlineData(0.1)]
    [InlineData(0.05)]
    [InlineData(0.01)]
    [InlineData(0.001)]
    [InlineData(0.0001)]
    [InlineData(0.9)]
    [InlineData(0.99)]
    public void TryEncode_randomBits_isNearTheEntropy(double density)
    {
        byte[] raw = Make(1 << 20, density, 3);
        double bits = 8.0 * raw.Length;
        double p = raw.Sum(b => BitOperations.PopCount(b)) / bits;
        double entropy = bits * -((p * Math.Log2(p)) + ((1 - p) * Math.Log2(1 - p))) / 8;
        byte[] room = new byte[raw.Length];
        Assert.True(Codec.TryEncode(raw, DType.U8, room, out int written));
        Assert.InRange(written, entropy * 0.99, (entropy * 1.02) + 100);
    }

    /// <summary>Bits 2 and 20 of three bytes.</summary>
    private static byte[] ByHand() => [0, 1, 3, 0, 0, 0, 2, 0, 0, 0, 0, 3, 0, 0, 0, 2, 17, 3];

    [Fact]
    public void TryDecode_chunkMadeByHandFromTheSpecification_givesItsBits()
    {
        byte[] raw = new byte[3];
        Assert.True(Codec.TryDecode(ByHand(), DType.U8, raw));
        Assert.Equal([4, 0, 16], raw);
        byte[] reversed = ByHand();
        reversed[0] = 1;
        Assert.True(Codec.TryDecode(reversed, DType.U8, raw));
        Assert.Equal([0xfb, 0xff, 0xef], raw);
    }

    [Theory]
    [InlineData("reversal 2", 0, 2)]
    [InlineData("gap words of 0 bytes", 1, 0)]
    [InlineData("gap words of 3 bytes", 1, 3)]
    [InlineData("gap words of 2 bytes, one plane", 1, 2)]
    [InlineData("fewer words than gaps", 2, 2)]
    [InlineData("more words than zeros can need", 2, 4)]
    [InlineData("words beyond the chunk", 5, 1)]
    [InlineData("words of a negative number", 5, 0x80)]
    [InlineData("more bits than words end gaps", 6, 3)]
    [InlineData("fewer bits than words end gaps", 6, 1)]
    [InlineData("bits beyond the chunk", 9, 0x7f)]
    [InlineData("unknown mode", 10, 3)]
    [InlineData("mode constant of three bytes", 10, 2)]
    [InlineData("plane of no bytes", 11, 0)]
    [InlineData("plane longer than the chunk", 12, 1)]
    [InlineData("plane of negative length", 14, 0xff)]
    [InlineData("zeros beyond the end", 16, 18)]
    [InlineData("too few zeros", 17, 2)]
    [InlineData("a last gap that goes on", 17, 255)]
    public void TryDecode_hostileChunk_isRefused(string why, int at, int value)
    {
        byte[] chunk = ByHand();
        chunk[at] = (byte)value;
        using PoisonBuffer input = PoisonBuffer.Copy<byte>(chunk);
        using PoisonBuffer output = PoisonBuffer.EndingAtGuard(3);
        Assert.False(Codec.TryDecode(input.GetSpan(), DType.U8, output.GetSpan()), why);
    }

    [Fact]
    public void TryDecode_wordsOfALengthThatNoChunkCanNeed_areRefusedBeforeAnythingIsAllocated()
    {
        byte[] chunk = ByHand();
        BinaryPrimitives.WriteUInt32LittleEndian(chunk.AsSpan(2), 0x7fff_fff0);
        BinaryPrimitives.WriteUInt32LittleEndian(chunk.AsSpan(6), 0x7fff_ffef);
        long before = GC.GetAllocatedBytesForCurrentThread();
        Assert.False(Codec.TryDecode(chunk, DType.U8, new byte[3]));
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 1000);
    }

    [Fact]
    public void TryEncode_dense_givesUp()
    {
        byte[] raw = Make(10_000, 0.5, 1);
        Assert.False(Codec.TryEncode(raw, DType.U8, new byte[20_000], out _));
    }

    internal static byte[] Make(int length, double density, int seed)
    {
        byte[] raw = new byte[length];
        var random = new Random(seed);
        for (int i = 0; i < 8 * length; i++)
        {
            raw[i / 8] |= (byte)((random.NextDouble() < density ? 1 : 0) << (i % 8));
        }

        return raw;
    }
}
