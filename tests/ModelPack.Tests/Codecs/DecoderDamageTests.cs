using System.Buffers.Binary;
using System.Globalization;
using ModelPack.Codecs;
using ModelPack.Testing;
using ModelPack.Tests.Pack;
using Xunit;

namespace ModelPack.Tests.Codecs;

/// <summary>
/// Decoders alone on damaged chunks, without any checksum in front of them: whatever the bytes are, they end with true or false, inside their buffers, in bounded time and memory. Every buffer has an unmapped page at one end, by
/// turns the one behind and the one before it, and bytes at its other end that nobody may change.
/// </summary>
[Trait("Category", "Simd")]
public sealed class DecoderDamageTests
{
    private static readonly int DamagesPerCodec = LongTests.Wanted ? 100_000 : 20_000;

    /// <summary>Decoding uses buffers in proportion to the chunk; 20 s is a hang, however busy the machine is.</summary>
    private const long AllocationLimitBytes = 4 << 20;

    public static TheoryData<string> Registered => [.. ModelPack.Codecs.Codecs.All.Select(c => c.Id)];

    [Theory]
    [MemberData(nameof(Registered))]
    public void TryDecode_hundredThousandDamages_staysInsideItsBuffers(string id)
    {
        Chunk[] chunks = [.. Chunks(id, 1500, 9001, 40_003)];
        int each = (DamagesPerCodec + chunks.Length - 1) / chunks.Length;
        int refused = 0;
        Parallel.ForEach(chunks, chunk =>
        {
            using var room = new Room(chunk);
            FuzzReport report = Fuzzer.Fuzz(
                chunk.Encoded,
                each,
                damaged => Interlocked.Add(ref refused, room.Decode(damaged) ? 0 : 1),
                allocationLimitBytes: AllocationLimitBytes,
                hotBytes: 64);
            Assert.Equal(each, report.Accepted);
        });

        // A constant takes any pattern and stored bytes have no redundancy; the others notice many damages by themselves.
        Assert.True(refused > DamagesPerCodec / 50, $"{refused} of {DamagesPerCodec} damages were refused");
    }

    /// <summary>Every place where a length, a count, an offset or a mode may stand, with every value that has ever broken a reader.</summary>
    [Theory]
    [MemberData(nameof(Registered))]
    public void TryDecode_hostileNumberAnywhereInTheHeaders_staysInsideItsBuffers(string id) => Parallel.ForEach(Chunks(id, 9001), chunk =>
    {
        using var room = new Room(chunk);
        byte[] damaged = [.. chunk.Encoded];
        int headers = Math.Min(damaged.Length, 160);
        int cases = 0;
        for (int at = 0; at < headers; at++)
        {
            foreach (int width in new[] { 1, 2, 4 })
            {
                if (at + width > damaged.Length)
                {
                    continue;
                }

                foreach (long value in Hostile(width, chunk.Encoded.Length, chunk.RawBytes, Read(chunk.Encoded, at, width), everyByte: at < 32))
                {
                    Write(damaged, at, width, value);
                    Try(room, damaged, () => $"{id} {chunk.Kind}: {value} in {width} bytes at {at}");
                    cases++;
                }

                chunk.Encoded.AsSpan(at, width).CopyTo(damaged.AsSpan(at));
            }
        }

        Assert.True(cases > 50 * headers || headers < 4, $"{cases} cases");
        Assert.Equal(chunk.Encoded, damaged);
        Assert.True(room.Decode(damaged), $"{id} {chunk.Kind}: the undamaged chunk decodes");
    });

    /// <summary>What one byte more or less at either end does, for every byte value, and chunks of one repeated byte of any length.</summary>
    [Theory]
    [MemberData(nameof(Registered))]
    public void TryDecode_shortAndUniformChunks_staysInsideItsBuffers(string id)
    {
        foreach (int raw in new[] { 0, 1, 2, 3, 7, 8, 63, 64, 255, 4096, 8191, 70_000 })
        {
            using var room = new Room(new Chunk(id, "uniform", new byte[4200], raw));
            for (int length = 0; length <= 4200; length += length < 40 ? 1 : 389)
            {
                byte[] bytes = new byte[length];
                for (int value = 0; value < 256; value += length < 40 ? 1 : 17)
                {
                    bytes.AsSpan().Fill((byte)value);
                    Try(room, bytes, () => $"{id}: {length} bytes {value} as {raw}");
                }
            }
        }
    }

    /// <summary>A chunk that claims to be much more than it is costs no more than the claim.</summary>
    [Theory]
    [MemberData(nameof(Registered))]
    public void TryDecode_longestChunkAnIndexMayClaim_isRefusedOrDecoded(string id)
    {
        // Memory of zeros that is mapped and, unless the decoder fills it, never there.
        const int longest = 1 << 28;
        Assert.Equal(longest, ModelPack.Pack.PackLayout.MaxCodedChunkBytes);
        ICodec codec = ModelPack.Codecs.Codecs.Get(id);
        using PoisonBuffer raw = PoisonBuffer.EndingAtGuard(longest);
        foreach (Chunk chunk in Chunks(id, 9001).Take(id == "constant" ? 1 : 3))
        {
            using PoisonBuffer encoded = PoisonBuffer.Copy<byte>(chunk.Encoded);
            Assert.Equal(id == "constant", codec.TryDecode(encoded.GetSpan(), DType.Undefined, raw.GetSpan()));
        }
    }

    private static void Try(Room room, byte[] damaged, Func<string> what)
    {
        try
        {
            room.Decode(damaged);
        }
        catch (Exception e) when (e is not Xunit.Sdk.XunitException)
        {
            Assert.Fail($"{what()}: {e}");
        }
    }

    private static IEnumerable<long> Hostile(int width, int encoded, int raw, long original, bool everyByte)
    {
        if (width == 1 && everyByte)
        {
            return Enumerable.Range(0, 256).Select(v => (long)v);
        }

        long[] values =
        [
            0, 1, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff, 0x1_0000, 0x3fff_ffff, 0x4000_0000, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff,
            encoded - 1, encoded, encoded + 1, raw - 1, raw, raw + 1, raw / 2, raw / 4, 2L * raw,
            original - 1, original + 1, original + 64, 2 * original, ~original,
        ];
        long mask = (1L << (8 * width)) - 1;
        return values.Select(v => v & mask).Distinct();
    }

    private static long Read(byte[] bytes, int at, int width) =>
        width == 4 ? BinaryPrimitives.ReadUInt32LittleEndian(bytes.AsSpan(at)) : width == 2 ? BinaryPrimitives.ReadUInt16LittleEndian(bytes.AsSpan(at)) : bytes[at];

    private static void Write(byte[] bytes, int at, int width, long value)
    {
        for (int i = 0; i < width; i++)
        {
            bytes[at + i] = (byte)(value >> (8 * i));
        }
    }

    /// <summary>Chunks of every layout that a codec has, short ones for the loops that begin and end, and long ones for the vectors in between.</summary>
    private static IEnumerable<Chunk> Chunks(string id, params int[] lengths)
    {
        int found = 0;
        foreach (int length in lengths)
        {
            foreach ((ICodec codec, DType type) in Encoders(id))
            {
                foreach ((string kind, byte[] raw) in Data(id, type, length))
                {
                    byte[] room = new byte[raw.Length];
                    if (codec.TryEncode(raw, type, room, out int written))
                    {
                        found++;
                        yield return new Chunk(id, string.Create(CultureInfo.InvariantCulture, $"{kind} {length} {type}"), room[..written], raw.Length);
                    }
                }
            }
        }

        Assert.True(found >= lengths.Length, $"{id}: {found} chunks");
    }

    private static IEnumerable<(ICodec Codec, DType Type)> Encoders(string id)
    {
        DType[] types = id is "planes-rans" or "planes-huffman" or "planes-zstd" or "palette" or "sparse"
            ? [DType.BF16, DType.F16, DType.F32, DType.F64, DType.U8]
            : id == "codes-rans" ? [DType.I8, DType.F8E4M3FN, DType.I4] : [DType.U8];
        CodecLevel[] levels = id.EndsWith("-rans", StringComparison.Ordinal) ? [CodecLevel.Fast, CodecLevel.Max] : [CodecLevel.Default];
        foreach (DType type in types)
        {
            bool any = false;
            foreach (ICodec codec in levels.SelectMany(l => ModelPack.Codecs.Codecs.Candidates(l, type)).Where(c => c.Id == id).Distinct())
            {
                any = true;
                yield return (codec, type);
            }

            if (!any && type == types[0])
            {
                yield return (ModelPack.Codecs.Codecs.Get(id), type);
            }
        }
    }

    private static IEnumerable<(string Kind, byte[] Raw)> Data(string id, DType type, int length)
    {
        if (id == "stored")
        {
            yield return ("random", PackSamples.Random(1, length));
            yield break;
        }

        if (id == "constant")
        {
            yield return ("one value", new byte[length]);
            yield return ("period 64", [.. Enumerable.Range(0, length).Select(i => (byte)(i % 64))]);
            yield break;
        }

        if (id == "records")
        {
            yield return ("blocks", [.. Enumerable.Range(0, length).Select(i => (byte)(i % 34 == 1 ? 0x2c : i % 34 == 0 ? i * 7 : (i * i) % 23))]);
            yield break;
        }

        if (id == "bits")
        {
            yield return ("few", [.. PackSamples.Random(1, length).Select((b, i) => (byte)(i % 3 == 0 ? 1 << (b % 8) : 0))]);
            yield return ("many", [.. PackSamples.Random(2, length).Select(b => (byte)~(1 << (b % 8)))]);
            yield return ("rare", [.. Enumerable.Range(0, length).Select(i => (byte)(i % 171 == 3 ? 1 << (i % 8) : 0))]);
            yield break;
        }

        if (id == "ranks")
        {
            yield return ("banks", RanksTests.Make(64, 8, length / 8, 1));
            yield return ("short", [.. RanksTests.Make(16, 3, length / 2, 2), 77]);
            yield break;
        }

        if (id is "palette" or "sparse")
        {
            yield return ("few values", [.. Enumerable.Range(0, length).Select(i => (byte)(i / 8 % 64 == 3 ? (i * i % 5) + 1 : 0))]);
            yield return ("rare values", [.. Enumerable.Range(0, length).Select(i => (byte)(i / 8 % 511 == 3 ? (i * i % 3) + 1 : 0))]);
            yield break;
        }

        if (type is DType.BF16 or DType.F8E4M3FN)
        {
            yield return ("bf16", PackSamples.Bf16(length, length)[..length]);
        }
        else if (type is DType.F16 or DType.F32 or DType.F64)
        {
            yield return ("f32", PackSamples.F32(length, length)[..length]);
            yield return ("widened", RansTests.Widened(type, (length / 2) + 1)[..length]);
        }
        else
        {
            yield return ("codes", [.. PackSamples.Random(length, length).Select((b, i) => (byte)(i % 900 < 450 ? b & 0x33 : b & 0x8f))]);
            yield return ("text", [.. Enumerable.Range(0, length).Select(i => (byte)(i % 11 == 0 ? 'a' + (i / 100 % 26) : "the tokens "[i % 11]))]);
        }
    }

    /// <summary>An undamaged chunk.</summary>
    private sealed record Chunk(string Codec, string Kind, byte[] Encoded, int RawBytes);

    /// <summary>The buffers of one decoder, used again and again.</summary>
    private sealed class Room : IDisposable
    {
        private const byte Untouched = 0xA5;
        private const int Spare = 256;

        private readonly ICodec _codec;
        private readonly int _rawBytes;
        private readonly PoisonBuffer _before;
        private readonly PoisonBuffer _behind;
        private readonly PoisonBuffer _rawBefore;
        private readonly PoisonBuffer _rawBehind;
        private bool _flip;

        public Room(Chunk chunk)
        {
            _codec = ModelPack.Codecs.Codecs.Get(chunk.Codec);
            _rawBytes = chunk.RawBytes;

            // Damage inserts at most the length again, a few times.
            int most = (8 * chunk.Encoded.Length) + 4096;
            _before = PoisonBuffer.StartingAtGuard(most);
            _behind = PoisonBuffer.EndingAtGuard(most);
            _rawBefore = PoisonBuffer.StartingAtGuard(chunk.RawBytes + Spare);
            _rawBehind = PoisonBuffer.EndingAtGuard(chunk.RawBytes + Spare);
            _rawBefore.GetSpan().Fill(Untouched);
            _rawBehind.GetSpan().Fill(Untouched);
        }

        public bool Decode(byte[] damaged)
        {
            // Input and output by turns at the page before and at the page behind, in all four pairs over time.
            _flip = !_flip;
            bool inputBehind = _flip;
            bool outputBehind = _flip ^ (damaged.Length % 2 == 0);
            Span<byte> input = inputBehind ? _behind.GetSpan()[^damaged.Length..] : _before.GetSpan()[..damaged.Length];
            damaged.CopyTo(input);
            Span<byte> output = outputBehind ? _rawBehind.GetSpan()[Spare..] : _rawBefore.GetSpan()[.._rawBytes];
            bool decoded = _codec.TryDecode(input, DType.Undefined, output);
            Span<byte> spare = outputBehind ? _rawBehind.GetSpan()[..Spare] : _rawBefore.GetSpan()[_rawBytes..];
            Assert.True(spare.IndexOfAnyExcept(Untouched) < 0, "bytes outside of the output were written");
            Assert.True(input.SequenceEqual(damaged), "the input was changed");
            return decoded;
        }

        public void Dispose()
        {
            ((IDisposable)_before).Dispose();
            ((IDisposable)_behind).Dispose();
            ((IDisposable)_rawBefore).Dispose();
            ((IDisposable)_rawBehind).Dispose();
        }
    }
}
