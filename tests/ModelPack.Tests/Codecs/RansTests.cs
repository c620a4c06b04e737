using System.IO.Hashing;
using System.Runtime.InteropServices;
using ModelPack.Codecs;
using ModelPack.Testing;
using ModelPack.Tests.Pack;
using Xunit;

namespace ModelPack.Tests.Codecs;

/// <summary>Chunks of the rANS codecs: every layout, the vector loops against the reference loops, fixed bytes.</summary>
[Trait("Category", "Simd")]
public sealed class RansTests
{
    internal static readonly (string Name, RansLayout Layout)[] All =
    [
        ("bf16", Layout(2, 8, 8)),
        ("bf16 joint", Layout(2, 9, 7)),
        ("f16", Layout(2, 5, 11)),
        ("f16 joint", Layout(2, 6, 10)),
        ("f32", Layout(4, 8, 24)),
        ("f32 joint", Layout(4, 9, 23)),
        ("f64", Layout(8, 11, 53)),
        ("f64 joint", Layout(8, 12, 52)),
        ("f64 short", Layout(8, 11, 56)),
        ("u16", Layout(2, 0, 8)),
        ("f64 whole", Layout(8, 0, 48)),
        ("e4m3", Layout(1, 4, 4)),
        ("e5m2", Layout(1, 5, 3)),
        ("bytes", Layout(1, 0, 0)),
        ("nibbles", new RansLayout { Width = 0 }),
        .. Enumerable.Range(0, 8).Select(r => ($"zig-zag {r}", new RansLayout { Width = 1, ZigZag = true, Center = 37, RestBits = r })),
    ];

    public static TheoryData<string> Layouts => [.. All.Select(l => l.Name)];

    [Theory]
    [MemberData(nameof(Layouts))]
    public void Encode_everyLength_equalsTheReferenceAndComesBack(string name)
    {
        RansLayout layout = All.First(l => l.Name == name).Layout;
        int step = Math.Max(1, layout.Width);
        byte[] all = Elements(layout, 1, 2100);
        int every = name is "bf16" or "bf16 joint" or "f16" or "e4m3" or "nibbles" or "zig-zag 3" ? 1 : 7;
        for (int elements = 1; elements <= 2000; elements += every)
        {
            int bytes = elements * step;
            Check(name, layout, all[..bytes], CodecLevel.Default);
        }

        // Not whole elements: the tail is stored behind.
        for (int tail = 1; tail < step; tail++)
        {
            Check(name, layout, all[..((600 * step) + tail)], CodecLevel.Default);
        }
    }

    [Theory]
    [MemberData(nameof(Layouts))]
    public void Encode_everyLevelAndSize_equalsTheReferenceAndComesBack(string name)
    {
        RansLayout layout = All.First(l => l.Name == name).Layout;
        var random = new Random(3);
        int[] sizes = [4095, 4096, 4097, 8191, 8192, 8193, 12_289, 65_535, 65_536, 140_001, .. Enumerable.Range(0, 6).Select(_ => random.Next(2000, 200_000))];
        byte[] all = Elements(layout, 2, sizes.Max());
        foreach (int elements in sizes)
        {
            foreach (CodecLevel level in Enum.GetValues<CodecLevel>())
            {
                Check(name, layout, all[..(elements * Math.Max(1, layout.Width))], level);
            }
        }
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(30)]
    [InlineData(31)]
    [InlineData(32)]
    [InlineData(33)]
    [InlineData(256)]
    public void Encode_kindsOfSymbols_comesBack(int kinds)
    {
        byte[] noise = PackSamples.Random(8, 150_000);
        byte[] even = [.. noise.Select((b, i) => (byte)(((b * 257) + i) % kinds * 7))];
        byte[] steep = [.. noise.Select((b, i) => (byte)(255 - Math.Min(kinds - 1, byte.TrailingZeroCount(b) + (b == 0 ? noise[i / 2] : 0))))];
        foreach (byte[] symbols in new[] { even, steep })
        {
            foreach (int length in new[] { 1, 127, 128, 5000, 150_000 })
            {
                foreach (CodecLevel level in Enum.GetValues<CodecLevel>())
                {
                    Check($"{kinds} kinds", Layout(1, 0, 0), symbols[..length], level);
                }
            }
        }
    }

    [Fact]
    public void Encode_manyDistinctSymbols_costsLittleMoreThanTheirEntropy()
    {
        // 41 exponents, geometric: the 31 most frequent have entries, ten are escaped.
        var random = new Random(5);
        byte[] symbols = new byte[1 << 19];
        for (int i = 0; i < symbols.Length; i++)
        {
            symbols[i] = (byte)Math.Min(40, -Math.Log(1 - random.NextDouble()) * 6);
        }

        double entropy = symbols.GroupBy(s => s).Sum(g => -g.Count() * Math.Log2(g.Count() / (double)symbols.Length)) / symbols.Length;
        double bits = 8.0 * Encode(Layout(1, 0, 0), symbols, CodecLevel.Fast).Length / symbols.Length;
        Assert.InRange(bits, entropy, entropy + 0.04);
    }

    [Theory]
    [InlineData(DType.BF16, 2)]
    [InlineData(DType.F16, 2)]
    [InlineData(DType.F32, 4)]
    [InlineData(DType.F64, 8)]
    [InlineData(DType.I64, 8)]
    public void PlanesRans_everyPatternOfTheHighestBits_comesBack(DType type, int width)
    {
        byte[] raw = new byte[6 * 65_536 * width];
        for (int i = 0; i < 6 * 65_536; i++)
        {
            int high = i < 65_536 ? i : 0x3c00 | (i * 31 & 0x80ff);
            raw[(i * width) + width - 2] = (byte)high;
            raw[(i * width) + width - 1] = (byte)(high >> 8);
        }

        foreach (CodecLevel level in Enum.GetValues<CodecLevel>())
        {
            var codec = new PlanesRansCodec(level);
            byte[] room = new byte[raw.Length];
            Assert.True(codec.TryEncode(raw, type, room, out int written));
            byte[] back = new byte[raw.Length];
            Assert.True(codec.TryDecode(room.AsSpan(0, written), type, back));
            Assert.True(raw.AsSpan().SequenceEqual(back), $"{type} {level}");
        }
    }

    [Fact]
    public void Encode_fewElementsOutsideTheWindow_areOutliers()
    {
        // Zeros among weights around 1, and of f64, whose exponents are far from those of zeros.
        byte[] raw = Elements(Layout(8, 11, 53), 4, 20_000);
        foreach (int i in new[] { 0, 77, 19_999 })
        {
            raw.AsSpan(8 * i, 8).Clear();
        }

        BitConverter.TryWriteBytes(raw.AsSpan(8 * 500), double.NegativeInfinity);
        byte[] encoded = Check("outliers", Layout(8, 11, 53), raw, CodecLevel.Default)!;
        Assert.Equal(4, BitConverter.ToInt32(encoded, 6));

        // Positions out of order, behind the end, and upper bits that are too many are refused.
        int list = RansLayout.HeaderBytes + (7 * PlaneSection.HeaderBytes) + BitConverter.ToInt32(encoded, 10);
        Assert.Equal([0, 77, 500, 19_999], Enumerable.Range(0, 4).Select(i => BitConverter.ToInt32(encoded, list + (6 * i))));
        foreach ((int at, int value) in new[] { (6, 0), (6, -1), (18, 20_000) })
        {
            byte[] bad = [.. encoded];
            BitConverter.TryWriteBytes(bad.AsSpan(list + at), value);
            Assert.False(RansChunk.TryDecode(bad, new byte[raw.Length], wide: true), $"{at} {value}");
        }

        encoded[list + 5] = 0x80;
        Assert.False(RansChunk.TryDecode(encoded, new byte[raw.Length], wide: true));
    }

    [Fact]
    public void Encode_unevenMantissa_codesThePackedPlane()
    {
        RansLayout layout = Layout(4, 9, 23);
        byte[] raw = UnevenMantissas(70_000);
        byte[] encoded = Check("uneven", layout, raw, CodecLevel.Max)!;
        const int header = RansLayout.HeaderBytes;
        Assert.Equal(HuffmanPlane.Huffman, encoded[header]);
        int length = BitConverter.ToInt32(encoded, header + 1);
        Assert.InRange(length, 1, (raw.Length / 4 * 7 / 8 * 31 / 32) - 1);

        // A value of 8 bits is refused, wherever it stands.
        int at = header + (3 * PlaneSection.HeaderBytes) + BitConverter.ToInt32(encoded, 10);
        byte[] plane = new byte[raw.Length / 4];
        Assert.True(HuffmanBlock.TryDecode(encoded.AsSpan(at, length), plane));
        Assert.True(RansChunk.TryDecode(WithPlane(plane), new byte[raw.Length], wide: true));
        foreach (int i in new[] { 0, 33_333, plane.Length - 1 })
        {
            plane[i] ^= 0x80;
            Assert.False(RansChunk.TryDecode(WithPlane(plane), new byte[raw.Length], wide: true), $"{i}");
            Assert.False(RansChunk.TryDecode(WithPlane(plane), new byte[raw.Length], wide: true, fast: false), $"{i}");
            plane[i] ^= 0x80;
        }

        byte[] WithPlane(byte[] values)
        {
            byte[] coded = new byte[values.Length];
            Assert.True(HuffmanBlock.TryEncode(values, coded.Length, coded, out int written));
            byte[] chunk = [.. encoded.AsSpan(0, at), .. coded.AsSpan(0, written), .. encoded.AsSpan(at + length)];
            BitConverter.TryWriteBytes(chunk.AsSpan(header + 1), written);
            return chunk;
        }
    }

    [Theory]
    [InlineData(DType.F16, 20_000)]
    [InlineData(DType.F16, 70_003)]
    [InlineData(DType.F32, 20_001)]
    [InlineData(DType.F64, 20_003)]
    public void Encode_widenedFromAShorterMantissa_leavesItsZeroBitsOut(DType type, int elements)
    {
        // bf16 in f16, f16 in f32, f32 in f64; every 1,000th element has all its bits.
        byte[] raw = Widened(type, elements);
        RansLayout layout = type == DType.F16 ? Layout(2, 5, 11) : type == DType.F32 ? Layout(4, 8, 24) : Layout(8, 11, 53);
        foreach (CodecLevel level in Enum.GetValues<CodecLevel>())
        {
            byte[] encoded = Check($"{type}", layout, raw, level)!;
            Assert.Contains(CleanPlane.Mode, Enumerable.Range(0, layout.Planes).Select(i => encoded[RansLayout.HeaderBytes + (PlaneSection.HeaderBytes * i)]));
        }
    }

    [Fact]
    public void TryDecode_damagedZeroBits_isRefused()
    {
        RansLayout layout = Layout(2, 5, 11);
        byte[] raw = Widened(DType.F16, 20_000);
        byte[] encoded = Check("clean", layout, raw, CodecLevel.Default)!;
        Assert.Equal(CleanPlane.Mode, encoded[RansLayout.HeaderBytes + PlaneSection.HeaderBytes]);
        int length = BitConverter.ToInt32(encoded, RansLayout.HeaderBytes + PlaneSection.HeaderBytes + 1);
        int plane = encoded.Length - length;
        Assert.Equal(3, encoded[plane]);
        int exceptions = BitConverter.ToInt32(encoded, plane + 1);
        Assert.InRange(exceptions, 10, 40);
        int first = encoded.Length - (exceptions * CleanPlane.ExceptionBytes);
        int second = first + CleanPlane.ExceptionBytes;
        int last = encoded.Length - CleanPlane.ExceptionBytes;
        Refused("other width", plane, 4);
        Refused("no width", plane, 0);
        Refused("too wide", plane, 9);
        Refused("count", plane + 1, exceptions - 1);
        Refused("bits above", first + 4, 8);
        Refused("no bits", first + 4, 0);
        encoded.AsSpan(first, 4).CopyTo(encoded.AsSpan(second));
        Refused("twice", second + 4, encoded[second + 4]);
        BitConverter.TryWriteBytes(encoded.AsSpan(last), 20_000);
        Refused("behind the end", last + 4, encoded[last + 4]);

        void Refused(string why, int at, int value)
        {
            byte before = encoded[at];
            encoded[at] = (byte)value;
            Assert.False(RansChunk.TryDecode(encoded, new byte[raw.Length], wide: true), why);
            Assert.False(RansChunk.TryDecode(encoded, new byte[raw.Length], wide: true, fast: false), why);
            encoded[at] = before;
        }
    }

    [Fact]
    public void Encode_localScale_gains()
    {
        // Rows of 512 weights whose scales differ: bf16, and the same as bytes around 128.
        float[] weights = PackSamples.Weights(6, 1 << 19, 1.0);
        var random = new Random(6);
        for (int row = 0; row < weights.Length / 512; row++)
        {
            float scale = (float)Math.Pow(2, -5 * random.NextDouble());
            foreach (ref float w in weights.AsSpan(row * 512, 512))
            {
                w *= scale;
            }
        }

        byte[] bf16 = MemoryMarshal.AsBytes<ushort>(weights.Select(w => (ushort)(BitConverter.SingleToUInt32Bits(w) >> 16)).ToArray()).ToArray();
        byte[] codes = [.. weights.Select(w => (byte)Math.Clamp(128 + Math.Round(w * 40), 0, 255))];
        Assert.True(Size(new PlanesRansCodec(CodecLevel.Default), DType.BF16, bf16) < 0.975 * Size(ModelPack.Codecs.Codecs.Get("planes-huffman"), DType.BF16, bf16));
        Assert.True(Size(new CodesRansCodec(CodecLevel.Default), DType.U8, codes) < 0.95 * Size(ModelPack.Codecs.Codecs.Get("huffman"), DType.U8, codes));
        Assert.True(Size(new PlanesRansCodec(CodecLevel.Max), DType.BF16, bf16) < Size(new PlanesRansCodec(CodecLevel.Default), DType.BF16, bf16));
        Assert.True(Size(new PlanesRansCodec(CodecLevel.Default), DType.BF16, bf16) < Size(new PlanesRansCodec(CodecLevel.Fast), DType.BF16, bf16));
    }

    [Fact]
    public void Encode_sameBytesOnEveryMachine()
    {
        var hashes = new List<string>();
        foreach ((string name, RansLayout layout) in All)
        {
            ulong hash = 0;
            foreach (CodecLevel level in Enum.GetValues<CodecLevel>())
            {
                byte[] encoded = Encode(layout, Elements(layout, 7, 150_001), level);
                hash = (hash * 31) + XxHash3.HashToUInt64(encoded);
            }

            hashes.Add($"{name} {hash:x16}");
        }

        string[] expected =
        [
            "bf16 2b38f0ebcbb987ec",
            "bf16 joint 71da902a8a7d58bc",
            "f16 282b6c50c7855e25",
            "f16 joint 9b1c30cf16262b62",
            "f32 ae2073561d36872b",
            "f32 joint 64074e2f1bed0ad5",
            "f64 b501c59968b31067",
            "f64 joint e4a9187ca9013255",
            "f64 short 7222ae57f0ca4131",
            "u16 09dc6778607aa68a",
            "f64 whole ff1014fb729d19cc",
            "e4m3 321b0ce0811e128c",
            "e5m2 58273298f5572e79",
            "bytes 3cb1f81969875cb0",
            "nibbles 68f9017fb84726c2",
            "zig-zag 0 6909700d5ba9b9b8",
            "zig-zag 1 f12732a7d45b17d4",
            "zig-zag 2 0a942a1bff95fc26",
            "zig-zag 3 c92d048e76384a39",
            "zig-zag 4 48783cede0b8b738",
            "zig-zag 5 66fbeb6288d2f5d7",
            "zig-zag 6 a4d8b79eb0ab0f27",
            "zig-zag 7 ac30f7cd65166b0b",
        ];
        Assert.True(expected.SequenceEqual(hashes), string.Join('\n', hashes));
    }

    [Theory]
    [MemberData(nameof(Layouts))]
    public void TryDecode_mutations_equalsTheReferenceAndStaysInside(string name)
    {
        RansLayout layout = All.First(l => l.Name == name).Layout;
        bool wide = layout.Width >= 2;
        byte[] raw = Elements(layout, 9, 9000);
        byte[] encoded = Encode(layout, raw, CodecLevel.Default);
        using PoisonBuffer fast = PoisonBuffer.EndingAtGuard(raw.Length);
        byte[] reference = new byte[raw.Length];
        int headers = RansLayout.HeaderBytes + (layout.Planes * PlaneSection.HeaderBytes) + 200;
        for (ulong seed = 1; seed <= 500; seed++)
        {
            Mutation mutation = Mutations.Apply(encoded, seed, hotBytes: headers);
            using PoisonBuffer input = PoisonBuffer.Copy<byte>(mutation.Bytes);
            bool decoded = RansChunk.TryDecode(input.GetSpan(), fast.GetSpan(), wide);
            Assert.True(decoded == RansChunk.TryDecode(input.GetSpan(), reference, wide, fast: false), $"{name}, seed {seed}: {mutation.Description}");
            Assert.True(!decoded || reference.AsSpan().SequenceEqual(fast.GetSpan()), $"{name}, seed {seed}: {mutation.Description}");
        }
    }

    [Fact]
    public void TryDecode_everyBitFlipped_isRefusedOrSeen()
    {
        // 128 states must end where they began, which is a second check of most of a block: a flipped bit that only exchanges two symbols of the same frequency passes it. No bit is without meaning.
        RansLayout layout = Layout(1, 0, 0);
        byte[] raw = [.. PackSamples.Random(12, 6000).Select(b => byte.TrailingZeroCount(b))];
        byte[] encoded = Encode(layout, raw, CodecLevel.Default);
        byte[] fast = new byte[raw.Length];
        byte[] reference = new byte[raw.Length];
        int passed = 0;
        int start = 8 * (RansLayout.HeaderBytes + RansHeader.FixedBytes + encoded[RansLayout.HeaderBytes + 1]);
        for (int bit = start; bit < 8 * encoded.Length; bit++)
        {
            encoded[bit >> 3] ^= (byte)(1 << (bit & 7));
            bool decoded = RansChunk.TryDecode(encoded, fast, wide: false);
            Assert.True(decoded == RansChunk.TryDecode(encoded, reference, wide: false, fast: false), $"bit {bit}");
            Assert.True(!decoded || fast.AsSpan().SequenceEqual(reference), $"bit {bit}");
            Assert.False(decoded && fast.AsSpan().SequenceEqual(raw), $"bit {bit} has no meaning");
            passed += decoded ? 1 : 0;
            encoded[bit >> 3] ^= (byte)(1 << (bit & 7));
        }

        Assert.InRange(passed, 0, 8 * encoded.Length / 50);
    }

    /// <summary>Weights of a type with a longer mantissa than they have, but for every 1,000th.</summary>
    internal static byte[] Widened(DType type, int elements)
    {
        float[] weights = PackSamples.Weights(11, elements, 0.05);
        bool Whole(int i) => i % 1000 == 77;
        static float Bf16(float w) => BitConverter.UInt32BitsToSingle(BitConverter.SingleToUInt32Bits(w) & 0xffff_0000);
        return type switch
        {
            DType.F16 => MemoryMarshal.AsBytes<Half>(weights.Select((w, i) => (Half)(Whole(i) ? 0.1f + (w / 100) : Bf16(w + (w < 0 ? -0.001f : 0.001f)))).ToArray()).ToArray(),
            DType.F32 => MemoryMarshal.AsBytes<float>(weights.Select((w, i) => Whole(i) ? w : (float)(Half)w).ToArray()).ToArray(),
            _ => MemoryMarshal.AsBytes<double>(weights.Select((w, i) => Whole(i) ? w / 3.0 : w).ToArray()).ToArray(),
        };
    }

    /// <summary>f32 whose mantissas begin with few ones: the second and the third bit are seldom set.</summary>
    internal static byte[] UnevenMantissas(int elements)
    {
        byte[] raw = Elements(Layout(4, 9, 23), 8, elements);
        foreach (ref uint x in MemoryMarshal.Cast<byte, uint>(raw.AsSpan()))
        {
            x &= ((x << 4) & (x << 8)) | ~0x0030_0000u;
        }

        return raw;
    }

    private static long Size(ICodec codec, DType type, byte[] raw)
    {
        long bytes = 0;
        foreach (byte[] chunk in raw.Chunk(1 << 20))
        {
            byte[] room = new byte[chunk.Length];
            bytes += codec.TryEncode(chunk, type, room, out int written) ? written : chunk.Length;
        }

        return bytes;
    }

    internal static byte[] Encode(RansLayout layout, byte[] raw, CodecLevel level)
    {
        byte[] room = new byte[(3 * raw.Length) + 4096];
        Assert.True(RansChunkEncoder.TryEncode(raw, layout, level, room, out int written));
        return room[..written];
    }

    /// <summary>The same bytes from both encoders, the same elements from both decoders, from and to memory that ends at a guard page. Null when the layout does not fit.</summary>
    private static byte[]? Check(string name, RansLayout layout, byte[] raw, CodecLevel level)
    {
        string what = $"{name}, {raw.Length} bytes, {level}";
        using PoisonBuffer source = PoisonBuffer.Copy<byte>(raw);
        byte[] room = new byte[(3 * raw.Length) + 4096];
        byte[] reference = new byte[room.Length];
        bool encoded = RansChunkEncoder.TryEncode(source.GetSpan(), layout, level, room, out int written);
        Assert.Equal(encoded, RansChunkEncoder.TryEncode(raw, layout, level, reference, out int referenceWritten, fast: false));
        if (!encoded)
        {
            Assert.True(layout.TopBits > 8, what);
            return null;
        }

        Assert.True(room.AsSpan(0, written).SequenceEqual(reference.AsSpan(0, referenceWritten)), what);
        using PoisonBuffer input = PoisonBuffer.Copy<byte>(room.AsSpan(0, written));
        foreach (bool fast in new[] { true, false })
        {
            using PoisonBuffer output = PoisonBuffer.EndingAtGuard(raw.Length);
            Assert.True(RansChunk.TryDecode(input.GetSpan(), output.GetSpan(), layout.Width >= 2, fast), what);
            Assert.True(raw.AsSpan().SequenceEqual(output.GetSpan()), what);
        }

        return room[..written];
    }

    private static RansLayout Layout(int width, int moved, int rest) => new() { Width = width, Moved = moved, RestBits = rest };

    /// <summary>Elements whose upper bits, as the layout takes them, are unevenly distributed, with a scale that changes; the lower bits are noise.</summary>
    internal static byte[] Elements(RansLayout layout, int seed, int elements)
    {
        var random = new Random(seed);
        int width = Math.Max(1, layout.Width);
        byte[] raw = new byte[elements * width];
        random.NextBytes(raw);
        var move = new SignMove(8 * width, layout.Moved);
        for (int i = 0; i < elements; i++)
        {
            int level = (i / 700 % 5) + byte.TrailingZeroCount((byte)random.Next(1, 256)) + (random.Next(1000) == 0 ? random.Next(60) : 0);
            Span<byte> element = raw.AsSpan(i * width, width);
            if (layout.Width == 0)
            {
                element[0] = (byte)((level & 0xf) | (Math.Min(15, level + 3) << 4));
                continue;
            }

            ulong x = 0;
            for (int b = 0; b < width; b++)
            {
                x |= (ulong)element[b] << (8 * b);
            }

            ulong top = ((ulong)level + (layout.TopBits > 8 ? 300UL : 3)) & ((1UL << layout.TopBits) - 1);
            x = (x & ((1UL << layout.RestBits) - 1)) | (top << layout.RestBits);
            x = layout.ZigZag ? (byte)(((x >> 1) ^ (0 - (x & 1))) + layout.Center) : move.Up(x);
            for (int b = 0; b < width; b++)
            {
                element[b] = (byte)(x >> (8 * b));
            }
        }

        return raw;
    }
}
