using ModelPack.Pack;
using ModelPack.Structures;
using ModelPack.Testing;
using Xunit;

namespace ModelPack.Tests.Pack;

public sealed class PackWriterTests : IDisposable
{
    private readonly TempFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData("int4(block=32)")]
    [InlineData("int4(block=16,scale=f16,symmetric=false)")]
    [InlineData("int8(block=128,scale=bf16)")]
    [InlineData("bf16")]
    [InlineData("u4")]
    public void Write_pendingEncoding_readsWhatPendingPromised(string format)
    {
        var shape = new Shape(37, 99);
        float[] values = format == "u4" ? [.. Enumerable.Range(0, 37 * 99).Select(i => (float)(i * 7 % 16))] : PackSamples.Weights(3, 37 * 99);
        WeightEncoding source = DenseEncoding.Raw(DType.F32, shape, Bytes(values));
        WeightEncoding pending = DenseEncoding.Pending(UnitSpec.Parse(format), source);
        PackResult result = PackWriter.Write(_folder["a.mpack"], Of(("w", DType.F32, pending), ("t", DType.F32, Permuted.Transpose(pending))), new PackOptions { Threads = 2 });
        using PackReader reader = PackReader.Open(_folder["a.mpack"]);
        float[] expected = Values(pending);

        Assert.Equal(expected, Values(reader.Find("w")!.Encoding));
        Assert.Equal(Values(Permuted.Transpose(pending)), Values(reader.Find("t")!.Encoding));
        Assert.Equal("w", result.Tensors[1].SharedWith);
        double error = 0, sum = 0;
        for (int i = 0; i < values.Length; i++)
        {
            error += (values[i] - (double)expected[i]) * (values[i] - (double)expected[i]);
            sum += (double)values[i] * values[i];
        }

        Assert.Equal(Math.Sqrt(error / sum), result.Tensors[0].RelativeError!.Value, 1e-12);
        AssertDense(reader, "w", DType.F32, pending);
        AssertDense(reader, "t", DType.F32, Permuted.Transpose(pending));
        AssertDense(reader, "t", DType.BF16, Permuted.Transpose(pending));
    }

    [Fact]
    public void Write_largeQuantized_anyThreadCountAndBudget_sameBytes()
    {
        PackContent content = Of(
            ("w", DType.BF16, DenseEncoding.Pending(UnitSpec.Parse("int8(block=16)"), Raw(new Shape(1500, 2048), 1))),
            ("v", DType.BF16, Permuted.Transpose(DenseEncoding.Pending(UnitSpec.Parse("int4(block=16)"), Permuted.Transpose(Raw(new Shape(1024, 3000), 2))))),
            ("raw", DType.BF16, Raw(new Shape(1_000_003), 3)));
        byte[]? first = null;
        foreach ((int threads, long budget) in new[] { (1, 1L << 30), (2, 1L << 30), (3, 24L << 20), (8, 16L << 20) })
        {
            PackResult result = PackWriter.Write(_folder["a.mpack"], content, new PackOptions { Threads = threads, MaxMemoryBytes = budget });
            byte[] bytes = File.ReadAllBytes(_folder["a.mpack"]);
            first ??= bytes;
            Assert.True(first.AsSpan().SequenceEqual(bytes), $"{threads} threads, {budget} bytes");
            Assert.InRange(result.PeakBufferBytes, 1, budget);
            Assert.Equal(["a.mpack"], Directory.EnumerateFiles(_folder.Path).Select(Path.GetFileName));
        }

        using PackReader reader = PackReader.Open(_folder["a.mpack"]);
        Assert.Empty(reader.Verify(threads: 2));
        foreach (PackTensorContent tensor in content.Tensors)
        {
            AssertDense(reader, tensor.Name, DType.F32, tensor.Encoding);
        }
    }

    /// <summary>
    /// The same bytes on every machine and instruction set (the suite runs on several). Changes only with a deliberate change of the writer, a codec or a number format.
    /// </summary>
    [Fact]
    public void Write_fixedContent_fixedBytes()
    {
        PackContent content = Of(
            ("w", DType.BF16, Raw(new Shape(300, 500), 1)),
            ("q", DType.BF16, DenseEncoding.Pending(UnitSpec.Parse("int4(block=32)"), Raw(new Shape(300, 500), 1))),
            ("p", DType.BF16, DenseEncoding.Pending(UnitSpec.Parse("int8(block=64,symmetric=false)"), Raw(new Shape(64, 640), 2))));
        PackWriter.Write(_folder["a.mpack"], content, new PackOptions { Threads = 2 });
        Assert.Equal("b677332c4705b47e", System.IO.Hashing.XxHash3.HashToUInt64(File.ReadAllBytes(_folder["a.mpack"])).ToString("x16", System.Globalization.CultureInfo.InvariantCulture));
    }

    [Fact]
    public void Write_alreadyEncodedStreams_areKept()
    {
        PackWriter.Write(_folder["a.mpack"], Of(("w", DType.F32, DenseEncoding.Pending(UnitSpec.Parse("int4"), Raw(new Shape(70, 64), 1)))), new PackOptions());
        using PackReader first = PackReader.Open(_folder["a.mpack"]);
        PackContent again = Of(("w", DType.F32, first.Tensors[0].Encoding));
        PackResult result = PackWriter.Write(_folder["b.mpack"], again, new PackOptions());
        using PackReader second = PackReader.Open(_folder["b.mpack"]);

        Assert.Null(result.Tensors[0].RelativeError);
        Assert.Equal(first.Tensors[0].Encoding.Describe(), second.Tensors[0].Encoding.Describe());
        Assert.Equal(Values(first.Tensors[0].Encoding), Values(second.Tensors[0].Encoding));
    }

    [Fact]
    public void Write_permutedIntegers_keepEveryBit()
    {
        long[] values = [.. Enumerable.Range(0, 6).Select(i => long.MaxValue - i)];
        byte[] bytes = new byte[48];
        Buffer.BlockCopy(values, 0, bytes, 0, 48);
        WeightEncoding transposed = Permuted.Transpose(DenseEncoding.Raw(DType.I64, new Shape(2, 3), TensorData.FromBytes(bytes)));
        PackWriter.Write(_folder["a.mpack"], Of(("i", DType.I64, transposed)), new PackOptions());
        using PackReader reader = PackReader.Open(_folder["a.mpack"]);
        long[] read = new long[6];
        Buffer.BlockCopy(DenseTensorData.Of(DType.I64, reader.Tensors[0].Encoding).ToArray(), 0, read, 0, 48);

        Assert.Equal([values[0], values[3], values[1], values[4], values[2], values[5]], read);
        Assert.Equal(ErrorCodes.BadEncoding, Assert.Throws<ModelPackException>(() => DenseTensorData.Of(DType.I32, transposed)).Code);
    }

    [Fact]
    public void Write_cancelled_leavesNothingAndKeepsTheOldFile()
    {
        File.WriteAllText(_folder["a.mpack"], "old");
        using var source = new CancellationTokenSource();
        var options = new PackOptions { Threads = 2, Cancellation = source.Token, Progress = new Callback(_ => source.Cancel()) };
        Assert.Throws<OperationCanceledException>(() => PackWriter.Write(_folder["a.mpack"], Of(("w", DType.BF16, Raw(new Shape(5_000_000), 1))), options));

        Assert.Equal("old", File.ReadAllText(_folder["a.mpack"]));
        Assert.Single(Directory.EnumerateFileSystemEntries(_folder.Path));
    }

    [Fact]
    public void Write_sourceFails_namesTheTensorAndLeavesNothing()
    {
        var broken = new BrokenData(3 << 20);
        var e = Assert.Throws<ModelPackException>(() =>
            PackWriter.Write(_folder["a.mpack"], Of(("good", DType.BF16, Raw(new Shape(9), 1)), ("bad", DType.U8, DenseEncoding.Raw(DType.U8, new Shape(3 << 20), broken))), new PackOptions()));

        Assert.Equal((ErrorCodes.FileTruncated, "bad"), (e.Code, e.Tensor));
        Assert.Empty(Directory.EnumerateFileSystemEntries(_folder.Path));
    }

    [Fact]
    public void Write_overAnOpenArtifact_replacesIt()
    {
        PackWriter.Write(_folder["a.mpack"], PackSamples.Small(1), new PackOptions());
        using PackReader old = PackReader.Open(_folder["a.mpack"]);
        if (OperatingSystem.IsWindows())
        {
            return;
        }

        PackWriter.Write(_folder["a.mpack"], PackSamples.Small(2), new PackOptions());
        using PackReader fresh = PackReader.Open(_folder["a.mpack"]);
        Assert.NotEqual(old.Find("w")!.Streams[0].Stream.Data.ToArray(), fresh.Find("w")!.Streams[0].Stream.Data.ToArray());
        Assert.Empty(old.Verify());
    }

    [Fact]
    public void Write_duplicateNames_isMP4001()
    {
        AssertCode(ErrorCodes.PackDuplicateName, Of(("w", DType.BF16, Raw(new Shape(3), 1)), ("w", DType.BF16, Raw(new Shape(4), 1))));
        PackContent blobs = PackContent.Empty with { Blobs = [KeyValuePair.Create("b", TensorData.Empty), KeyValuePair.Create("b", TensorData.Empty)] };
        AssertCode(ErrorCodes.PackDuplicateName, blobs);
    }

    [Fact]
    public void Write_namesThatMeet_staySeparate()
    {
        PackContent content = PackContent.Empty with
        {
            Tensors = [PackSamples.Raw("mpk.a", DType.U8, new Shape(1), [1]), PackSamples.Raw("mpk.a#values", DType.U8, new Shape(1), [2])],
            Blobs = [KeyValuePair.Create("a#values", TensorData.FromBytes(new byte[] { 3 })), KeyValuePair.Create("root", TensorData.FromBytes(new byte[] { 4 }))],
        };
        PackWriter.Write(_folder["a.mpack"], content, new PackOptions());
        using PackReader reader = PackReader.Open(_folder["a.mpack"]);

        Assert.Equal([1, 2], reader.Tensors.Select(t => (int)t.Streams[0].Stream.Data.ToArray()[0]));
        Assert.Equal(3, reader.Blobs["a#values"].ToArray()[0]);
        Assert.Equal(4, reader.Blobs["root"].ToArray()[0]);
    }

    [Fact]
    public void Write_toAFolder_isMP4002()
    {
        Directory.CreateDirectory(_folder["a.mpack"]);
        AssertCode(ErrorCodes.PackOutput, PackSamples.Small());
    }

    [Fact]
    public void Write_rowTooLong_isMP4003()
    {
        var shape = new Shape((1L << 28) + 1);
        AssertCode(
            ErrorCodes.PackRowTooLong,
            Of(("w", DType.F32, DenseEncoding.Pending(UnitSpec.Parse("bf16"), DenseEncoding.Raw(DType.F32, shape, new BrokenData(shape.ElementCount * 4))))));
    }

    [Fact]
    public void Write_memoryForLessThanATile_isMP4004() =>
        AssertCode(ErrorCodes.PackMemory, Of(("w", DType.BF16, Raw(new Shape(2_000_000), 1))), new PackOptions { MaxMemoryBytes = 1 << 20 });

    [Fact]
    public void Write_tooManyNames_isMP4005()
    {
        string name = new('x', 1_000_000);
        AssertCode(
            ErrorCodes.PackHeaderTooLarge,
            PackContent.Empty with { Tensors = [.. Enumerable.Range(0, 101).Select(i => PackSamples.Raw($"{i}{name}", DType.U8, new Shape(0), []))] });
    }

    [Theory]
    [InlineData(9, 10)]
    [InlineData(11, 10)]
    public void Write_rawBytesThatDoNotFitTheShape_isMP1020(int bytes, int elements) =>
        AssertCode(ErrorCodes.BadEncoding, PackContent.Empty with { Tensors = [PackSamples.Raw("w", DType.U8, new Shape(elements), new byte[bytes])] });

    [Fact]
    public void Spill_beyondItsMemory_comesBackInOrder()
    {
        using var buffer = new SpillBuffer(600_000, () => new FileStream(_folder["spill"], FileMode.CreateNew, FileAccess.ReadWrite, FileShare.None, 4096, FileOptions.DeleteOnClose));
        byte[] bytes = PackSamples.Random(5, 3_000_000);
        int at = 0;
        for (int n = 1; at < bytes.Length; n = Math.Min((n * 3) + 1, bytes.Length - at))
        {
            buffer.Append(bytes.AsSpan(at, Math.Min(n, 200_000)));
            at += Math.Min(n, 200_000);
        }

        var read = new MemoryStream();
        buffer.CopyTo(piece => read.Write(piece.Span));
        Assert.True(buffer.Spilled);
        Assert.Equal(bytes, read.ToArray());
    }

    [Fact]
    public void ErrorSums_vectorsAndScalar_agreeExactly()
    {
        float[] w = PackSamples.Weights(1, 1000);
        float[] d = PackSamples.Weights(2, 1000);
        for (int n = 0; n < 100; n++)
        {
            double[] values = new double[16], errors = new double[16];
            for (int i = 0; i < n; i++)
            {
                double e = (double)w[i] - d[i];
                values[i % 16] += (double)w[i] * w[i];
                errors[i % 16] += e * e;
            }

            for (int width = 8; width > 0; width /= 2)
            {
                for (int l = 0; l < width; l++)
                {
                    values[l] += values[l + width];
                    errors[l] += errors[l + width];
                }
            }

            ErrorSums sums = default;
            sums.Add(w.AsSpan(0, n), d.AsSpan(0, n));
            Assert.Equal((values[0], errors[0]), (sums.Values, sums.Errors));
        }
    }

    private static PackContent Of(params (string Name, DType DType, WeightEncoding Encoding)[] tensors) =>
        PackContent.Empty with { Tensors = [.. tensors.Select(t => new PackTensorContent(t.Name, t.DType, t.Encoding.Shape, t.Encoding))] };

    private static DenseEncoding Raw(Shape shape, int seed) => DenseEncoding.Raw(DType.BF16, shape, TensorData.FromBytes(PackSamples.Bf16(seed, (int)shape.ElementCount)));

    private static TensorData Bytes(float[] values)
    {
        byte[] bytes = new byte[values.Length * 4];
        Buffer.BlockCopy(values, 0, bytes, 0, bytes.Length);
        return TensorData.FromBytes(bytes);
    }

    private static float[] Values(WeightEncoding encoding)
    {
        IValueReader reader = EncodingValues.Open(encoding);
        float[] values = new float[encoding.Shape.ElementCount];
        reader.ReadRows(0, (int)encoding.Shape.Rows, values);
        return values;
    }

    private static unsafe void AssertDense(PackReader reader, string name, DType target, WeightEncoding expected)
    {
        PackTensor tensor = reader.Find(name)!;
        byte[] wanted = DenseTensorData.Of(target, expected).ToArray(1 << 28);
        foreach (int threads in new[] { 1, 3 })
        {
            byte[] bytes = new byte[wanted.Length];
            fixed (byte* start = bytes)
            {
                reader.DecodeDense(tensor, target, (nint)start, bytes.Length, threads);
            }

            Assert.True(wanted.AsSpan().SequenceEqual(bytes), $"{name} as {target.Name()} with {threads} threads");
        }
    }

    private void AssertCode(ErrorCode code, PackContent content, PackOptions? options = null)
    {
        var e = Assert.Throws<ModelPackException>(() => PackWriter.Write(_folder["a.mpack"], content, options ?? new PackOptions()));
        Assert.Equal(code, e.Code);
        Assert.False(File.Exists(_folder["a.mpack"]));
    }

    private sealed class Callback(Action<PackProgress> action) : IProgress<PackProgress>
    {
        public void Report(PackProgress value) => action(value);
    }

    /// <summary>Reads like a file that was cut while being read: the first 64 KiB and the places where samples are taken work.</summary>
    private sealed class BrokenData(long length) : TensorData(length)
    {
        protected override void ReadCore(long offsetBytes, Span<byte> destination)
        {
            if (destination.Length > 64 << 10)
            {
                throw new ModelPackException(ErrorCodes.FileTruncated, "ends early");
            }

            destination.Clear();
        }
    }
}
