using ModelPack.Codecs;
using ModelPack.Pack;
using ModelPack.Testing;
using ModelPack.Tests.Codecs;
using Xunit;

namespace ModelPack.Tests.Pack;

/// <summary>One open artifact whose stored bytes are damaged in place, read and restored, again and again: a damage costs the decoding of the chunks it touches and no more.</summary>
internal sealed class DamagedArtifact : IDisposable
{
    private readonly byte[] _sound;
    private readonly FileStream _writer;
    private readonly PackReader _reader;
    private readonly (PackStream Stream, long Chunk, byte[] Raw)[] _chunks;
    private readonly byte[] _read;

    /// <summary>Copies an artifact and opens the copy.</summary>
    public DamagedArtifact(string artifact, string copy)
    {
        _sound = File.ReadAllBytes(artifact);
        File.WriteAllBytes(copy, _sound);
        _writer = new FileStream(copy, FileMode.Open, FileAccess.ReadWrite, FileShare.ReadWrite | FileShare.Delete, bufferSize: 0);
        _reader = PackReader.Open(copy);
        var chunks = new List<(PackStream, long, byte[])>();
        foreach (PackStream stream in _reader.Streams)
        {
            for (long chunk = 0; chunk < stream.ChunkCount; chunk++)
            {
                byte[] raw = new byte[stream.RawLength(chunk)];
                _reader.DecodeChunk(stream, chunk, raw);
                chunks.Add((stream, chunk, raw));
            }
        }

        _chunks = [.. chunks];
        _read = new byte[_chunks.Max(c => c.Raw.Length)];
    }

    /// <summary>Damages that were errors so far; the others changed nothing that decoding uses.</summary>
    public int Errors { get; private set; }

    /// <summary>The codecs that occur.</summary>
    public IReadOnlyCollection<string> Codecs => [.. _reader.Streams.Select(s => s.Codec).Distinct()];

    /// <summary>Every codec, a few kilobytes of each, in streams of one chunk.</summary>
    public static PackContent Content()
    {
        // What makes the chooser take a codec, not what it would look like in a model.
        byte[] gguf = [.. PackSamples.Random(1, 34 * 500).Select((b, i) => (byte)(i % 34 == 0 ? b : i % 34 == 1 ? 0x2c : b & 0x37))];
        byte[] scaled = PackSamples.Bf16(3, 40_000);
        for (int i = 0; i < 40_000; i++)
        {
            // Local scale, which tables of classes are for.
            scaled[(2 * i) + 1] ^= (byte)(i / 2500 % 2 == 0 ? 2 : 0);
        }

        return PackContent.Empty with
        {
            Tensors =
            [
                PackSamples.Raw("constant", DType.F32, new Shape(1000), new byte[4000]),
                PackSamples.Raw("palette", DType.F32, new Shape(3001), [.. PackSamples.Random(9, 3001).SelectMany(b => BitConverter.GetBytes((b % 13) * 0.37f))]),
                PackSamples.Raw("planes-huffman", DType.F32, new Shape(2500), PackSamples.F32(4, 2500)),
                PackSamples.Raw("planes-rans", DType.BF16, new Shape(40_000), scaled),
                PackSamples.Raw("codes-rans", DType.I8, new Shape(70_000), [.. PackSamples.Random(6, 70_000).Select((b, i) => (byte)(i / 8192 % 2 == 0 ? b & 0x33 : b & 0x8f))]),
                PackSamples.Raw("huffman", DType.U8, new Shape(9000), [.. PackSamples.Random(7, 9000).Select(b => (byte)(b & 0x35))]),
                PackSamples.Raw("sparse", DType.I32, new Shape(4000), [.. Enumerable.Range(0, 16_000).Select(i => (byte)(i % 4 == 0 && i * 7919 % 97 == 0 ? 1 + (i % 63) : 0))]),
                PackSamples.Raw("records", DType.U8, new Shape(gguf.Length), gguf) with { Records = RecordsCodec.ScaleAnd32Codes },
                PackSamples.Raw("bits", DType.U8, new Shape(8000), Bits(8000, 100)),
                PackSamples.Raw("ranks", DType.U8, new Shape(4000), RanksTests.Make(64, 8, 500, 3)),
                PackSamples.Raw("lz4", DType.U8, new Shape(6000), [.. Enumerable.Range(0, 6000).Select(i => PackSamples.Random(1, 300)[i % 300])]),
                PackSamples.Raw("stored", DType.U8, new Shape(3000), PackSamples.Random(2, 3000)),
                PackSamples.Raw("planes-zstd", DType.I32, new Shape(3000), Ascending(12_000)),
                ArtifactDamageTests.Quantized("int4", "int4(block=32)", 64, 96),
            ],
            Blobs = [KeyValuePair.Create("text", TensorData.FromBytes(Words(6000)))],
        };
    }

    /// <summary>A mask in which one of so many bits is set.</summary>
    private static byte[] Bits(int bytes, int every)
    {
        var random = new SplitMix(11);
        byte[] mask = new byte[bytes];
        for (int i = 0; i < bytes * 8 / every; i++)
        {
            int bit = random.Below(bytes * 8);
            mask[bit / 8] |= (byte)(1 << (bit % 8));
        }

        return mask;
    }

    /// <summary>Damages a chunk; what is read then must be an error or the truth.</summary>
    public void Check(ulong seed)
    {
        var random = new SplitMix(seed);
        (PackStream stream, long chunk, byte[] raw) = _chunks[random.Below(_chunks.Length)];
        ChunkRecord record = _reader.Record(stream, chunk);
        Span<byte> sound = _sound.AsSpan((int)record.OffsetBytes, record.StoredBytes);

        // Damage that keeps the length, cut or filled up to it, and that changes something.
        byte[] damaged = [.. sound];
        for (ulong again = seed; sound.SequenceEqual(damaged); again += 1 << 20)
        {
            byte[] mutated = Mutations.Apply(sound, again, hotBytes: 48).Bytes;
            mutated.AsSpan(0, Math.Min(mutated.Length, damaged.Length)).CopyTo(damaged);
        }

        RandomAccess.Write(_writer.SafeFileHandle, damaged, record.OffsetBytes);
        try
        {
            Span<byte> read = _read.AsSpan(0, raw.Length);
            _reader.DecodeChunk(stream, chunk, read);
            Assert.True(raw.AsSpan().SequenceEqual(read), $"seed {seed}: chunk {chunk} of '{stream.Name}' ({stream.Codec}) reads wrong data");
        }
        catch (ModelPackException e)
        {
            Assert.Equal(ErrorCodes.ArtifactChunk, e.Code);
            Assert.Contains($"chunk {chunk} of '{stream.Name}'", e.Message, StringComparison.Ordinal);
            Errors++;
        }

        if (seed % 64 == 0)
        {
            Assert.Equal(chunk, Assert.Single(_reader.VerifyStored(), p => p.Stream == stream.Name).Chunk);
        }

        RandomAccess.Write(_writer.SafeFileHandle, sound, record.OffsetBytes);
    }

    public void Dispose()
    {
        _reader.Dispose();
        _writer.Dispose();
    }

    private static byte[] Ascending(int length)
    {
        // Ascending numbers, as offsets are: the upper bytes stand still for long, the lowest is noise. Zeros at the end show that there is repetition to be found.
        int[] words = new int[length / 4];
        var random = new Random(11);
        for (int i = 1; i < words.Length - (words.Length / 10); i++)
        {
            words[i] = words[i - 1] + random.Next(20);
        }

        return System.Runtime.InteropServices.MemoryMarshal.AsBytes(words.AsSpan()).ToArray();
    }

    private static byte[] Words(int length)
    {
        var random = new Random(3);
        string[] words = [.. Enumerable.Range(0, 200).Select(_ => string.Concat(Enumerable.Range(0, random.Next(2, 9)).Select(_ => (char)('a' + random.Next(26)))))];
        return [.. System.Text.Encoding.ASCII.GetBytes(string.Join(' ', Enumerable.Range(0, length).Select(_ => words[(int)(200 * Math.Pow(random.NextDouble(), 2))])))[..length]];
    }
}
