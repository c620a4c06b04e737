using System.Numerics;
using ModelPack.Testing;
using Xunit;

namespace ModelPack.Tests.Codecs;

/// <summary>Codec <c>ranks</c>: masks of bank-balanced tensors.</summary>
public sealed class RanksTests
{
    private static readonly ICodec Codec = ModelPack.Codecs.Codecs.Get("ranks");

    public static TheoryData<int, int> Groups => new()
    {
        { 16, 1 }, { 16, 3 }, { 16, 8 }, { 16, 15 }, { 32, 1 }, { 32, 4 }, { 32, 16 }, { 32, 31 }, { 64, 1 }, { 64, 2 }, { 64, 4 }, { 64, 8 }, { 64, 16 }, { 64, 32 }, { 64, 48 }, { 64, 63 },
    };

    [Theory]
    [MemberData(nameof(Groups))]
    public void TryDecode_everyLength_givesTheOriginal(int group, int kept)
    {
        foreach (int groups in Enumerable.Range(1, 70).Concat([1000, 5003]))
        {
            for (int tail = 0; tail < group / 8; tail += 1 + (groups % 3))
            {
                byte[] raw = [.. Make(group, kept, groups, groups), .. Enumerable.Repeat((byte)0xa5, tail)];
                using PoisonBuffer room = PoisonBuffer.EndingAtGuard(raw.Length + 20);
                room.GetSpan().Fill(0xff);
                Assert.True(Codec.TryEncode(raw, DType.U8, room.GetSpan(), out int written));
                using PoisonBuffer input = PoisonBuffer.Copy<byte>(room.GetSpan()[..written]);
                using PoisonBuffer output = PoisonBuffer.EndingAtGuard(raw.Length);
                output.GetSpan().Fill(0x5a);
                Assert.True(Codec.TryDecode(input.GetSpan(), DType.Undefined, output.GetSpan()), $"{groups} groups, tail {tail}");
                Assert.True(raw.AsSpan().SequenceEqual(output.GetSpan()), $"{groups} groups, tail {tail}");
            }
        }
    }

    /// <summary>Within 2 % of the entropy: log2 of the number of groups there are.</summary>
    [Theory]
    [MemberData(nameof(Groups))]
    public void TryEncode_randomGroups_isNearTheEntropy(int group, int kept)
    {
        byte[] raw = Make(group, kept, 40_000, 1);
        double entropy = 0;
        for (int i = 1; i <= kept; i++)
        {
            entropy += Math.Log2((double)(group - kept + i) / i);
        }

        Assert.True(Codec.TryEncode(raw, DType.U8, new byte[raw.Length + 100], out int written));
        Assert.InRange(8.0 * (written - 20) / 40_000, entropy * 0.99, entropy * 1.02);
    }

    /// <summary>Two groups of 16 bits with one bit each: places 3 and 15 are the number 3 + 16 · 15, 32 groups to a word of 128 bits but for what a word may hold.</summary>
    private static byte[] ByHand() => [16, 1, 0xf3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

    [Fact]
    public void TryDecode_chunkMadeByHandFromTheSpecification_givesItsBits()
    {
        // 16^g - 1 has 4 g digits for every g: the smallest g, 1, and words of 4 bits.
        byte[] raw = new byte[4];
        Assert.True(Codec.TryDecode(ByHand().AsSpan(0, 3), DType.U8, raw));
        Assert.Equal([8, 0, 0, 128], raw);

        // 120 ways to choose 2 of 16 (places 0 and 1: number 0; places 14 and 15: 14 + 105 = 119).
        Assert.True(Codec.TryEncode(new byte[] { 3, 0, 0, 0xc0 }, DType.U8, new byte[40], out int written));
        Assert.Equal(2 + ((WordBits(120) + 7) / 8), written);

        static int WordBits(int ways)
        {
            (int best, int bits) = (1, 7);
            BigInteger product = ways;
            for (int g = 2; product * ways < BigInteger.One << 128; g++)
            {
                product *= ways;
                int digits = (int)(product - 1).GetBitLength();
                (best, bits) = digits * best < bits * g ? (g, digits) : (best, bits);
            }

            return bits * ((2 + best - 1) / best);
        }
    }

    [Theory]
    [InlineData("groups of 8", 0, 8)]
    [InlineData("groups of 0", 0, 0)]
    [InlineData("groups of 64", 0, 64)]
    [InlineData("no bits", 1, 0)]
    [InlineData("all bits", 1, 16)]
    [InlineData("more bits than places", 1, 200)]
    public void TryDecode_hostileHeader_isRefused(string why, int at, int value)
    {
        byte[] chunk = ByHand()[..3];
        chunk[at] = (byte)value;
        using PoisonBuffer input = PoisonBuffer.Copy<byte>(chunk);
        using PoisonBuffer output = PoisonBuffer.EndingAtGuard(4);
        Assert.False(Codec.TryDecode(input.GetSpan(), DType.U8, output.GetSpan()), why);
    }

    [Fact]
    public void TryDecode_numberThatNoGroupHas_isRefused()
    {
        byte[] raw = Make(64, 8, 1, 1);
        byte[] room = new byte[100];
        Assert.True(Codec.TryEncode(raw, DType.U8, room, out int written));
        room.AsSpan(2, written - 3).Fill(0xff);
        Assert.False(Codec.TryDecode(room.AsSpan(0, written), DType.U8, raw));
    }

    [Fact]
    public void TryEncode_oneGroupWithAnotherNumber_givesUp()
    {
        byte[] raw = Make(64, 8, 1000, 1);
        raw[5000] ^= 1;
        Assert.False(Codec.TryEncode(raw, DType.U8, new byte[raw.Length], out _));
    }

    internal static byte[] Make(int group, int kept, int groups, int seed)
    {
        byte[] raw = new byte[groups * group / 8];
        var random = new Random(seed);
        int[] places = [.. Enumerable.Range(0, group)];
        for (int g = 0; g < groups; g++)
        {
            random.Shuffle(places);
            foreach (int place in places.AsSpan(0, kept))
            {
                raw[((g * group) + place) / 8] |= (byte)(1 << (place % 8));
            }
        }

        return raw;
    }
}
