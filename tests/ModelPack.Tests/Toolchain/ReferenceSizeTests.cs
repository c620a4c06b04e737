using System.Runtime.InteropServices;
using ModelPack.Codecs;
using ModelPack.Toolchain;
using Xunit;

namespace ModelPack.Tests.Toolchain;

/// <summary>The sizes that codecs are measured by, on data whose entropy is known.</summary>
public sealed class ReferenceSizeTests
{
    private const int Elements = 1 << 20;

    [Fact]
    public void ZipNn_twoEquallyFrequentExponents_oneBitEachAndTheMantissaRaw()
    {
        byte[] tensor = Bf16((i, random) => 120 + random.Next(2));
        const int chunks = Elements * 2 / (256 << 10);

        // Per chunk: one bit a weight in Huffman, with jump table and code table; a raw byte a weight; 9 bytes for each of two groups.
        Assert.InRange(ZipNnSize.Of(tensor, DType.BF16) - 32 - Elements - (Elements / 8), chunks * (6 + 15 + 18), chunks * (6 + 30 + 18));
    }

    [Fact]
    public void ZipNn_unknownType_isStored() => Assert.Equal(32 + 1000, ZipNnSize.Of(new byte[1000], DType.I8));

    [Fact]
    public void ZipNn_constantGroups_takeAByte()
    {
        const int chunks = 4;
        Assert.Equal(32 + (chunks * 4 * 10), ZipNnSize.Of(new byte[chunks * (256 << 10)], DType.F32));
    }

    [Fact]
    public void StaticBound_blocksOfTwoKinds_paysForLabelsNotForTheMixture()
    {
        // Each block of 256 has one exponent of its own: nothing but labels and tables is needed for the exponents.
        byte[] tensor = Bf16((i, random) => 100 + (i / 256 * 7 % 16));
        const int blocks = Elements / 256;

        Assert.InRange(StaticBound.Bytes(tensor, DType.BF16) - Elements, blocks / 2, (blocks / 2) + 100);
    }

    [Fact]
    public void StaticBound_uniformExponents_isTheirEntropy()
    {
        byte[] tensor = Bf16((i, random) => 100 + random.Next(16));

        Assert.InRange((StaticBound.Bytes(tensor, DType.BF16) - Elements) / (Elements / 2), 0.9999, 1.001);
    }

    [Fact]
    public void StaticBound_mantissaBitThatFollowsTheExponent_isGainedOnlyJointly()
    {
        // The first bit of the mantissa is the lowest of the exponent.
        var random = new Random(5);
        ushort[] words = [.. Enumerable.Range(0, Elements).Select(_ =>
        {
            int exponent = 100 + random.Next(16);
            return (ushort)((random.Next(2) << 15) | (exponent << 7) | ((exponent & 1) << 6) | random.Next(64));
        })];
        ReadOnlySpan<byte> tensor = MemoryMarshal.AsBytes<ushort>(words);

        double apart = StaticBound.Bytes(tensor, DType.BF16);
        double joint = StaticBound.Bytes(tensor, DType.BF16, topMantissaBit: true);
        Assert.InRange((apart - joint) / (Elements / 8.0), 0.98, 1.02);
    }

    [Theory]
    [InlineData(DType.F32)]
    [InlineData(DType.F64)]
    [InlineData(DType.F16)]
    [InlineData(DType.F8E4M3FN)]
    [InlineData(DType.F8E5M2)]
    [InlineData(DType.U8)]
    [InlineData(DType.I64)]
    public void Sizes_noise_areThatOfTheTensor(DType type)
    {
        byte[] tensor = new byte[(1 << 18) + 3];
        new Random(6).NextBytes(tensor);

        Assert.InRange(StaticBound.Bytes(tensor, type), tensor.Length * 0.999, tensor.Length);
        Assert.InRange(ZipNnSize.Of(tensor, type), tensor.Length, tensor.Length + 500);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    public void Sizes_lessThanAnElement_isThatOfTheTensor(int length)
    {
        Assert.Equal(32 + length, ZipNnSize.Of(new byte[length], DType.BF16));
        Assert.Equal(length, StaticBound.Bytes(new byte[length], DType.BF16));
    }

    private static byte[] Bf16(Func<int, Random, int> exponent)
    {
        var random = new Random(3);
        ushort[] words = [.. Enumerable.Range(0, Elements).Select(i => (ushort)((exponent(i, random) << 7) | random.Next(128) | (random.Next(2) << 15)))];
        return MemoryMarshal.AsBytes<ushort>(words).ToArray();
    }
}
