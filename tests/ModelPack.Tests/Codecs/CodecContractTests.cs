using ModelPack.Codecs;
using ModelPack.Testing;
using ModelPack.Tests.Pack;
using Xunit;

namespace ModelPack.Tests.Codecs;

/// <summary>What every registered codec must do, and every encoder the packer may choose.</summary>
public sealed class CodecContractTests
{
    private static readonly DType[] ElementTypes = [DType.U8, DType.BF16, DType.F16, DType.F32, DType.F64, DType.I32, DType.I64, DType.I4, DType.String];

    public static TheoryData<string> Registered => [.. ModelPack.Codecs.Codecs.All.Select(c => c.Id)];

    [Theory]
    [MemberData(nameof(Registered))]
    public void TryDecode_whatTryEncodeWrote_isTheOriginal(string id)
    {
        int encoded = 0;
        foreach (ICodec codec in Encoders(id))
        {
            foreach ((string kind, byte[] raw) in Data())
            {
                foreach (DType type in ElementTypes)
                {
                    using PoisonBuffer room = PoisonBuffer.EndingAtGuard(raw.Length);
                    if (!codec.TryEncode(raw, type, room.GetSpan(), out int written))
                    {
                        continue;
                    }

                    encoded++;
                    Assert.InRange(written, 1, raw.Length);
                    using PoisonBuffer input = PoisonBuffer.Copy<byte>(room.GetSpan()[..written]);
                    using PoisonBuffer output = PoisonBuffer.EndingAtGuard(raw.Length);
                    Assert.True(codec.TryDecode(input.GetSpan(), type, output.GetSpan()), $"{id} {kind} {type}");
                    Assert.True(raw.AsSpan().SequenceEqual(output.GetSpan()), $"{id} {kind} {type}");

                    // The element type is advice to the encoder: the data alone must decode.
                    Assert.True(codec.TryDecode(input.GetSpan(), DType.Undefined, output.GetSpan()), $"{id} {kind} {type}");
                    Assert.True(raw.AsSpan().SequenceEqual(output.GetSpan()), $"{id} {kind} {type}");
                }
            }
        }

        Assert.True(encoded > 30, $"{id} encoded {encoded} cases");
    }

    /// <summary>Encoders keep state per thread; what a thread coded before, and failed to, must not show.</summary>
    [Fact]
    public void TryEncode_afterAnythingElseOnTheThread_givesTheSameBytes()
    {
        (ICodec Codec, DType Type)[] encoders = [.. new[] { CodecLevel.Fast, CodecLevel.Default, CodecLevel.Max }
            .SelectMany(level => new[] { DType.U8, DType.BF16, DType.F32 }.SelectMany(type => ModelPack.Codecs.Codecs.Candidates(level, type).Select(c => (c, type)))).Distinct()];
        byte[] raw = PackSamples.Bf16(5, 3000);
        byte[]?[] alone = [.. encoders.Select(e => OnNewThread(() => Encode(e.Codec, e.Type, raw, raw.Length)))];
        foreach ((ICodec before, DType type) in encoders)
        {
            foreach (int room in new[] { 20, raw.Length })
            {
                byte[]?[] after = [.. encoders.Select(e => OnNewThread(() =>
                {
                    Encode(before, type, raw, room);
                    return Encode(e.Codec, e.Type, raw, raw.Length);
                }))];
                for (int i = 0; i < encoders.Length; i++)
                {
                    Assert.True(alone[i].AsSpan().SequenceEqual(after[i]), $"{encoders[i].Codec.Id} {encoders[i].Type} after {before.Id} {type} with room for {room} bytes");
                }
            }
        }

        static byte[]? Encode(ICodec codec, DType type, byte[] raw, int room)
        {
            byte[] destination = new byte[room];
            return codec.TryEncode(raw, type, destination, out int written) ? destination[..written] : null;
        }

        static byte[]? OnNewThread(Func<byte[]?> work)
        {
            byte[]? result = null;
            var thread = new Thread(() => result = work());
            thread.Start();
            thread.Join();
            return result;
        }
    }

    [Theory]
    [MemberData(nameof(Registered))]
    public void TryEncode_tooLittleRoom_saysSoOrFits(string id)
    {
        ICodec codec = ModelPack.Codecs.Codecs.Get(id);
        byte[] raw = Sample(id, 6000);
        for (int room = 0; room < 6000; room += room < 40 ? 1 : 531)
        {
            using PoisonBuffer destination = PoisonBuffer.EndingAtGuard(room);
            bool fits = codec.TryEncode(raw, DType.BF16, destination.GetSpan(), out int written);
            Assert.True(fits ? written > 0 && written <= room : written == 0, $"{id}: room {room}, written {written}");
        }
    }

    [Theory]
    [MemberData(nameof(Registered))]
    public void TryDecode_otherLength_isRefused(string id)
    {
        // A constant has no length of its own; the checksum of the decoded chunk tells.
        ICodec codec = ModelPack.Codecs.Codecs.Get(id);
        byte[] raw = Sample(id, 2000);
        byte[] encoded = Encode(codec, raw, DType.BF16);
        foreach (int length in new[] { 0, 1, raw.Length - 2, raw.Length - 1, raw.Length + 1, raw.Length + 2, 2 * raw.Length })
        {
            Assert.Equal(id == "constant" && length > 1, codec.TryDecode(encoded, DType.BF16, new byte[length]));
        }
    }

    [Theory]
    [MemberData(nameof(Registered))]
    public void TryDecode_everyTruncation_isRefused(string id)
    {
        ICodec codec = ModelPack.Codecs.Codecs.Get(id);
        byte[] raw = Sample(id, 1000);
        byte[] encoded = Encode(codec, raw, DType.BF16);
        byte[] output = new byte[raw.Length];
        for (int length = 0; length < encoded.Length; length++)
        {
            using PoisonBuffer input = PoisonBuffer.Copy<byte>(encoded.AsSpan(0, length));
            bool decoded = codec.TryDecode(input.GetSpan(), DType.BF16, output);
            Assert.True(!decoded || id == "constant", $"{id} cut to {length} of {encoded.Length}");
        }
    }

    [Theory]
    [MemberData(nameof(Registered))]
    public void TryDecode_tenThousandMutations_neverThrowsOrLeavesItsBuffers(string id)
    {
        ICodec codec = ModelPack.Codecs.Codecs.Get(id);
        byte[] raw = id is "constant" or "palette" ? Sample(id, 1000) : id is "sparse" or "records" or "bits" or "ranks" ? Sample(id, 2001) : [.. IsRans(id) ? Sample(id, 2000) : PackSamples.Bf16(1, 400), .. "a text that repeats, a text that repeats, a text that repeats "u8, .. new byte[137]];
        byte[] encoded = Encode(codec, raw, DType.BF16);
        using PoisonBuffer output = PoisonBuffer.EndingAtGuard(raw.Length);
        for (ulong seed = 1; seed <= 10_000; seed++)
        {
            Mutation mutation = Mutations.Apply(encoded, seed, hotBytes: 32);
            using PoisonBuffer input = PoisonBuffer.Copy<byte>(mutation.Bytes);
            try
            {
                codec.TryDecode(input.GetSpan(), DType.BF16, output.GetSpan());
            }
            catch (Exception e)
            {
                Assert.Fail($"{id}, seed {seed} ({mutation.Description}): {e}");
            }
        }
    }

    [Theory]
    [MemberData(nameof(Registered))]
    public void TryEncode_again_onAnyThread_sameBytes(string id)
    {
        foreach (ICodec codec in Encoders(id))
        {
            byte[] raw = Sample(id, 100_000);
            byte[] first = Encode(codec, raw, DType.BF16);
            _ = Encode(codec, Sample(id, 7000), DType.F32);
            Assert.Equal(first, Encode(codec, raw, DType.BF16));
            byte[]? other = null;
            var thread = new Thread(() => other = Encode(codec, raw, DType.BF16));
            thread.Start();
            thread.Join();
            Assert.Equal(first, other);
        }
    }

    [Theory]
    [MemberData(nameof(Registered))]
    public void Coding_steadyState_allocatesNothing(string id)
    {
        ICodec codec = ModelPack.Codecs.Codecs.Get(id);
        byte[] raw = Sample(id, 100_000);
        byte[] room = new byte[raw.Length];
        int written = 0;
        // What a call needs shows in every run; a pool that the collector has trimmed in the meantime shows in one.
        long allocated = long.MaxValue;
        for (int i = 0; i < 20; i++)
        {
            long before = GC.GetAllocatedBytesForCurrentThread();
            Assert.True(codec.TryEncode(raw, DType.BF16, room, out written));
            Assert.True(codec.TryDecode(room.AsSpan(0, written), DType.BF16, raw));
            allocated = Math.Min(allocated, GC.GetAllocatedBytesForCurrentThread() - before);
        }

        Assert.Equal(0, allocated);
    }

    [Fact]
    public void PlanesZstd_afterAHigherLevelOnTheSameThread_sameBytes()
    {
        byte[] raw = PackSamples.Bf16(5, 50_000);
        ICodec codec = ModelPack.Codecs.Codecs.Get("planes-zstd");
        byte[] first = Encode(codec, raw, DType.BF16);
        foreach (ICodec other in Encoders("planes-zstd").Concat(Encoders("zstd")))
        {
            _ = Encode(other, raw, DType.BF16);
            Assert.Equal(first, Encode(codec, raw, DType.BF16));
        }
    }

    [Fact]
    public void All_wireIds_areThoseOfTheSpecification() =>
        Assert.Equal(
            [(0, "stored"), (1, "constant"), (2, "planes-zstd"), (3, "zstd"), (4, "lz4"), (5, "planes-rans"), (6, "planes-huffman"), (7, "codes-rans"), (8, "palette"), (10, "sparse"), (11, "huffman"), (12, "records"), (13, "bits"), (14, "ranks")],
            ModelPack.Codecs.Codecs.All.Select(c => ((int)c.WireId, c.Id)));

    [Fact]
    public void Candidates_areRegisteredFormats()
    {
        foreach (CodecLevel level in Enum.GetValues<CodecLevel>())
        {
            foreach (DType type in ElementTypes)
            {
                Assert.All(ModelPack.Codecs.Codecs.Candidates(level, type), c =>
                {
                    Assert.True(ModelPack.Codecs.Codecs.TryGet(c.WireId, out ICodec? registered));
                    Assert.Equal(registered!.Id, c.Id);
                });
            }
        }

        Assert.False(ModelPack.Codecs.Codecs.TryGet(255, out _));
    }

    private static IEnumerable<ICodec> Encoders(string id) =>
        Enum.GetValues<CodecLevel>()
            .SelectMany(level => ElementTypes.SelectMany(type => ModelPack.Codecs.Codecs.Candidates(level, type)))
            .Append(ModelPack.Codecs.Codecs.Get(id))
            .Where(c => c.Id == id)
            .Distinct();

    private static IEnumerable<(string Kind, byte[] Raw)> Data()
    {
        foreach (int length in new[] { 1, 2, 3, 4, 7, 8, 9, 15, 16, 17, 31, 33, 64, 65, 127, 1000, 4099, 70_001 })
        {
            yield return ($"random {length}", PackSamples.Random(length, length));
            yield return ($"zeros {length}", new byte[length]);
            yield return ($"bf16 {length}", PackSamples.Bf16(length, length)[..length]);
            yield return ($"f32 {length}", PackSamples.F32(length, length)[..length]);
            yield return ($"period 8 {length}", [.. Enumerable.Range(0, length).Select(i => (byte)((i % 8) + 1))]);
            yield return ($"ramp {length}", [.. Enumerable.Range(0, length).Select(i => (byte)(i / 5))]);
            yield return ($"sparse {length}", [.. Enumerable.Range(0, length).Select(i => (byte)(i % 37 == 0 ? i : 0))]);
        }
    }

    /// <summary>The states of a rANS block alone take 512 bytes, so it needs more to be smaller.</summary>
    private static bool IsRans(string id) => id.EndsWith("-rans", StringComparison.Ordinal);

    /// <summary>Bytes that the codec makes smaller; rANS gets twice as many.</summary>
    private static byte[] Sample(string id, int length) => id switch
    {
        "planes-rans" => PackSamples.Bf16(5, length),
        "codes-rans" => [.. PackSamples.Bf16(5, 2 * length).Where((_, i) => i % 2 == 1)],
        "constant" => [.. Enumerable.Range(0, length).Select(i => (byte)(i % 64))],
        "palette" => [.. Enumerable.Range(0, length).Select(i => (byte)((i % 2) + (2 * (i / 2 * i / 2 % 11))))],
        "lz4" => [.. Enumerable.Range(0, length).Select(i => (byte)(i % 11 == 0 ? i / 100 : i % 7))],
        "records" => [.. Enumerable.Range(0, length).Select(i => (byte)(i % 34 == 1 ? 0x2c : i % 34 == 0 ? i * 7 : (i * i) % 23))],
        "sparse" => [.. Enumerable.Range(0, length).Select(i => (byte)(i % 97 == 0 || i % 61 == 1 ? i : 0))],
        "bits" => [.. PackSamples.Random(5, length).Select((b, i) => (byte)(i % 2 == 0 ? 1 << (b % 8) : 0))],
        "ranks" => [.. RanksTests.Make(64, 8, length / 8, 5), .. new byte[length % 8]],
        _ => PackSamples.Bf16(5, length)[..length],
    };

    private static byte[] Encode(ICodec codec, byte[] raw, DType type)
    {
        byte[] room = new byte[raw.Length];
        Assert.True(codec.TryEncode(raw, type, room, out int written), codec.Id);
        return room[..written];
    }
}
