using ModelPack.Codecs;
using ModelPack.Pack;
using Xunit;

namespace ModelPack.Tests.Pack;

/// <summary>Where a codec that decodes more slowly is worth what it gains.</summary>
public sealed class CodecChoiceTests
{
    /// <summary>rANS on codes gains a few percent here at any length; short streams still take the codec that opens faster.</summary>
    [Theory]
    [InlineData(CodecLevel.Default, 60_000, "huffman")]
    [InlineData(CodecLevel.Fast, 60_000, "huffman")]
    [InlineData(CodecLevel.Max, 60_000, "codes-rans")]
    [InlineData(CodecLevel.Default, 70_000, "codes-rans")]
    public void Codes_shortStreamsAreNotWorthTheTables(CodecLevel level, int length, string expected)
    {
        byte[] codes = [.. PackSamples.Random(6, length).Select((b, i) => (byte)(i / 8192 % 2 == 0 ? b & 0x33 : b & 0x8f))];
        Assert.Equal(expected, StreamCodecs.Choose(level, DType.I8, TensorData.FromBytes(codes))?.Id);
    }

    /// <summary>Frequencies of almost whole bits: Huffman is within half a percent, and rANS, smaller by less, is taken only where size is all that counts.</summary>
    [Fact]
    public void Codes_gainOfLessThanHalfAPercent_isNotWorthIt()
    {
        // 16 symbols, geometric: every code word is as long as the information it carries; a slight tilt leaves rANS a little.
        var random = new Random(4);
        byte[] codes = [.. Enumerable.Range(0, 200_000).Select(_ => (byte)(Math.Min(15, System.Numerics.BitOperations.TrailingZeroCount(random.Next() | (1 << 15)))))];
        Assert.Equal("huffman", StreamCodecs.Choose(CodecLevel.Default, DType.I8, TensorData.FromBytes(codes))?.Id);
    }

    [Fact]
    public void Planes_anyGainThatIsNotNoise_isTaken()
    {
        byte[] weights = PackSamples.Bf16(3, 600_000);
        byte[] huffman = new byte[weights.Length];
        byte[] rans = new byte[weights.Length];
        Assert.True(ModelPack.Codecs.Codecs.Get("planes-huffman").TryEncode(weights, DType.BF16, huffman, out int h));
        Assert.True(ModelPack.Codecs.Codecs.Get("planes-rans").TryEncode(weights, DType.BF16, rans, out int r));
        Assert.InRange(r, 1, h - (h / 1000));
        Assert.Equal("planes-rans", StreamCodecs.Choose(CodecLevel.Default, DType.BF16, TensorData.FromBytes(weights))?.Id);
    }
}
