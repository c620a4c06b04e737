using ModelPack.Pack;
using ModelPack.Testing;
using Xunit;

namespace ModelPack.Tests.Pack;

/// <summary>No change to an artifact goes unnoticed, and none ever gives wrong data.</summary>
public sealed class ArtifactDamageTests : IDisposable
{
    /// <summary>A tenth of them unless there is time.</summary>
    private static readonly int Damages = LongTests.Wanted ? 100_000 : 10_000;

    private readonly TempFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Verify_everyByteFlipped_isNoticedAndNeverReadsWrong()
    {
        (byte[] artifact, Dictionary<string, byte[]> truth) = Make(PackSamples.Small());
        Assert.Empty(Problems(artifact, truth));
        for (int i = 0; i < artifact.Length; i++)
        {
            byte[] damaged = [.. artifact];
            damaged[i] ^= (byte)(1 << (i % 8));
            Assert.True(Problems(damaged, truth).Count > 0, $"flip of bit {i % 8} of byte {i} was not noticed");
        }
    }

    [Fact]
    public void Verify_factoredStructures_everyFifthByteFlipped_isNoticedAndNeverReadsWrong()
    {
        (byte[] artifact, Dictionary<string, byte[]> truth) = Make(PackContent.Empty with { Tensors = [.. ModelPack.Tests.Structures.FactoredSamples.Tensors()] });
        Assert.Empty(Problems(artifact, truth));
        for (int i = 0; i < artifact.Length; i += 5)
        {
            byte[] damaged = [.. artifact];
            damaged[i] ^= (byte)(1 << (i % 8));
            Assert.True(Problems(damaged, truth).Count > 0, $"flip of bit {i % 8} of byte {i} was not noticed");
        }
    }

    [Fact]
    public void Open_everyTruncation_isRejected()
    {
        (byte[] artifact, Dictionary<string, byte[]> truth) = Make(PackSamples.Small());
        for (int length = 0; length < artifact.Length; length++)
        {
            Assert.True(Problems(artifact[..length], truth).Count > 0, $"truncation to {length} was not noticed");
        }
    }

    /// <summary>100,000 damages to an artifact with every codec, anywhere and anyhow, also in length: refused, or found by the check of stored bytes, and what is read is the truth or an error.</summary>
    [Fact]
    public void Open_hundredThousandDamages_areNoticedAndNeverReadWrong()
    {
        int each = Damages / 4;
        PackWriter.Write(_folder["large.mpack"], DamagedArtifact.Content(), new PackOptions { Threads = 2 });
        byte[] artifact = File.ReadAllBytes(_folder["large.mpack"]);
        int header = (int)BitConverter.ToInt64(artifact) + 8;
        Parallel.For(0, 4, part =>
        {
            using var file = new DamagedFile(artifact, _folder[$"{part}.mpack"]);
            FuzzReport report = Fuzzer.Fuzz(artifact, each, file.Check, firstSeed: 1 + ((ulong)each * (ulong)part), hotBytes: header);
            Assert.True(report.RejectedCount > each * 0.9, $"{report.RejectedCount} of {each} changed something");
            Assert.True(file.Opened > each / 10, $"{file.Opened} of {each} could be opened");
        });
    }

    /// <summary>100,000 damages to chunks of every codec: reading is an error that names the chunk, or gives what was written; checking the stored bytes finds each.</summary>
    [Fact]
    public void DecodeChunk_hundredThousandDamages_neverGivesWrongData()
    {
        PackWriter.Write(_folder["large.mpack"], DamagedArtifact.Content(), new PackOptions { Threads = 2 });
        Parallel.For(0, 4, part =>
        {
            using var damaged = new DamagedArtifact(_folder["large.mpack"], _folder[$"{part}.mpack"]);
            Assert.All(
                new[] { "constant", "palette", "planes-huffman", "planes-rans", "codes-rans", "huffman", "sparse", "records", "bits", "ranks", "lz4", "planes-zstd", "zstd", "stored" },
                codec => Assert.Contains(codec, damaged.Codecs));
            for (ulong seed = 1; seed <= 25_000; seed++)
            {
                damaged.Check(((ulong)part * 25_000) + seed);
            }

            Assert.True(damaged.Errors > 24_000, $"{damaged.Errors} of 25000 damages were errors");
        });
    }

    [Fact]
    public void VerifyStored_everyByteFlipped_isNoticed()
    {
        (byte[] artifact, _) = Make(PackSamples.Small());
        for (int i = 0; i < artifact.Length; i++)
        {
            byte[] damaged = [.. artifact];
            damaged[i] ^= (byte)(1 << (i % 8));
            string path = _folder.Write("case.mpack", damaged);
            bool noticed;
            try
            {
                using PackReader reader = PackReader.Open(path);
                noticed = reader.VerifyStored().Count > 0;
            }
            catch (ModelPackException)
            {
                noticed = true;
            }

            Assert.True(noticed, $"flip of bit {i % 8} of byte {i} was not noticed");
        }

        using PackReader sound = PackReader.Open(_folder["made.mpack"]);
        Assert.Empty(sound.VerifyStored());
    }

    /// <summary>Steps of several chunks, chunks of several pieces, streams without chunks in between; every thread count says the same, in file order.</summary>
    [Fact]
    public void VerifyStored_severalDamages_namesEachInFileOrder()
    {
        PackContent content = PackContent.Empty with
        {
            Tensors =
            [
                PackSamples.Raw("a", DType.U8, new Shape(9_000_001), PackSamples.Random(1, 9_000_001)),
                PackSamples.Raw("empty", DType.F32, new Shape(0), []),
                .. Enumerable.Range(0, 200).Select(i => PackSamples.Raw($"s{i:000}", DType.BF16, new Shape(500), PackSamples.Bf16(i, 500))),
                Quantized("q", "int4(block=32)", 64, 96),
            ],
        };
        (byte[] artifact, _) = Make(content);
        (string Stream, long Chunk)[] expected;
        using (PackReader sound = PackReader.Open(_folder["made.mpack"]))
        {
            PackStream[] streams = [sound.Streams[0], sound.Streams[0], sound.Streams[57], sound.Streams[^1]];
            expected = [.. streams.Select((s, i) => (s.Name, i == 0 ? 3L : i == 1 ? 8L : 0L))];
            for (int i = 0; i < streams.Length; i++)
            {
                ChunkRecord record = sound.Record(streams[i], expected[i].Chunk);
                artifact[record.OffsetBytes + (i == 0 ? record.StoredBytes - 1 : 0)] ^= 0x40;
            }

            Assert.Empty(sound.VerifyStored(threads: 2));
        }

        using PackReader reader = PackReader.Open(_folder.Write("damaged.mpack", artifact));
        IReadOnlyList<PackProblem> problems = reader.VerifyStored(threads: 1);
        Assert.Equal(expected, problems.Select(p => (p.Stream, p.Chunk)));
        Assert.All(problems, p => Assert.Equal(ErrorCodes.ArtifactChunk, p.Code));
        Assert.Equal("a", problems[0].Tensor);
        Assert.Equal(problems, reader.VerifyStored(threads: 4));
        Assert.Equal(problems, reader.Verify(threads: 2));
        using var cancelled = new CancellationTokenSource();
        cancelled.Cancel();
        Assert.Throws<OperationCanceledException>(() => reader.VerifyStored(2, null, cancelled.Token));
    }

    [Fact]
    public void Verify_everyByteOfAChunk_namesTensorAndChunk()
    {
        PackContent content = PackContent.Empty with { Tensors = [PackSamples.Raw("w", DType.U8, new Shape(2_500_000), PackSamples.Random(1, 2_500_000))] };
        (byte[] artifact, _) = Make(content);
        using (PackReader sound = PackReader.Open(_folder.Write("sound.mpack", artifact)))
        {
            artifact[sound.Record(sound.Streams[0], 1).OffsetBytes + 12345] ^= 4;
        }

        using PackReader reader = PackReader.Open(_folder.Write("damaged.mpack", artifact));
        PackProblem problem = Assert.Single(reader.Verify(threads: 2));
        Assert.Equal((ErrorCodes.ArtifactChunk, "w", "w#values", 1L), (problem.Code, problem.Tensor, problem.Stream, problem.Chunk));
        byte[] first = new byte[1000];
        reader.Tensors[0].Streams[0].Stream.Data.Read(0, first);
        Assert.Throws<ModelPackException>(() => reader.Tensors[0].Streams[0].Stream.Data.Read(1 << 20, first));
        Assert.Throws<ModelPackException>(() => reader.Tensors[0].Streams[0].Stream.Data.TryGetSpan(1 << 20, 10, out _));
        Assert.Throws<ModelPackException>(() => reader.Tensors[0].Streams[0].Stream.TryGetMapped(out _));
        Assert.Throws<ModelPackException>(() => reader.ReadStream(reader.Streams[0], new byte[2_500_000], threads: 2));
    }

    internal static PackTensorContent Quantized(string name, string format, int rows, int columns)
    {
        var shape = new Shape(rows, columns);
        byte[] bytes = PackSamples.F32(17, rows * columns);
        return new PackTensorContent(name, DType.F32, shape, DenseEncoding.Pending(UnitSpec.Parse(format), DenseEncoding.Raw(DType.F32, shape, TensorData.FromBytes(bytes))));
    }

    private static IEnumerable<(string Name, TensorData Data)> Streams(PackReader reader) =>
        reader.Streams.Select(s => (s.Name, s.Data)).Concat(reader.Blobs.Select(b => ("blob " + b.Key, b.Value)));

    private (byte[] Artifact, Dictionary<string, byte[]> Truth) Make(PackContent content)
    {
        PackWriter.Write(_folder["made.mpack"], content, new PackOptions { Threads = 1 });
        using PackReader reader = PackReader.Open(_folder["made.mpack"]);
        return (File.ReadAllBytes(_folder["made.mpack"]), Streams(reader).ToDictionary(s => s.Name, s => s.Data.ToArray()));
    }

    /// <summary>All errors of opening, verifying and reading; fails when data is read that is not what was written.</summary>
    private List<ModelPackException> Problems(byte[] artifact, Dictionary<string, byte[]> truth)
    {
        string path = _folder.Write("case.mpack", artifact);
        var problems = new List<ModelPackException>();
        try
        {
            using PackReader reader = PackReader.Open(path);
            problems.AddRange(reader.Verify().Select(p => new ModelPackException(p.Code, p.Message)));
            foreach ((string name, TensorData data) in Streams(reader))
            {
                try
                {
                    byte[] bytes = data.ToArray();
                    Assert.Equal(truth[name], bytes);
                }
                catch (ModelPackException e)
                {
                    problems.Add(e);
                }
            }
        }
        catch (ModelPackException e)
        {
            problems.Add(e);
        }

        return problems;
    }
}
