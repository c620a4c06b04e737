using ModelPack.Pack;
using Xunit;

namespace ModelPack.Tests.Pack;

public sealed class PackRoundTripTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("modelpack-pack-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public void Write_smallTensorsOfManyKinds_readBackEqual()
    {
        PackContent content = PackSamples.Small();
        PackResult result = PackWriter.Write(At("a.mpack"), content, new PackOptions { Threads = 2 });
        using PackReader reader = PackReader.Open(At("a.mpack"));

        Assert.Equal(new FileInfo(At("a.mpack")).Length, result.OutputBytes);
        Assert.Equal(content.Metadata, reader.Metadata);
        Assert.Equal(content.Tensors.Select(t => t.Name), reader.Tensors.Select(t => t.Name));
        foreach (PackTensorContent tensor in content.Tensors)
        {
            PackTensor read = reader.Find(tensor.Name)!;
            Assert.Equal(tensor.DType, read.DType);
            Assert.Equal(tensor.Shape, read.Shape);
            Assert.Equal(Bytes(tensor.Encoding), Bytes(read.Encoding));
        }

        Assert.Equal(content.Blobs[0].Value.ToArray(), reader.Blobs["recipe"].ToArray());
        Assert.Equal(0, reader.Blobs["nothing"].LengthBytes);
        Assert.Equal("f", result.Tensors.Single(t => t.Name == "again").SharedWith);
    }

    [Fact]
    public void Write_manyChunks_readBackEqualAndPartly()
    {
        byte[] weights = PackSamples.Bf16(3, 3_000_001);
        byte[] noise = PackSamples.Random(4, 2_500_000);
        PackContent content = PackContent.Empty with
        {
            Tensors =
            [
                PackSamples.Raw("w", DType.BF16, new Shape(3_000_001), weights),
                PackSamples.Raw("noise", DType.U8, new Shape(2_500_000), noise),
            ],
        };
        PackWriter.Write(At("a.mpack"), content, new PackOptions { Threads = 3 });
        using PackReader reader = PackReader.Open(At("a.mpack"));
        PackStream coded = reader.Find("w")!.Streams[0].Stream;
        PackStream stored = reader.Find("noise")!.Streams[0].Stream;

        Assert.Contains(coded.Codec, new[] { "planes-huffman", "planes-rans" });
        Assert.True(coded.StoredBytes < coded.LengthBytes * 3 / 4);
        Assert.True(stored.IsStored);
        Assert.Equal(0, stored.BeginBytes % 4096);
        Assert.True(stored.TryGetMapped(out _));
        Assert.False(coded.TryGetMapped(out _));
        Assert.Equal(weights, coded.Data.ToArray());
        Assert.Equal(noise, stored.Data.ToArray());
        var random = new Random(5);
        for (int i = 0; i < 200; i++)
        {
            int length = random.Next(1, 70_000);
            int offset = random.Next(0, noise.Length - length);
            byte[] part = new byte[length];
            coded.Data.Read(offset, part);
            Assert.True(weights.AsSpan(offset, length).SequenceEqual(part), $"coded {offset}+{length}");
            stored.Data.Read(offset, part);
            Assert.True(noise.AsSpan(offset, length).SequenceEqual(part), $"stored {offset}+{length}");
        }
    }

    [Fact]
    public void Write_anyThreadCount_sameBytes()
    {
        PackContent content = PackContent.Empty with
        {
            Tensors = [.. Enumerable.Range(0, 12).Select(i => PackSamples.Raw($"w{i}", DType.BF16, new Shape(100 + (i * 60_000)), PackSamples.Bf16(i, 100 + (i * 60_000))))],
        };
        byte[]? first = null;
        foreach (int threads in new[] { 1, 2, 3, 8 })
        {
            PackWriter.Write(At("a.mpack"), content, new PackOptions { Threads = threads });
            byte[] bytes = File.ReadAllBytes(At("a.mpack"));
            first ??= bytes;
            Assert.True(first.AsSpan().SequenceEqual(bytes), $"{threads} threads");
        }
    }

    private static byte[] Bytes(WeightEncoding encoding) => ((DenseEncoding)encoding).Streams[0].Data.ToArray();

    private string At(string name) => Path.Combine(_folder, name);
}
