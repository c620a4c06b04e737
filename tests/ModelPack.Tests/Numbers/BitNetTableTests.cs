using System.Buffers.Binary;
using ModelPack.Numbers;
using ModelPack.Testing;
using Xunit;

namespace ModelPack.Tests.Numbers;

/// <summary>
/// TL1 and TL2 against a packer written from bitnet.cpp's published description alone: the matrix of indexes is reshaped to tiles, its axes are put into the order of the file, and what then lies side by side
/// becomes a byte. It shares nothing with the kernels or with <see cref="BitNetTables"/>, and is held to the golden vectors itself.
/// </summary>
[Trait("Category", "Simd")]
public sealed class BitNetTableTests
{
    private const float Scale = 0.0371f;

    [Fact]
    public void Packer_ofTheseTests_equals_golden()
    {
        Assert.Equal(Golden.Bytes("bitnet/tl1_128x256.bin"), PackTl1(GoldenTrits("tl1_128x256"), 128, 256, (64, 64, 32)));
        byte[] golden = Golden.Bytes("bitnet/tl2_128x448.bin");
        byte[] own = PackTl2(GoldenTrits("tl2_128x448"), 128, 448, (64, 96, 32));
        Assert.Equal(golden[..own.Length], own);
        Assert.True(!golden.AsSpan(own.Length).ContainsAnyExcept((byte)0));
    }

    /// <summary>Shapes and tiles that bitnet.cpp publishes, as far as they are quick to test, and every kind of tile beside them.</summary>
    [Theory]
    [InlineData("bitnet-tl1", 1536, 1536, "128x64x64")]
    [InlineData("bitnet-tl1", 320, 384, "160x64x32")]
    [InlineData("bitnet-tl1", 640, 256, "320x128x64")]
    [InlineData("bitnet-tl1", 96, 96, "48x32x16")]
    [InlineData("bitnet-tl2", 1536, 1536, "128x192x32")]
    [InlineData("bitnet-tl2", 640, 3200, "320x96x32")]
    [InlineData("bitnet-tl2", 256, 4096, "128x96x32")]
    [InlineData("bitnet-tl2", 64, 448, "32x192x32")]
    [InlineData("bitnet-tl2", 32, 64, "32x96x32")]
    [InlineData("bitnet-tl2", 32, 288, "32x288x32")]
    public void Rows_equal_the_packer_bit_for_bit_on_every_tier(string id, int rows, int columns, string tiles)
    {
        sbyte[] trits = Trits((ulong)(rows + columns), rows * columns);
        float[] values = [.. trits.Select(t => t * Scale)];
        int[] sizes = [.. tiles.Split('x').Select(int.Parse)];
        byte[] expected = id == "bitnet-tl1" ? PackTl1(trits, rows, columns, (sizes[0], sizes[1], sizes[2])) : PackTl2(trits, rows, columns, (sizes[0], sizes[1], sizes[2]));
        foreach (SimdTier tier in SimdTiers.Supported)
        {
            IBoundNumberFormat bound = Bind(id, tiles, new Shape(rows, columns), tier);
            byte[][] streams = NumberFormatContractTests.Encode(bound, values, 1);
            Assert.Equal(expected, streams.SelectMany(s => s));
            Assert.Equal(values, NumberFormatContractTests.Decode(bound, streams, int.MaxValue));
        }
    }

    /// <summary>Rows and columns that fill no tile are padded; what comes back is what went in.</summary>
    [Fact]
    public void Any_shape_comes_back_and_any_rows_can_be_read()
    {
        var random = new SplitMix(4);
        for (int round = 0; round < 60; round++)
        {
            string id = round % 2 == 0 ? "bitnet-tl1" : "bitnet-tl2";
            string tiles = id == "bitnet-tl2" ? "64x96x32" : new[] { "32x64x32", "64x16x64", "48x16x16" }[random.Below(3)];
            int rows = random.Between(1, 200);
            int columns = random.Between(1, 330);
            float[] values = [.. Trits((ulong)round, rows * columns).Select(t => t * Scale)];
            IBoundNumberFormat bound = Bind(id, tiles, new Shape(rows, columns), SimdTiers.Current);
            byte[][] streams = NumberFormatContractTests.Encode(bound, values, int.MaxValue);
            Assert.Equal(values, NumberFormatContractTests.Decode(bound, streams, 1));

            int group = (int)bound.Shape.Columns / columns;
            int first = random.Below(group);
            int count = random.Between(1, group - first);
            var grouped = (IGroupedRowFormat)bound;
            ReadOnlyMemory<byte>[] parts =
            [
                .. streams.Select((s, i) =>
                {
                    (int offset, int length) = grouped.Part(i, first, count);
                    return s.AsMemory(offset, length);
                }),
            ];
            using PoisonBuffer some = PoisonBuffer.EndingAtGuard(count * columns * 4);
            grouped.DecodePart(parts, first, count, some.As<float>());
            Assert.True(some.As<float>().SequenceEqual(values.AsSpan(first * columns, count * columns)), $"{id}({tiles}) [{rows},{columns}] rows {first}+{count}, round {round}");
        }
    }

    [Fact]
    public void Indexes_that_stand_for_no_weights_areMP1023()
    {
        foreach ((string id, int stream, byte bad) in new[] { ("bitnet-tl1", 0, (byte)0x09), ("bitnet-tl1", 0, (byte)0x90), ("bitnet-tl2", 0, (byte)0xE1), ("bitnet-tl2", 2, (byte)0x0A) })
        {
            IBoundNumberFormat bound = Bind(id, id == "bitnet-tl1" ? "32x64x32" : "32x96x32", new Shape(64, 128), SimdTiers.Current);
            byte[][] streams = NumberFormatContractTests.Encode(bound, new float[64 * 128], int.MaxValue);
            streams[stream][^1] = bad;
            ModelPackException e = Assert.Throws<ModelPackException>(() => NumberFormatContractTests.Decode(bound, streams, int.MaxValue));
            Assert.Equal(ErrorCodes.BadStream, e.Code);
            Assert.Contains($"{bad:X2}", e.Message, StringComparison.Ordinal);
        }
    }

    [Theory]
    [InlineData("bitnet-tl1(tiles=64x64)", "not of the form")]
    [InlineData("bitnet-tl1(tiles=064x64x32)", "not of the form")]
    [InlineData("bitnet-tl1(tiles=64x64x-32)", "not of the form")]
    [InlineData("bitnet-tl1(tiles=64x64x24)", "not tiles of a kernel")]
    [InlineData("bitnet-tl1(tiles=48x64x32)", "not tiles of a kernel")]
    [InlineData("bitnet-tl1(tiles=64x4x32)", "not tiles of a kernel")]
    [InlineData("bitnet-tl1(tiles=0x64x32)", "not tiles of a kernel")]
    [InlineData("bitnet-tl2(tiles=64x96x64)", "not tiles of a kernel")]
    [InlineData("bitnet-tl2(tiles=64x64x32)", "not tiles of a kernel")]
    [InlineData("bitnet-tl2(tiles=unknown)", "[64,96]")]
    [InlineData("bitnet-tl2(tiles=unknown)", "kernel_config.ini")]
    [InlineData("bitnet-tl1(scale=-2)", "negative")]
    public void Wrong_arguments_areMP1022(string spec, string message)
    {
        ModelPackException e = Assert.Throws<ModelPackException>(() => NumberFormats.Bind(UnitSpec.Parse(spec), new Shape(64, 96)));
        Assert.Equal(ErrorCodes.BadUnitArgument, e.Code);
        Assert.Contains(message, e.Message, StringComparison.Ordinal);
    }

    /// <summary>TL1 of a matrix of trits.</summary>
    internal static byte[] PackTl1(sbyte[] trits, int rows, int columns, (int Bm, int Bk, int Bmm) tiles)
    {
        int by = 256 / tiles.Bmm;
        int[] indexes = [.. trits.Chunk(2).Select(p => (3 * p[0]) + p[1] + 4)];
        return Joined(Transposed(indexes, [rows / tiles.Bm, tiles.Bm / tiles.Bmm, tiles.Bmm / 16, 16, columns / tiles.Bk, tiles.Bk / by, by / 4, 2], [0, 4, 1, 5, 2, 6, 3, 7]));
    }

    /// <summary>TL2 of a matrix of trits, without the zeros behind it.</summary>
    internal static byte[] PackTl2(sbyte[] trits, int rows, int columns, (int Bm, int Bk, int Bmm) tiles)
    {
        int threes = columns / tiles.Bk * tiles.Bk;
        int[] triples = [.. trits.Chunk(columns).SelectMany(r => r[..threes].Chunk(3)).Select(t => (9 * t[0]) + (3 * t[1]) + t[2])];
        int[] pairs = [.. trits.Chunk(columns).SelectMany(r => r[threes..].Chunk(2)).Select(p => (3 * p[0]) + p[1] + 4)];
        int[] tiled = [rows / tiles.Bm, tiles.Bm / 32];
        byte[] magnitudes = Shuffled(Joined(Transposed([.. triples.Select(Math.Abs)], [.. tiled, 32, threes / tiles.Bk, tiles.Bk / 6, 2], [0, 3, 1, 4, 2, 5])));
        int[] negative = Transposed([.. triples.Select(v => v < 0 ? 1 : 0)], [.. tiled, 2, 16, threes / tiles.Bk, tiles.Bk / 24, 8], [0, 4, 1, 5, 3, 6, 2]);
        byte[] signs = new byte[negative.Length / 8];
        for (int i = 0; i < negative.Length; i += 16)
        {
            BinaryPrimitives.WriteUInt16LittleEndian(signs.AsSpan(i / 8), (ushort)negative[i..(i + 16)].Aggregate((word, bit) => (2 * word) + bit));
        }

        byte[] rest = Shuffled(Joined(Transposed(pairs, [.. tiled, 32, (columns - threes) / 32, 8, 2], [0, 3, 1, 4, 2, 5])));
        return [.. magnitudes, .. signs, .. rest];
    }

    internal static sbyte[] Trits(ulong seed, int count)
    {
        var random = new SplitMix(seed);
        return [.. Enumerable.Range(0, count).Select(_ => (sbyte)random.Between(-1, 1))];
    }

    private static IBoundNumberFormat Bind(string id, string tiles, Shape shape, SimdTier tier) =>
        ((ITieredFormat)NumberFormats.Get(id)).Bind(new UnitSpec(id, ("rule", "absmax"), ("scale", SpecNumbers.Text(Scale)), ("tiles", tiles)), shape, tier);

    private static sbyte[] GoldenTrits(string name) => [.. Golden.Bytes($"bitnet/{name}_t.bin").Select(b => (sbyte)b)];

    /// <summary>An array of these dimensions with its axes in another order.</summary>
    private static int[] Transposed(int[] values, int[] dims, int[] axes)
    {
        int[] strides = new int[dims.Length];
        for (int d = dims.Length - 1, stride = 1; d >= 0; stride *= dims[d--])
        {
            strides[d] = stride;
        }

        int[] result = new int[values.Length];
        for (int i = 0; i < result.Length; i++)
        {
            int from = 0;
            int rest = i;
            for (int a = axes.Length - 1; a >= 0; a--)
            {
                from += rest % dims[axes[a]] * strides[axes[a]];
                rest /= dims[axes[a]];
            }

            result[i] = values[from];
        }

        return result;
    }

    /// <summary>Two neighbours a byte, the first on top.</summary>
    private static byte[] Joined(int[] nibbles) => [.. nibbles.Chunk(2).Select(n => (byte)((n[0] << 4) | n[1]))];

    /// <summary>The second and third group of 8 of every 32 bytes in each other's place.</summary>
    private static byte[] Shuffled(byte[] bytes) => [.. bytes.Chunk(32).SelectMany(c => (byte[])[.. c[..8], .. c[16..24], .. c[8..16], .. c[24..]])];
}
