using ModelPack.Pack;
using ModelPack.Testing;
using Xunit;

namespace ModelPack.Tests.Pack;

/// <summary>No change to an artifact goes unnoticed, and none ever gives wrong data.</summary>
public sealed class ArtifactDamageTests : IDisposable
{
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
    public void Open_everyTruncation_isRejected()
    {
        (byte[] artifact, Dictionary<string, byte[]> truth) = Make(PackSamples.Small());
        for (int length = 0; length < artifact.Length; length++)
        {
            Assert.True(Problems(artifact[..length], truth).Count > 0, $"truncation to {length} was not noticed");
        }
    }

    [Fact]
    public void Verify_tenThousandMutations_areNoticedOrHarmless()
    {
        PackContent content = PackContent.Empty with
        {
            Tensors =
            [
                PackSamples.Raw("a", DType.BF16, new Shape(6000), PackSamples.Bf16(1, 6000)),
                PackSamples.Raw("b", DType.U8, new Shape(9000), PackSamples.Random(2, 9000)),
                PackSamples.Raw("c", DType.F32, new Shape(1000), new byte[4000]),
                Quantized("d", "int4(block=32)", 64, 96),
            ],
            Blobs = [KeyValuePair.Create("graph", TensorData.FromBytes(new byte[500]))],
        };
        (byte[] artifact, Dictionary<string, byte[]> truth) = Make(content);
        int header = (int)BitConverter.ToInt64(artifact) + 8;
        FuzzReport report = Fuzzer.Fuzz(
            artifact,
            10_000,
            mutated =>
            {
                List<ModelPackException> problems = Problems(mutated, truth);
                if (problems.Count > 0)
                {
                    throw problems[0];
                }

                Assert.Equal(artifact, mutated);
            },
            hotBytes: header);
        Assert.True(report.RejectedCount > 9000, $"{report.RejectedCount} of 10000 changed something");
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
