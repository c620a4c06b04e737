using System.IO.Hashing;
using ModelPack.Codecs;
using ModelPack.Testing;
using ModelPack.Tests.Pack;
using Xunit;

namespace ModelPack.Tests.Codecs;

/// <summary>The Huffman block: every decoder against the reference loop, hostile blocks, length limits.</summary>
[Trait("Category", "Simd")]
public sealed class HuffmanTests
{
    private static readonly string[] KindNames = ["two", "rare", "sixBits", "exponents", "uniform", "fibonacci", "codes", "halves"];

    /// <summary>Kinds of bytes, from almost nothing to all 256 values equally often.</summary>
    public static TheoryData<string> Kinds => [.. KindNames];

    [Theory]
    [MemberData(nameof(Kinds))]
    public void TryDecode_everyLengthAndTail_equalsTheReference(string kind)
    {
        int[] lengths = [.. Enumerable.Range(2, 300), 4095, 4096, 4097, 5001, 16_383, 16_384, 20_011, 131_071, 131_072, 131_073, 140_000, 262_145, 1_050_003];
        byte[] all = Make(kind, lengths[^1]);
        foreach (int length in lengths)
        {
            byte[] symbols = all[..length];
            if (symbols.AsSpan().IndexOfAnyExcept(symbols[0]) < 0)
            {
                continue;
            }

            byte[] room = new byte[(2 * length) + 1000];
            Assert.True(HuffmanBlock.TryEncode(symbols, room.Length, room, out int written));
            using PoisonBuffer block = PoisonBuffer.Copy<byte>(room.AsSpan(0, written));
            foreach (bool fast in new[] { true, false })
            {
                using PoisonBuffer output = PoisonBuffer.EndingAtGuard(length);
                Assert.True(HuffmanBlock.TryDecode(block.GetSpan(), output.GetSpan(), fast), $"{kind} {length} fast {fast}");
                Assert.True(symbols.AsSpan().SequenceEqual(output.GetSpan()), $"{kind} {length} fast {fast}");
            }

            // Exactly the room it needs is enough for what it wrote; another number of symbols is refused.
            Assert.False(HuffmanBlock.TryDecode(block.GetSpan(), new byte[length - 1]), $"{kind} {length}");
            Assert.False(HuffmanBlock.TryDecode(block.GetSpan(), new byte[length + 1]), $"{kind} {length}");
        }
    }

    [Fact]
    public void TryDecode_blockMadeByHandFromTheSpecification_givesItsSymbols()
    {
        byte[] symbols = new byte[3];
        Assert.True(HuffmanBlock.TryDecode([0x41, 1, 0x11, 1, 0, 0b0011_0000], symbols));
        Assert.Equal("AAB"u8.ToArray(), symbols);

        // Symbol 1 has 1 bit, 20 and 21 have 2; between them is a run of 18 = 15 + 3 symbols without code. Code words 0, 10, 11, 0 and the mark.
        symbols = new byte[4];
        Assert.True(HuffmanBlock.TryDecode([1, 20, 0xf1, 0x2f, 0x02, 1, 0, 0b0101_1010], symbols));
        Assert.Equal([1, 20, 21, 1], symbols);
    }

    [Theory]
    [InlineData("nothing")]
    [InlineData("table ends early", 0x41, 1)]
    [InlineData("symbols above 255", 0xf8, 8, 0x11, 1, 0, 0x30)]
    [InlineData("nothing to repeat", 0xff, 0xff, 1, 0, 0x30)]
    [InlineData("nibble 12", 0x41, 1, 0x1c, 1, 0, 0x30)]
    [InlineData("nibble 14", 0x41, 1, 0xe1, 1, 0, 0x30)]
    [InlineData("padding", 0x41, 2, 0x21, 0x12, 1, 0, 0x30)]
    [InlineData("run past the end", 0x41, 2, 0xf1, 0x00, 1, 0, 0x30)]
    [InlineData("run without a number", 0x41, 2, 0xf1)]
    [InlineData("incomplete: one symbol", 0x41, 0, 0x01, 1, 0, 0x10)]
    [InlineData("incomplete: 1/2 + 1/4", 0x41, 1, 0x21, 1, 0, 0x30)]
    [InlineData("oversubscribed", 0x41, 2, 0x11, 0x01, 1, 0, 0x30)]
    [InlineData("no symbols", 0x41, 1, 0x00, 1, 0, 0x30)]
    [InlineData("no stream length", 0x41, 1, 0x11)]
    [InlineData("half a stream length", 0x41, 1, 0x11, 1)]
    [InlineData("empty stream", 0x41, 1, 0x11, 0, 0)]
    [InlineData("stream leaves the block", 0x41, 1, 0x11, 2, 0, 0x30)]
    [InlineData("no end mark", 0x41, 1, 0x11, 1, 0, 0x00)]
    [InlineData("mark too early", 0x41, 1, 0x11, 1, 0, 0x20)]
    [InlineData("mark too late", 0x41, 1, 0x11, 1, 0, 0x31)]
    [InlineData("bytes left over", 0x41, 1, 0x11, 1, 0, 0x30, 0)]
    public void TryDecode_hostileBlock_isRefused(string why, params int[] block)
    {
        using PoisonBuffer input = PoisonBuffer.Copy<byte>(block.Select(b => (byte)b).ToArray());
        Assert.False(HuffmanBlock.TryDecode(input.GetSpan(), new byte[3]), why);
        Assert.False(HuffmanBlock.TryDecode(input.GetSpan(), new byte[3], fast: false), why);
    }

    [Theory]
    [MemberData(nameof(Kinds))]
    public void TryDecode_tenThousandMutations_neverLeavesItsBuffersAndEqualsTheReference(string kind)
    {
        byte[] symbols = Make(kind, 17_001);
        byte[] room = new byte[40_000];
        Assert.True(HuffmanBlock.TryEncode(symbols, room.Length, room, out int written));
        byte[] block = room[..written];
        using PoisonBuffer fast = PoisonBuffer.EndingAtGuard(symbols.Length);
        byte[] reference = new byte[symbols.Length];
        int count = 10_000 / KindNames.Length;
        for (ulong seed = 1; seed <= (ulong)count; seed++)
        {
            Mutation mutation = Mutations.Apply(block, seed, hotBytes: 64);
            using PoisonBuffer input = PoisonBuffer.Copy<byte>(mutation.Bytes);
            bool decoded = HuffmanBlock.TryDecode(input.GetSpan(), fast.GetSpan());
            Assert.True(decoded == HuffmanBlock.TryDecode(mutation.Bytes, reference, fast: false), $"{kind}, seed {seed}: {mutation.Description}");
            Assert.True(!decoded || reference.AsSpan().SequenceEqual(fast.GetSpan()), $"{kind}, seed {seed}: {mutation.Description}");
        }
    }

    [Fact]
    public void BuildLengths_againstPlainHuffman_isOptimalAndWithinTheLimit()
    {
        var random = new Random(20);
        for (int i = 0; i < 300; i++)
        {
            int symbols = random.Next(2, 257);
            uint[] counts = new uint[256];
            double steepness = random.NextDouble() * 12 / symbols;
            for (int s = 0; s < symbols; s++)
            {
                counts[s] = (uint)(1 + (random.Next(100) * Math.Exp(Math.Min(steepness * s, 15))));
            }

            random.Shuffle(counts);
            byte[] lengths = new byte[256];
            long bits = HuffmanCode.BuildLengths(counts, lengths);
            (long best, int depth) = PlainHuffman(counts);
            Assert.True(HuffmanCode.IsComplete(lengths), $"case {i}");
            Assert.True(lengths.Max() <= HuffmanCode.MaxBits, $"case {i}");
            Assert.Equal(bits, counts.Zip(lengths, (c, l) => (long)c * l).Sum());
            Assert.Equal(counts.Select(c => c > 0), lengths.Select(l => l > 0));
            Assert.True(depth <= HuffmanCode.MaxBits ? bits == best : bits > best && bits < best * 1.3, $"case {i}: {bits} bits, unlimited {best} at depth {depth}");
        }
    }

    [Fact]
    public void BuildLengths_fibonacciCounts_areLimited()
    {
        uint[] counts = new uint[256];
        (uint a, uint b) = (1, 1);
        for (int s = 0; s < 40; s++)
        {
            counts[s] = a;
            (a, b) = (b, a + b);
        }

        byte[] lengths = new byte[256];
        HuffmanCode.BuildLengths(counts, lengths);
        Assert.Equal(11, lengths.Max());
        Assert.True(HuffmanCode.IsComplete(lengths));
        Assert.True(PlainHuffman(counts).Depth > 30);
    }

    [Fact]
    public void Encode_sameBytesOnEveryMachine()
    {
        byte[] room = new byte[400_000];
        var hashes = new List<string>();
        foreach (string kind in KindNames)
        {
            Assert.True(HuffmanBlock.TryEncode(Make(kind, 300_000), room.Length, room, out int written));
            hashes.Add($"{kind} {written} {XxHash3.HashToUInt64(room.AsSpan(0, written)):x16}");
        }

        Assert.Equal(
            [
                "two 37586 2cd2237ad45c3dab",
                "rare 37678 7a2937be41a6b47d",
                "sixBits 225110 ca3b4f0a81421af2",
                "exponents 103173 8518463bc37bc9f5",
                "uniform 300206 4461b2abb80b796a",
                "fibonacci 75389 1d44f9394689078a",
                "codes 274072 ca535bf8d1ceed18",
                "halves 159269 72d46a3b36b354a6",
            ],
            hashes);
    }

    [Fact]
    public void Histogram_everyLength_countsEveryByte()
    {
        byte[] bytes = PackSamples.Random(9, 3000);
        for (int length = 0; length < bytes.Length; length += length is < 1020 or > 1040 ? 13 : 1)
        {
            uint[] counts = new uint[256];
            using PoisonBuffer input = PoisonBuffer.Copy<byte>(bytes.AsSpan(0, length));
            ByteHistogram.Add(input.GetSpan(), counts);
            Assert.Equal(Counted(bytes.AsSpan(0, length)), counts);
        }
    }

    private static uint[] Counted(ReadOnlySpan<byte> bytes)
    {
        uint[] counts = new uint[256];
        foreach (byte b in bytes)
        {
            counts[b]++;
        }

        return counts;
    }

    [Theory]
    [InlineData(DType.BF16, 2)]
    [InlineData(DType.F16, 2)]
    [InlineData(DType.F32, 4)]
    [InlineData(DType.F64, 8)]
    [InlineData(DType.I64, 8)]
    public void PlanesHuffman_everyPatternOfTheHighestBits_comesBack(DType type, int width)
    {
        // All 65,536 values of the two highest bytes, often enough around one exponent that coding pays.
        byte[] raw = new byte[3 * 65_536 * width];
        for (int i = 0; i < 3 * 65_536; i++)
        {
            int high = i < 65_536 ? i : 0x3c00 | (i * 31 & 0x80ff);
            raw[(i * width) + width - 2] = (byte)high;
            raw[(i * width) + width - 1] = (byte)(high >> 8);
        }

        ICodec codec = ModelPack.Codecs.Codecs.Get("planes-huffman");
        byte[] room = new byte[raw.Length];
        Assert.True(codec.TryEncode(raw, type, room, out int written));
        Assert.True(written < raw.Length * 9 / 10, $"{written} of {raw.Length}");
        byte[] back = new byte[raw.Length];
        Assert.True(codec.TryDecode(room.AsSpan(0, written), type, back));
        Assert.True(raw.AsSpan().SequenceEqual(back));
    }

    [Fact]
    public void PlanesHuffman_cleanFloats_takeNoMoreThanTheirBf16()
    {
        byte[] bf16 = PackSamples.Bf16(7, 100_000);
        byte[] f32 = new byte[2 * bf16.Length];
        for (int i = 0; i < bf16.Length; i += 2)
        {
            f32[(2 * i) + 2] = bf16[i];
            f32[(2 * i) + 3] = bf16[i + 1];
        }

        ICodec codec = ModelPack.Codecs.Codecs.Get("planes-huffman");
        byte[] room = new byte[f32.Length];
        Assert.True(codec.TryEncode(bf16, DType.BF16, room, out int narrow));
        Assert.True(codec.TryEncode(f32, DType.F32, room, out int wide));
        Assert.Equal(narrow + 12, wide);
    }

    private static (long Bits, int Depth) PlainHuffman(uint[] counts)
    {
        var queue = new PriorityQueue<(long Weight, int Depth), (long, int)>(counts.Where(c => c > 0).Select(c => (((long)c, 0), ((long)c, 0))));
        long bits = 0;
        while (queue.Count > 1)
        {
            (long w0, int d0) = queue.Dequeue();
            (long w1, int d1) = queue.Dequeue();
            (long, int) joined = (w0 + w1, Math.Max(d0, d1) + 1);
            bits += w0 + w1;
            queue.Enqueue(joined, joined);
        }

        return (bits, queue.Dequeue().Depth);
    }

    private static byte[] Make(string kind, int length)
    {
        byte[] noise = PackSamples.Random(11, length + 8);
        byte[] bytes = new byte[length];
        for (int i = 0; i < length; i++)
        {
            byte r = noise[i];
            bytes[i] = kind switch
            {
                "two" => (byte)(r < 100 ? 7 : 200),
                "rare" => (byte)(i % 5000 == 1 ? r : 90),
                "sixBits" => (byte)(r & 0x3f),
                "exponents" => (byte)(120 - byte.TrailingZeroCount(r) - byte.TrailingZeroCount(noise[i + 5])),
                "fibonacci" => (byte)(byte.TrailingZeroCount(r) + (r == 0 ? byte.TrailingZeroCount(noise[i + 3]) + (8 * (noise[i + 3] == 0 ? byte.TrailingZeroCount(noise[i + 4]) : 0)) : 0)),
                "codes" => (byte)((r + noise[i + 1] + noise[i + 2] + noise[i + 3]) / 4),
                "halves" => i % 131_072 < 70_000 ? (byte)5 : r,
                _ => r,
            };
        }

        return bytes;
    }
}
