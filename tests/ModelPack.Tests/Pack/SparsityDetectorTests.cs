using System.Runtime.InteropServices;
using ModelPack.Codecs;
using ModelPack.Pack;
using ModelPack.Structures;
using ModelPack.Testing;
using ModelPack.Tests.Structures;
using Xunit;

namespace ModelPack.Tests.Pack;

/// <summary>Dense files that hold sparse matrices: found, stored smaller, and back byte for byte.</summary>
public sealed class SparsityDetectorTests : IDisposable
{
    private readonly TempFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData("blocksparse(block=128x128)", 0.2)]
    [InlineData("blocksparse(block=64x64)", 0.2)]
    [InlineData("blocksparse(block=32x32)", 0.1)]
    [InlineData("blocksparse(block=32x32)", 0.7)]
    [InlineData("blocksparse(block=16x16)", 0.1)]
    [InlineData("blocksparse(block=8x8)", 0.3)]
    [InlineData("blocksparse(block=4x4)", 0.3)]
    [InlineData("blocksparse(block=1x16)", 0.3)]
    [InlineData("blocksparse(block=1x32)", 0.3)]
    [InlineData("blocksparse(block=16x1)", 0.3)]
    [InlineData("nm(m=4,n=2)", 0)]
    [InlineData("nm(m=4,n=1)", 0)]
    [InlineData("nm(m=8,n=4)", 0)]
    [InlineData("bankbalanced(bank=64,kept=8)", 0)]
    public void Find_matrixWithStructure_namesItAndIsExact(string spec, double density)
    {
        const int rows = 384;
        const int columns = 640;
        foreach ((DType dtype, byte[] bytes) in Typed(SparseMatrixTests.Masked(spec, rows, columns, density: density)))
        {
            WeightEncoding? found = SparsityDetector.Find(DenseEncoding.Raw(dtype, new Shape(rows, columns), TensorData.FromBytes(bytes)));
            Assert.Equal(spec, Assert.IsType<StructuredEncoding>(found).Structure.ToString());
            Assert.Equal(bytes, DenseTensorData.Of(dtype, found).ToArray());
        }
    }

    /// <summary>Codes of whole blocks are moved as they are; where scales reach over blocks or rows do not fit, other blocks are.</summary>
    [Theory]
    [InlineData("int4(block=32)", "blocksparse(block=32x32)", 384, 640, "blocksparse(block=32x32)")]
    [InlineData("int8(block=32,symmetric=false)", "blocksparse(block=64x64)", 384, 640, "blocksparse(block=64x64)")]
    [InlineData("mxfp4", "blocksparse(block=1x32)", 384, 640, "blocksparse(block=1x32)")]
    [InlineData("int3(block=32)", "blocksparse(block=32x32)", 384, 640, "blocksparse(block=32x32)")]
    [InlineData("int4(block=128)", "blocksparse(block=32x32)", 384, 640, "blocksparse(block=128x128)")]
    [InlineData("int4(block=64)", "blocksparse(block=1x16)", 384, 640, null)]
    [InlineData("int4(block=32)", "blocksparse(block=32x32)", 390, 640, "blocksparse(block=1x32)")]
    [InlineData("int4(block=32)", "nm(m=4,n=2)", 384, 640, null)]
    [InlineData("int4(block=32)", "none", 384, 640, null)]
    public void Find_codedMatrix_movesBlocksAsTheyAre(string format, string structure, int rows, int columns, string? expected)
    {
        float[] values = structure == "none" ? Values.Weights(3, rows * columns).Select(v => v == 0 ? 0.1f : v).ToArray() : SparseMatrixTests.Masked(structure, rows, columns, density: 0.1);
        var shape = new Shape(rows, columns);
        IBoundNumberFormat bound = ModelPack.Numbers.NumberFormats.Bind(UnitSpec.Parse(format), shape);
        byte[][] streams = [.. bound.Streams.Select(s => new byte[s.BytesPerRow * bound.Shape.Rows])];
        bound.EncodeRows(values, (int)bound.Shape.Rows, [.. streams.Select(s => (Memory<byte>)s)]);
        var coded = new DenseEncoding(bound.Spec, shape, [.. bound.Streams.Select((s, i) => new EncodedStream(s.Role, TensorData.FromBytes(streams[i])))]);

        WeightEncoding? found = SparsityDetector.Find(coded);
        Assert.Equal(expected, (found as StructuredEncoding)?.Structure.ToString());
        if (found is StructuredEncoding sparse)
        {
            Assert.Equal(bound.Spec, ((DenseEncoding)sparse.Components[1]).Format);
            Assert.Equal(DenseTensorData.Of(DType.F32, coded).ToArray(), DenseTensorData.Of(DType.F32, found).ToArray());
        }
    }

    /// <summary>Matrices that no block divides; zeros anywhere, which codec <c>sparse</c> makes as small: whatever is chosen is exact.</summary>
    [Theory]
    [InlineData("blocksparse(block=32x32)", true)]
    [InlineData("blocksparse(block=1x16)", true)]
    [InlineData("nm(m=4,n=2)", true)]
    [InlineData("bitmap", false)]
    public void Find_matrixWithPaddedTail_isExact(string spec, bool smaller)
    {
        foreach ((int rows, int columns) in new[] { (390, 650), (10_001, 9), (33, 4099) })
        {
            byte[] bytes = Typed(SparseMatrixTests.Masked(spec, rows, columns, density: 0.2)).First(t => t.DType == DType.BF16).Bytes;
            WeightEncoding? found = SparsityDetector.Find(DenseEncoding.Raw(DType.BF16, new Shape(rows, columns), TensorData.FromBytes(bytes)));
            Assert.True(found is not null || !smaller || columns < 16, $"{spec} {rows} x {columns}");
            Assert.Equal(bytes, found is null ? bytes : DenseTensorData.Of(DType.BF16, found).ToArray());
        }
    }

    [Fact]
    public void Find_denseOrOddTensors_areLeftAlone()
    {
        byte[] half = [.. PackSamples.Random(3, 20_000).Select((b, i) => (byte)(b % 16 == 0 ? 0 : b))];
        byte[] ramp = new byte[40_000];
        ramp[7] = 1;
        (DType DType, Shape Shape, byte[] Bytes)[] tensors =
        [
            (DType.BF16, new Shape(100, 200), PackSamples.Bf16(1, 20_000)),
            (DType.F32, new Shape(100, 200), PackSamples.F32(1, 20_000)),
            (DType.I8, new Shape(100, 200), half),
            (DType.BF16, new Shape(20_000), new byte[40_000]),
            (DType.BF16, new Shape(0, 200), []),
            (DType.BF16, new Shape(10, 20), new byte[400]),
            (DType.I4, new Shape(100, 200), new byte[10_000]),
            (DType.I32, new Shape(50, 200), ramp),
            (DType.F32, new Shape(50, 200), new byte[40_000]),
        ];
        Assert.All(tensors, t => Assert.Null(SparsityDetector.Find(DenseEncoding.Raw(t.DType, t.Shape, TensorData.FromBytes(t.Bytes)))));
    }

    [Fact]
    public void Find_underPermutationsAndOfConvolutions_keepsTheTreeAround()
    {
        float[] values = SparseMatrixTests.Masked("blocksparse(block=32x32)", 96, 64 * 9, density: 0.2);
        byte[] bytes = MemoryMarshal.AsBytes(values.AsSpan()).ToArray();
        var convolution = DenseEncoding.Raw(DType.F32, new Shape(96, 64, 3, 3), TensorData.FromBytes(bytes));
        Assert.Equal("reshaped > blocksparse(block=32x32) > { u8; f32 }", SparsityDetector.Find(convolution)!.Describe());
        Assert.Equal(bytes, DenseTensorData.Of(DType.F32, SparsityDetector.Find(convolution)!).ToArray());
        WeightEncoding transposed = Permuted.Transpose(DenseEncoding.Raw(DType.F32, new Shape(96, 576), TensorData.FromBytes(bytes)));
        WeightEncoding sparse = SparsityDetector.Find(transposed)!;
        Assert.Equal("permuted(perm=1x0) > blocksparse(block=32x32) > { u8; f32 }", sparse.Describe());
        Assert.Equal(DenseTensorData.Of(DType.F32, transposed).ToArray(), DenseTensorData.Of(DType.F32, sparse).ToArray());
    }

    [Theory]
    [InlineData("mxfp4", "blocksparse(block=32x32) > { u8; mxfp4 }")]
    [InlineData("int8(block=32)", "blocksparse(block=32x32) > { u8; int8(block=32) }")]
    [InlineData("fp8", "blocksparse(block=32x32) > { u8; fp8 }")]
    public void Find_valuesToBeQuantised_areThoseOfTheDenseTensor(string format, string expected)
    {
        byte[] bytes = MemoryMarshal.AsBytes(SparseMatrixTests.Masked("blocksparse(block=32x32)", 128, 192, density: 0.2).AsSpan()).ToArray();
        var pending = DenseEncoding.Pending(UnitSpec.Parse(format), DenseEncoding.Raw(DType.F32, new Shape(128, 192), TensorData.FromBytes(bytes)));
        WeightEncoding sparse = SparsityDetector.Find(pending)!;
        Assert.Equal(expected, sparse.Describe());
        PackWriter.Write(_folder["q.mpack"], PackContent.Empty with { Tensors = [new("w", DType.F32, pending.Shape, sparse), new("d", DType.F32, pending.Shape, pending)] }, new PackOptions());
        using PackReader reader = PackReader.Open(_folder["q.mpack"]);
        if (format != "fp8")
        {
            Assert.Equal(Dense(reader, "d", DType.F32), Dense(reader, "w", DType.F32));
        }

        Assert.True(reader.Find("w")!.StoredBytes < reader.Find("d")!.StoredBytes);
    }

    /// <summary>Files of every dtype and structure, with -0 and NaN payloads: the same bytes, on any number of threads, at every level.</summary>
    [Theory]
    [InlineData(CodecLevel.Fast, 1)]
    [InlineData(CodecLevel.Default, 3)]
    [InlineData(CodecLevel.Max, 2)]
    public void Extract_fileOfSparseTensors_isByteExact(CodecLevel level, int threads)
    {
        string[] specs = ["blocksparse(block=32x32)", "nm(m=4,n=2)", "bankbalanced(bank=64,kept=8)", "bitmap"];
        var bytes = new List<byte>();
        var ranges = new List<PackedFileRange>();
        foreach ((string spec, int i) in specs.Select((s, i) => (s, i)))
        {
            foreach ((DType dtype, byte[] values) in Typed(SparseMatrixTests.Masked(spec, 400, 700, i, 0.15)))
            {
                // The sign bit of an element and a NaN, where the structure has values.
                int width = dtype.BitsPerElement() / 8;
                int at = Enumerable.Range(0, 1000).First(e => values.AsSpan(e * width, width).ContainsAnyExcept((byte)0));
                values.AsSpan(at * width, width).Clear();
                values[(at * width) + width - 1] = 0x80;
                ranges.Add(new PackedFileRange($"{spec} {dtype}", dtype, new Shape(400, 700), bytes.Count, values.Length));
                bytes.AddRange(values);
                bytes.AddRange(PackSamples.Random(i, 3));
            }
        }

        using MappedFile file = MappedFile.Open(_folder.Write("in.bin", [.. bytes]));
        FilePacker.Write(_folder["a.mpack"], [new PackedFileSource("in.bin", file, [.. ranges])], new PackOptions { Threads = threads, Level = level });
        using PackReader reader = PackReader.Open(_folder["a.mpack"]);
        Assert.All(reader.Tensors.Where(t => t.Name[0] == 'n' || t.Name.StartsWith("block", StringComparison.Ordinal)), t => Assert.True(SparseMatrix.IsSparse(t.Encoding), $"{t.Name}: {t.Encoding}"));
        Assert.Empty(reader.Verify(threads: 2));
        FileUnpacker.Extract(reader, _folder["out.bin"], threads);
        byte[] all = [.. bytes];
        Assert.True(all.AsSpan().SequenceEqual(File.ReadAllBytes(_folder["out.bin"])));
        Assert.All(ranges, r => Assert.True(all.AsSpan((int)r.OffsetBytes, (int)r.LengthBytes).SequenceEqual(Dense(reader, r.Name, r.DType)), r.Name));

        // Rows alone.
        PackTensor tensor = reader.Tensors[0];
        byte[] rows = new byte[17 * 700 * tensor.DType.BitsPerElement() / 8];
        reader.ReadRows(tensor, tensor.DType, 40, 17, rows, threads);
        Assert.Equal(Dense(reader, tensor.Name, tensor.DType).Skip(40 * rows.Length / 17).Take(rows.Length), rows);
    }

    /// <summary>90 % of the blocks of an f32 layer gone: mask and values take at most 10.5 % of the dense layer before any codec.</summary>
    [Fact]
    public void Find_ninetyPercentOfBlocksGone_takesATenthOfTheMemory()
    {
        const int rows = 2048;
        const int columns = 1024;
        float[] values = PackSamples.Weights(1, rows * columns);
        int[] blocks = [.. Enumerable.Range(0, rows / 32 * (columns / 32))];
        new Random(1).Shuffle(blocks);
        var kept = blocks.Take((blocks.Length + 5) / 10).ToHashSet();
        for (int i = 0; i < values.Length; i++)
        {
            values[i] = kept.Contains((i / columns / 32 * (columns / 32)) + (i % columns / 32)) ? values[i] : 0;
        }

        byte[] bytes = MemoryMarshal.AsBytes(values.AsSpan()).ToArray();
        var sparse = (StructuredEncoding)SparsityDetector.Find(DenseEncoding.Raw(DType.F32, new Shape(rows, columns), TensorData.FromBytes(bytes)))!;
        long stored = sparse.Components.Sum(c => ((DenseEncoding)c).Streams[0].Data.LengthBytes);
        Assert.InRange((double)stored / bytes.Length, 0.0999, 0.1005);
    }

    [Fact]
    public void Write_withABase_changedSparseTensors_giveTheFileBack()
    {
        byte[] old = Typed(SparseMatrixTests.Masked("blocksparse(block=32x32)", 320, 640, density: 0.1)).First(t => t.DType == DType.BF16).Bytes;
        byte[] now = [.. old.Select((b, i) => i % 1000 == 0 && b != 0 ? (byte)(b + 1) : b)];
        PackedFileSource Source(string name, byte[] bytes) => new(name, MappedFile.Open(_folder.Write(name, bytes)), [new PackedFileRange("w", DType.BF16, new Shape(320, 640), 0, bytes.Length)]);
        PackedFileSource before = Source("old.bin", old);
        PackedFileSource after = Source("new.bin", now);
        using (before.File)
        using (after.File)
        {
            FilePacker.Write(_folder["old.mpack"], [before], new PackOptions());
            using DeltaBase against = DeltaBase.OfPacked(_folder["old.mpack"]);
            FilePacker.Write(_folder["d.mpack"], [after], new PackOptions(), against: against);
        }

        using PackReader reader = PackReader.Open(_folder["d.mpack"], _folder["old.mpack"]);
        Assert.True(reader.LengthBytes < new FileInfo(_folder["old.mpack"]).Length / 3, $"{reader.LengthBytes}");
        FileUnpacker.Extract(reader, _folder["out.bin"]);
        Assert.Equal(now, File.ReadAllBytes(_folder["out.bin"]));
    }

    /// <summary>Masks that contradict their structure in an artifact whose checksums are right: an error that names the structure, never data.</summary>
    [Theory]
    [InlineData("blocksparse(block=32x32)")]
    [InlineData("nm(m=4,n=2)")]
    [InlineData("bankbalanced(bank=64,kept=8)")]
    [InlineData("bitmap")]
    public void Extract_hostileMask_isOneError(string spec)
    {
        byte[] bytes = Typed(SparseMatrixTests.Masked(spec, 64, 1024, density: 0.1)).First(t => t.DType == DType.BF16).Bytes;
        StructuredEncoding sparse = SparseMatrix.Of(UnitSpec.Parse(spec), DType.BF16, new Shape(64, 1024), TensorData.FromBytes(bytes));
        byte[] mask = ((DenseEncoding)sparse.Components[0]).Streams[0].Data.ToArray();
        foreach (int bit in new[] { 0, 1, 7, (8 * mask.Length) - 1 })
        {
            byte[] wrong = [.. mask];
            wrong[bit / 8] ^= (byte)(1 << (bit % 8));
            StructuredEncoding forged = sparse with { Components = [DenseEncoding.Raw(DType.U8, sparse.Components[0].Shape, TensorData.FromBytes(wrong)), sparse.Components[1]] };
            PackWriter.Write(_folder["h.mpack"], PackContent.Empty with { Tensors = [new("w", DType.BF16, sparse.Shape, forged)] }, new PackOptions());
            using PackReader reader = PackReader.Open(_folder["h.mpack"]);

            // A bit more or less within what the last row of values of a bitmap leaves open is another valid matrix.
            if (spec != "bitmap" || SparseMatrix.PopCount(wrong) % 256 is 0 or 1)
            {
                Assert.Equal(ErrorCodes.BadSparseIndex, Assert.Throws<ModelPackException>(() => Dense(reader, "w", DType.BF16)).Code);
            }
        }
    }

    /// <summary>20,000 damages to a file of sparse tensors: refused, or the right bytes.</summary>
    [Fact]
    public void Open_randomDamages_neverGiveWrongValues()
    {
        var truth = new Dictionary<string, byte[]>(StringComparer.Ordinal);
        var tensors = new List<PackTensorContent>();
        foreach (string spec in new[] { "blocksparse(block=4x4)", "nm(m=4,n=2)", "bankbalanced(bank=64,kept=8)", "bitmap" })
        {
            byte[] bytes = Typed(SparseMatrixTests.Masked(spec, 64, 128, density: 0.1)).First(t => t.DType == DType.BF16).Bytes;
            truth.Add(spec, bytes);
            tensors.Add(new(spec, DType.BF16, new Shape(64, 128), SparseMatrix.Of(UnitSpec.Parse(spec), DType.BF16, new Shape(64, 128), TensorData.FromBytes(bytes))));
        }

        PackWriter.Write(_folder["s.mpack"], PackContent.Empty with { Tensors = [.. tensors] }, new PackOptions());
        byte[] artifact = File.ReadAllBytes(_folder["s.mpack"]);
        int refused = 0;
        for (ulong seed = 1; seed <= 20_000; seed++)
        {
            Mutation mutation = Mutations.Apply(artifact, seed, hotBytes: 64);
            try
            {
                using PackReader reader = PackReader.Open(_folder.Write("case.mpack", mutation.Bytes));
                foreach (PackTensor tensor in reader.Tensors)
                {
                    byte[] read = DenseTensorData.Of(tensor.DType, tensor.Encoding).ToArray();
                    Assert.True(truth[tensor.Name].AsSpan().SequenceEqual(read), $"seed {seed} ({mutation.Description}): '{tensor.Name}' reads wrong data");
                }
            }
            catch (ModelPackException)
            {
                refused++;
            }
        }

        Assert.True(refused > 10_000, $"{refused} of 20000 were refused");
    }

    private static byte[] Dense(PackReader reader, string name, DType dtype)
    {
        PackTensor tensor = reader.Find(name)!;
        byte[] bytes = new byte[dtype.StorageBytes(tensor.Shape.ElementCount)];
        unsafe
        {
            fixed (byte* start = bytes)
            {
                reader.DecodeDense(tensor, dtype, (nint)start, bytes.Length, threads: 2);
            }
        }

        return bytes;
    }

    /// <summary>The same zeros in every type that is looked at.</summary>
    private static IEnumerable<(DType DType, byte[] Bytes)> Typed(float[] values)
    {
        yield return (DType.F32, MemoryMarshal.AsBytes(values.AsSpan()).ToArray());
        yield return (DType.BF16, [.. values.SelectMany(v => BitConverter.GetBytes((ushort)(BitConverter.SingleToUInt32Bits(v) >> 16)))]);
        yield return (DType.F16, [.. values.SelectMany(v => BitConverter.GetBytes(BitConverter.HalfToUInt16Bits((Half)v)))]);
        yield return (DType.I8, [.. values.Select(v => (byte)(v == 0 ? 0 : Math.Clamp(Math.Round(v * 2000), -127, 127) is double q && q != 0 ? (sbyte)q : 1))]);
    }
}
