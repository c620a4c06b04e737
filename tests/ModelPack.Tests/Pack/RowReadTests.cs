using ModelPack.Pack;
using ModelPack.Testing;
using Xunit;

namespace ModelPack.Tests.Pack;

/// <summary>Rows of a tensor: the right bytes, from no more chunks than hold them.</summary>
public sealed class RowReadTests : IDisposable
{
    private readonly TempFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    public static TheoryData<int, int> Slices => new() { { 0, 0 }, { 0, 1 }, { 0, 3000 }, { 2999, 1 }, { 3000, 0 }, { 7, 5 }, { 511, 2 }, { 512, 512 }, { 100, 2000 } };

    [Theory]
    [MemberData(nameof(Slices))]
    public void ReadRows_ofAPlainTensor_areItsBytes(int first, int rows)
    {
        byte[] bytes = PackSamples.Bf16(1, 3000 * 1024);
        using PackReader reader = Write(PackSamples.Raw("w", DType.BF16, new Shape(3000, 32, 32), bytes));
        PackTensor tensor = reader.Find("w")!;
        Assert.Equal("planes-rans", tensor.Streams[0].Stream.Codec);
        foreach (int threads in new[] { 1, 3 })
        {
            using PoisonBuffer room = PoisonBuffer.EndingAtGuard(rows * 2048);
            reader.ReadRows(tensor, DType.BF16, first, rows, room.GetSpan(), threads);
            Assert.True(bytes.AsSpan(first * 2048, rows * 2048).SequenceEqual(room.GetSpan()));
        }
    }

    [Theory]
    [MemberData(nameof(Slices))]
    public void ReadRows_ofAQuantisedTensor_areRowsOfItsDenseForm(int first, int rows)
    {
        WeightEncoding source = DenseEncoding.Raw(DType.F32, new Shape(3000, 65), TensorData.FromBytes(PackSamples.F32(2, 3000 * 65)));
        using PackReader reader = Write(new PackTensorContent("w", DType.F32, source.Shape, DenseEncoding.Pending(UnitSpec.Parse("int4"), source)));
        PackTensor tensor = reader.Find("w")!;
        foreach ((DType target, int width) in new[] { (DType.F32, 4), (DType.BF16, 2) })
        {
            byte[] whole = DenseTensorData.Of(target, tensor.Encoding).ToArray();
            byte[] part = new byte[rows * 65 * width];
            reader.ReadRows(tensor, target, first, rows, part, threads: 2);
            Assert.Equal(whole.AsSpan(first * 65 * width, part.Length).ToArray(), part);
        }
    }

    [Fact]
    public void ReadRows_readsOnlyTheChunksThatHoldThem()
    {
        byte[] bytes = PackSamples.Bf16(1, 8 << 20);
        using PackReader reader = Write(PackSamples.Raw("w", DType.BF16, new Shape(16, 512 << 10), bytes));
        PackTensor tensor = reader.Find("w")!;
        byte[] row = new byte[1 << 20];
        reader.ReadRows(tensor, DType.BF16, 5, 1, row);

        Assert.Equal(bytes.AsSpan(5 << 20, 1 << 20).ToArray(), row);
        Assert.Equal(16, tensor.Streams[0].Stream.ChunkCount);
        Assert.Equal(reader.Record(tensor.Streams[0].Stream, 5).StoredBytes, reader.StoredBytesRead);
    }

    [Fact]
    public void ReadRows_damageElsewhere_isNotEvenSeen()
    {
        byte[] bytes = PackSamples.Bf16(1, 8 << 20);
        long offset;
        using (PackReader sound = Write(PackSamples.Raw("w", DType.BF16, new Shape(8192, 1024), bytes), PackSamples.Raw("v", DType.BF16, new Shape(8192, 1024), PackSamples.Bf16(2, 8 << 20))))
        {
            offset = sound.Record(sound.Find("w")!.Streams[0].Stream, 9).OffsetBytes;
        }

        byte[] file = File.ReadAllBytes(_folder["a.mpack"]);
        file[offset + 100] ^= 1;
        using PackReader reader = PackReader.Open(_folder.Write("b.mpack", file));
        byte[] rows = new byte[100 * 2048];
        reader.ReadRows(reader.Find("w")!, DType.BF16, 3000, 100, rows);
        Assert.Equal(bytes.AsSpan(3000 * 2048, rows.Length).ToArray(), rows);

        // Rows 4608 to 5119 are chunk 9.
        var e = Assert.Throws<ModelPackException>(() => reader.ReadRows(reader.Find("w")!, DType.BF16, 4600, 100, rows));
        Assert.Equal(ErrorCodes.ArtifactChunk, e.Code);
    }

    [Fact]
    public void ReadRows_steadyState_allocatesNothing()
    {
        // More chunks than the cache holds, read in parts: every read drops one chunk and takes its array.
        using PackReader reader = Write(PackSamples.Raw("w", DType.BF16, new Shape(24 * 512, 1024), PackSamples.Bf16(1, 24 << 19)));
        PackTensor tensor = reader.Find("w")!;
        byte[] rows = new byte[700 * 2048];
        long allocated = 0;
        for (int i = 0; i < 60; i++)
        {
            long before = GC.GetAllocatedBytesForCurrentThread();
            reader.ReadRows(tensor, DType.BF16, i * 4099 % (24 * 512 - 700), 700, rows);
            allocated = i >= 50 ? allocated + GC.GetAllocatedBytesForCurrentThread() - before : 0;
        }

        Assert.Equal(0, allocated);
    }

    [Fact]
    public void ReadRows_cancelled_throws()
    {
        using PackReader reader = Write(PackSamples.Raw("w", DType.BF16, new Shape(3000, 1024), PackSamples.Bf16(1, 3000 * 1024)));
        using var source = new CancellationTokenSource();
        source.Cancel();
        foreach (int threads in new[] { 1, 2 })
        {
            Assert.ThrowsAny<OperationCanceledException>(() => reader.ReadRows(reader.Find("w")!, DType.BF16, 0, 3000, new byte[3000 * 2048], threads, source.Token));
        }
    }

    [Theory]
    [InlineData(0, 4, "rows 0:4 are not among the 3 rows of f32[3,5]")]
    [InlineData(4, 0, "rows 4:4 are not among the 3 rows of f32[3,5]")]
    [InlineData(-1, 1, "rows -1:0 are not among the 3 rows of f32[3,5]")]
    [InlineData(1, long.MaxValue, "rows 1:9223372036854775808 are not among the 3 rows of f32[3,5]")]
    public void ReadRows_outside_isMP4109(long first, long rows, string message)
    {
        using PackReader reader = Write(PackSamples.Raw("w", DType.F32, new Shape(3, 5), PackSamples.F32(1, 15)));
        var e = Assert.Throws<ModelPackException>(() => reader.ReadRows(reader.Find("w")!, DType.F32, first, rows, []));
        Assert.Equal(ErrorCodes.RowsOutOfRange, e.Code);
        Assert.Equal(message, e.Message);
    }

    [Fact]
    public void ReadRows_scalarAndPartsOfBytes_areMP4109()
    {
        using PackReader reader = Write(PackSamples.Raw("s", DType.F32, Shape.Scalar, new byte[4]), PackSamples.Raw("i4", DType.I4, new Shape(4, 3), [1, 2, 3, 4, 5, 6]));
        Assert.Equal(ErrorCodes.RowsOutOfRange, Assert.Throws<ModelPackException>(() => reader.ReadRows(reader.Find("s")!, DType.F32, 0, 1, new byte[4])).Code);
        Assert.Equal(ErrorCodes.RowsOutOfRange, Assert.Throws<ModelPackException>(() => reader.ReadRows(reader.Find("i4")!, DType.I4, 1, 2, new byte[3])).Code);
        byte[] rows = new byte[3];
        reader.ReadRows(reader.Find("i4")!, DType.I4, 2, 2, rows);
        Assert.Equal([4, 5, 6], rows);
    }

    [Fact]
    public void ReadRows_wrongRoom_isRefused()
    {
        using PackReader reader = Write(PackSamples.Raw("w", DType.F32, new Shape(3, 5), PackSamples.F32(1, 15)));
        Assert.Throws<ArgumentException>(() => reader.ReadRows(reader.Find("w")!, DType.F32, 0, 1, new byte[21]));
    }

    private PackReader Write(params PackTensorContent[] tensors)
    {
        PackWriter.Write(_folder["a.mpack"], PackContent.Empty with { Tensors = [.. tensors] }, new PackOptions());
        return PackReader.Open(_folder["a.mpack"]);
    }
}
