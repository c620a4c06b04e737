using ModelPack.Codecs;
using ModelPack.Testing;
using ModelPack.Tests.Pack;
using Xunit;

namespace ModelPack.Tests.Codecs;

/// <summary>The parts of the rANS codecs: tables, states, packed planes, logarithms, and blocks that must be refused.</summary>
[Trait("Category", "Simd")]
public sealed unsafe class RansPartTests
{
    [Fact]
    public void Log2_everyByteAndMore_isCloseToTheLogarithm()
    {
        var random = new Random(1);
        foreach (uint x in Enumerable.Range(1, 70_000).Select(i => (uint)i).Concat(Enumerable.Range(0, 1000).Select(_ => (uint)random.NextInt64(1, 1L << 32))))
        {
            Assert.InRange((FixedLog2.Of(x) / 65536.0) - Math.Log2(x), -1 / 20_000.0, 1 / 60_000.0);
        }
    }

    [Fact]
    public void Choose_randomCounts_addsUpAndIsCloseToTheEntropy()
    {
        var random = new Random(2);
        byte[] frequencies = new byte[32];
        for (int i = 0; i < 3000; i++)
        {
            int entries = random.Next(2, 33);
            uint[] counts = new uint[entries];
            double steepness = random.NextDouble() * 20 / entries;
            for (int s = 0; s < entries; s++)
            {
                counts[s] = random.Next(4) == 0 ? 0 : (uint)(random.Next(1000) * Math.Exp(-steepness * s) * 10);
            }

            if (counts.All(c => c == 0))
            {
                continue;
            }

            bool escape = random.Next(2) == 0;
            Span<byte> chosen = frequencies.AsSpan(0, entries);
            RansFrequencies.Choose(counts, escape, chosen);
            Assert.Equal(256, chosen.ToArray().Sum(f => f));
            Assert.True(!escape || chosen[^1] > 0, $"case {i}");
            double total = counts.Sum(c => (double)c);
            double entropy = counts.Where(c => c > 0).Sum(c => c * Math.Log2(total / c));
            double bits = Bits(counts, chosen);
            Assert.True(bits <= entropy + (total * 0.055) + 140, $"case {i}: {bits} bits, entropy {entropy}, {total} symbols");
            for (int s = 0; s < entries; s++)
            {
                // Every symbol that occurs can be coded.
                Assert.True(counts[s] == 0 || chosen[s] > 0 || chosen[^1] > 0, $"case {i}");
            }
        }
    }

    [Theory]
    [InlineData(0.3)]
    [InlineData(0.5)]
    [InlineData(0.7)]
    public void Choose_exponentsOfWeights_losesLessThanAHundredthOfABit(double ratio)
    {
        // The tail of a Gaussian's exponents: each half as frequent as the one before, far below a slot's share.
        uint[] counts = [.. Enumerable.Range(0, 24).Select(s => (uint)(100_000 * Math.Pow(ratio, s))), 0];
        byte[] chosen = new byte[counts.Length];
        RansFrequencies.Choose(counts, false, chosen);
        double total = counts.Sum(c => (double)c);
        double entropy = counts.Where(c => c > 0).Sum(c => c * Math.Log2(total / c));
        Assert.InRange((Bits(counts, chosen) - entropy) / total, 0, 0.01);
    }

    /// <summary>Bits of all symbols: their slots, and for those without the slots of the escape and their entropy among themselves.</summary>
    private static double Bits(uint[] counts, ReadOnlySpan<byte> frequencies)
    {
        double bits = 0;
        double escaped = counts[^1];
        for (int s = 0; s < counts.Length - 1; s++)
        {
            escaped += frequencies[s] == 0 ? counts[s] : 0;
        }

        for (int s = 0; s < counts.Length; s++)
        {
            bool direct = frequencies[s] != 0 && s < counts.Length - 1;
            bits += counts[s] == 0 ? 0 : counts[s] * (8 - Math.Log2(frequencies[direct ? s : ^1]) + (direct || s == counts.Length - 1 ? 0 : Math.Log2(escaped / counts[s])));
        }

        return bits;
    }

    [Fact]
    public void BuildEncode_everyFrequency_dividesExactly()
    {
        byte* table = stackalloc byte[RansTable.EncodeBytes];
        var random = new Random(3);
        for (int f = 1; f < 256; f++)
        {
            RansTable.BuildEncode([(byte)f, (byte)(256 - f)], table);
            uint info = ((uint*)(table + RansTable.Infos))[0];
            Assert.Equal((uint)f, 256 - (info & 0xff));
            uint limit = (uint)f << 23;
            for (int i = 0; i < 2000; i++)
            {
                uint x = i < 500 ? limit - 1 - (uint)i : i < 1000 ? (uint)(((limit / (uint)f / 500) * (i - 500) * f) + (i & 1)) : (uint)random.NextInt64(limit);
                Assert.Equal(x / (uint)f, (uint)((2UL * x * ((uint*)table)[0]) >> 32) >> (int)(info >> 24));
            }
        }
    }

    [Fact]
    public void States_written_comeBackWithWhatTheyCarry()
    {
        var random = new Random(4);
        uint* states = stackalloc uint[128];
        uint* back = stackalloc uint[128];
        byte[] room = new byte[RansStates.MaxBytes];
        for (int i = 0; i < 300; i++)
        {
            for (int s = 0; s < 128; s++)
            {
                states[s] = i == 0 ? RansFormat.LowerBound : i == 1 ? (1u << 31) - 1 : (uint)random.NextInt64(1u << 15, 1L << random.Next(16, 32));
            }

            int written = RansStates.Write(states, room);
            Assert.True(RansStates.TryRead(room.AsSpan(0, written), back, out int read));
            Assert.Equal(written, read);
            Assert.True(new Span<uint>(states, 128).SequenceEqual(new Span<uint>(back, 128)));
            Assert.False(RansStates.TryRead(room.AsSpan(0, written - 1), back, out _));
            Assert.Equal(i < 2 ? i == 0 : states[0] >> 15 == 1 && new Span<uint>(states, 128).IndexOfAnyExceptInRange(1u << 15, (1u << 16) - 1) < 0, RansStates.TryEnd(states, new byte[RansStates.TailBytes]));
        }

        byte[] tail = PackSamples.Random(5, RansStates.TailBytes);
        byte[] carried = new byte[RansStates.TailBytes];
        RansStates.Begin(tail, states);
        Assert.True(RansStates.TryEnd(states, carried));
        Assert.Equal(tail, carried);
        Assert.False(RansStates.TryEnd(states, []));
        RansStates.Begin([], states);
        Assert.True(RansStates.TryEnd(states, []));
    }

    [Fact]
    public void BitPlane_everyWidthAndLength_comesBack()
    {
        for (int bits = 1; bits < 8; bits++)
        {
            byte[] values = PackSamples.Random(bits, 700);
            for (int count = 1; count < 700; count += count < 200 ? 1 : 37)
            {
                using PoisonBuffer source = PoisonBuffer.Copy<byte>(values.AsSpan(0, count));
                using PoisonBuffer plane = PoisonBuffer.EndingAtGuard(BitPlane.Bytes(count, bits));
                BitPlane.Pack(source.Pointer, count, bits, plane.Pointer);
                byte[] packed = plane.GetSpan().ToArray();
                for (int i = 0; i < count; i++)
                {
                    int value = 0;
                    for (int b = 0; b < bits; b++)
                    {
                        int at = (i * bits) + b;
                        value |= ((packed[at >> 3] >> (at & 7)) & 1) << b;
                    }

                    Assert.Equal(values[i] & ((1 << bits) - 1), value);
                }

                // The highest bits: what is packed is the value moved down, and what comes back stands above zeros.
                using PoisonBuffer upper = PoisonBuffer.EndingAtGuard(packed.Length);
                BitPlane.PackUpper(source.Pointer, count, bits, upper.Pointer);
                using PoisonBuffer unpacked = PoisonBuffer.EndingAtGuard(count);
                BitPlane.UnpackUpper(upper.Pointer, upper.Pointer + packed.Length, bits, count, unpacked.Pointer);
                Assert.Equal(values.Take(count).Select(v => (byte)(v >> (8 - bits) << (8 - bits))), unpacked.GetSpan().ToArray());
                byte[] moved = [.. values.Take(count).Select(v => (byte)(v >> (8 - bits)))];
                byte[] expected = new byte[packed.Length];
                fixed (byte* m = moved)
                fixed (byte* e = expected)
                {
                    BitPlane.Pack(m, count, bits, e);
                }

                Assert.Equal(expected, upper.GetSpan().ToArray());

                using PoisonBuffer high = PoisonBuffer.Copy<byte>(values.Skip(1).Take(count).Concat(new byte[count]).Take(count).ToArray());
                byte[] above = high.GetSpan().ToArray();
                BitPlane.UnpackBelow(plane.Pointer, plane.Pointer + packed.Length, bits, high.Pointer, count, high.Pointer);
                for (int i = 0; i < count; i++)
                {
                    Assert.Equal((byte)((above[i] << bits) | (values[i] & ((1 << bits) - 1))), high.GetSpan()[i]);
                }
            }
        }
    }

    [Fact]
    public void TopKernel_everyLength_equalsItsDefinition()
    {
        byte[] bytes = PackSamples.Random(6, 400);
        for (int count = 1; count < 200; count++)
        {
            using PoisonBuffer source = PoisonBuffer.Copy<byte>(bytes.AsSpan(0, count));
            using PoisonBuffer mapped = PoisonBuffer.EndingAtGuard(count);
            using PoisonBuffer back = PoisonBuffer.EndingAtGuard(count);
            TopKernel.ToZigZag(source.Pointer, 200, count, mapped.Pointer);
            TopKernel.FromZigZag(mapped.Pointer, 200, count, back.Pointer);
            Assert.Equal(source.GetSpan().ToArray().Select(b => (byte)((sbyte)(b - 200) is var d && d < 0 ? (-2 * d) - 1 : 2 * d)), mapped.GetSpan().ToArray());
            Assert.True(source.GetSpan().SequenceEqual(back.GetSpan()));
            for (int moved = 0; moved < 8; moved++)
            {
                var move = new SignMove(8, moved);
                TopKernel.SignDown(source.Pointer, move, count, mapped.Pointer);
                TopKernel.SignUp(mapped.Pointer, move, count, back.Pointer);
                Assert.Equal(source.GetSpan().ToArray().Select(b => (byte)move.Down(b)), mapped.GetSpan().ToArray());
                Assert.True(source.GetSpan().SequenceEqual(back.GetSpan()));
            }

            using PoisonBuffer nibbles = PoisonBuffer.EndingAtGuard(2 * count);
            TopKernel.ToNibbles(source.Pointer, count, nibbles.Pointer);
            TopKernel.FromNibbles(nibbles.Pointer, count, back.Pointer);
            Assert.Equal(source.GetSpan().ToArray().SelectMany(b => new[] { (byte)(b & 15), (byte)(b >> 4) }), nibbles.GetSpan().ToArray());
            Assert.True(source.GetSpan().SequenceEqual(back.GetSpan()));
            using PoisonBuffer low = PoisonBuffer.Copy<byte>(bytes.AsSpan(count, count));
            for (int bits = 0; bits < 8; bits++)
            {
                TopKernel.ShiftDown(source.Pointer, bits, count, mapped.Pointer);
                Assert.Equal(source.GetSpan().ToArray().Select(b => (byte)(b >> bits)), mapped.GetSpan().ToArray());
                TopKernel.ShiftDown(source.Pointer, low.Pointer, bits, 1234, count, mapped.Pointer);
                Assert.Equal(Enumerable.Range(0, count).Select(i => (byte)((((bytes[i] << 8) | bytes[count + i]) >> bits) - 1234)), mapped.GetSpan().ToArray());
            }
        }
    }

    [Theory]
    [InlineData("too short", 5, 0, 0)]
    [InlineData("width 3", 0, 3, 1)]
    [InlineData("width of the other codec", 0, 2, 1)]
    [InlineData("nibbles with a rest", 0, 0, 1)]
    [InlineData("sign behind the element", 1, 8, 1)]
    [InlineData("no bit of a symbol", 2, 8, 1)]
    [InlineData("centre without zig-zag", 3, 1, 1)]
    [InlineData("first value without wide symbols", 4, 1, 1)]
    [InlineData("outliers without wide symbols", 6, 1, 1)]
    [InlineData("no block", 10, 0, 4)]
    [InlineData("block longer than the chunk", 10, 0x7fff_ffff, 4)]
    [InlineData("unknown bit of the block", 19, 0x50, 1)]
    [InlineData("more classes", 19, 0x11, 1)]
    [InlineData("no symbols", 20, 0, 1)]
    [InlineData("32 symbols", 20, 32, 1)]
    [InlineData("escapes that are not there", 21, 1, 4)]
    [InlineData("negative escapes", 21, -1, 4)]
    [InlineData("fewer words", 25, 5, 4)]
    [InlineData("more words than symbols", 25, 3001, 4)]
    [InlineData("symbols not ascending", 29, 9, 1)]
    [InlineData("unknown mode of the plane", 14, 4, 1)]
    [InlineData("coded packed plane", 14, 1, 1)]
    [InlineData("plane shorter", 15, 3, 4)]
    [InlineData("plane without bytes", 15, 0, 4)]
    public void TryDecode_hostileHeader_isRefused(string why, int at, int value, int bytes)
    {
        byte[] raw = [.. PackSamples.Random(7, 3000).Select(b => (byte)((byte.TrailingZeroCount(b) << 4) | (b >> 4)))];
        byte[] room = new byte[9000];
        var layout = new RansLayout { Width = 1, RestBits = 4 };
        Assert.True(RansChunkEncoder.TryEncode(raw, layout, CodecLevel.Default, room, out int written));
        byte[] chunk = room[..written];
        Assert.True(RansChunk.TryDecode(chunk, raw, wide: false));
        Assert.Equal(0x10, chunk[19]);
        if (bytes == 0)
        {
            chunk = chunk[..at];
        }
        else
        {
            BitConverter.GetBytes(value).AsSpan(0, bytes).CopyTo(chunk.AsSpan(at));
        }

        Assert.False(RansChunk.TryDecode(chunk, new byte[raw.Length], wide: false), why);
    }

    [Fact]
    public void TryDecode_tablesAndLabels_areChecked()
    {
        // Three symbols without escapes and K = 4: found by making the labels of a real block larger, and its tables wrong by one.
        byte[] raw = [.. PackSamples.Random(8, 40_000).Select((b, i) => (byte)(i / 10_000 % 3 == 0 ? Math.Min(2, (int)byte.TrailingZeroCount(b)) : i / 10_000 % 3 == 1 ? 2 - Math.Min(2, (int)byte.TrailingZeroCount(b)) : b % 3))];
        byte[] room = new byte[120_000];
        var layout = new RansLayout { Width = 1 };
        Assert.True(RansChunkEncoder.TryEncode(raw, layout, CodecLevel.Default, room, out int written));
        byte[] chunk = room[..written];
        const int block = RansLayout.HeaderBytes;
        int classes = (chunk[block] & 0xf) + 1;
        Assert.InRange(classes, 3, 16);
        int sections = block + RansHeader.FixedBytes + chunk[block + 1];
        int tables = sections + PlaneSection.HeaderBytes;
        Assert.Equal(HuffmanPlane.Raw, chunk[sections]);
        Assert.Equal(classes * 4, BitConverter.ToInt32(chunk, sections + 1));
        for (int i = tables; i < tables + (classes * 4); i++)
        {
            chunk[i]++;
            Assert.False(RansChunk.TryDecode(chunk, new byte[raw.Length], wide: false), $"table byte {i - tables}");
            chunk[i]--;
        }

        int labels = tables + (classes * 4);
        Assert.True(RansChunk.TryDecode(chunk, raw, wide: false));
        if (RansFormat.LabelBits(classes) is var bits && classes != 1 << bits)
        {
            chunk[labels] |= (byte)((1 << bits) - 1);
            Assert.False(RansChunk.TryDecode(chunk, new byte[raw.Length], wide: false));
        }
    }
}
