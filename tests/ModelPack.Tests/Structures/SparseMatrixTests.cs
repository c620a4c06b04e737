using System.Runtime.InteropServices;
using ModelPack.Pack;
using ModelPack.Structures;
using ModelPack.Tests.Pack;
using Xunit;

namespace ModelPack.Tests.Structures;

/// <summary>Structures <c>blocksparse</c>, <c>nm</c>, <c>bankbalanced</c> and <c>bitmap</c>.</summary>
[Trait("Category", "Simd")]
public sealed class SparseMatrixTests
{
    /// <summary>Structures with shapes that their blocks and groups divide, do not divide, or are larger than; one column, one row.</summary>
    public static TheoryData<string, long, long> Cases
    {
        get
        {
            var cases = new TheoryData<string, long, long>();
            string[] specs =
            [
                "blocksparse(block=32x32)", "blocksparse(block=1x16)", "blocksparse(block=16x1)", "blocksparse(block=4x4)", "blocksparse(block=128x64)", "blocksparse(block=12x256)",
                "nm(m=4,n=2)", "nm(m=8,n=4)", "nm(m=4,n=1)", "nm(m=16,n=15)", "bankbalanced(bank=64,kept=8)", "bankbalanced(bank=16,kept=3)", "bankbalanced(bank=32,kept=31)", "bitmap",
            ];
            foreach (string spec in specs)
            {
                foreach ((long rows, long columns) in new[] { (64L, 256L), (33, 70), (1, 1), (1, 301), (130, 1), (3, 64), (257, 129), (5, 9) })
                {
                    cases.Add(spec, rows, columns);
                }
            }

            return cases;
        }
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public void TryDense_whatOfMade_givesEveryByteBack(string spec, long rows, long columns)
    {
        foreach ((DType dtype, int width) in new[] { (DType.U8, 1), (DType.BF16, 2), (DType.F16, 2), (DType.F32, 4), (DType.F64, 8) })
        {
            var shape = new Shape(rows, columns);
            byte[] bytes = Make(spec, (int)rows, (int)columns, width, 7);
            StructuredEncoding sparse = SparseMatrix.Of(UnitSpec.Parse(spec), dtype, shape, TensorData.FromBytes(bytes));
            ModelPack.Structures.Structures.Get(sparse.Structure.Id).Validate(sparse);
            StructuredEncoding stored = Stored(sparse);
            foreach (WeightEncoding encoding in new[] { sparse, stored })
            {
                TensorData dense = SparseMatrix.TryDense(dtype, encoding)!;
                Assert.Equal(bytes, dense.ToArray());

                // In pieces that end within rows and elements.
                byte[] pieces = new byte[bytes.Length];
                for (int at = 0, step = 1; at < pieces.Length; at += step, step = (step * 3 % 4001) + 1)
                {
                    step = Math.Min(step, pieces.Length - at);
                    dense.Read(at, pieces.AsSpan(at, step));
                }

                Assert.Equal(bytes, pieces);
            }

            // Streams in pieces, as the packer pulls them.
            foreach ((WeightEncoding lazy, WeightEncoding whole) in sparse.Components.Zip(stored.Components))
            {
                TensorData from = ((DenseEncoding)lazy).Streams[0].Data;
                byte[] expected = ((DenseEncoding)whole).Streams[0].Data.ToArray();
                byte[] pieces = new byte[expected.Length];
                for (int at = 0, step = 5; at < pieces.Length; at += step, step = (step * 5 % 3001) + 1)
                {
                    step = Math.Min(step, pieces.Length - at);
                    from.Read(at, pieces.AsSpan(at, step));
                }

                Assert.Equal(expected, pieces);
            }
        }
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public void ReadRows_inAnyTiles_givesTheValues(string spec, long rows, long columns)
    {
        var shape = new Shape(rows, columns);
        byte[] bytes = Make(spec, (int)rows, (int)columns, 4, 3);
        Span<float> finite = MemoryMarshal.Cast<byte, float>(bytes.AsSpan());
        for (int i = 0; i < finite.Length; i++)
        {
            finite[i] = finite[i] == 0 ? finite[i] : i + 0.5f;
        }

        float[] expected = finite.ToArray();
        IValueReader reader = EncodingValues.Open(SparseMatrix.Of(UnitSpec.Parse(spec), DType.F32, shape, TensorData.FromBytes(bytes)));
        Assert.Equal(shape, reader.Shape);
        foreach (int tile in new[] { 1, 2, 7, 33, 1000 })
        {
            float[] all = new float[expected.Length];
            Parallel.For(0, (rows + tile - 1) / tile, t =>
            {
                int count = (int)Math.Min(tile, rows - (t * tile));
                reader.ReadRows(t * tile, count, all.AsSpan((int)(t * tile * columns), (int)(count * columns)));
            });
            Assert.Equal(expected, all);
        }
    }

    /// <summary>Values in a number format: the same as the dense matrix in that format where its blocks lie within the stored ones, and zeros elsewhere.</summary>
    [Theory]
    [InlineData("blocksparse(block=32x32)", "mxfp4")]
    [InlineData("blocksparse(block=4x64)", "int8(block=32)")]
    [InlineData("blocksparse(block=1x32)", "mxfp8")]
    public void ReadRows_blocksOfANumberFormat_areThoseOfTheDenseMatrix(string spec, string format)
    {
        var shape = new Shape(96, 160);
        byte[] bytes = MemoryMarshal.AsBytes(Masked(spec, 96, 160).AsSpan()).ToArray();
        StructuredEncoding sparse = SparseMatrix.Of(UnitSpec.Parse(spec), DType.F32, shape, TensorData.FromBytes(bytes));
        var pending = DenseEncoding.Pending(UnitSpec.Parse(format), sparse.Components[1]);
        Assert.Equal(
            Values(DenseEncoding.Pending(UnitSpec.Parse(format), DenseEncoding.Raw(DType.F32, shape, TensorData.FromBytes(bytes)))),
            Values(sparse with { Components = [sparse.Components[0], pending] }));
    }

    [Fact]
    public void Of_negativeZeroAndNaNPayloads_areStored()
    {
        ushort[] words = new ushort[64 * 64];
        words[100] = 0x8000;
        words[1000] = 0x7f81;
        words[4000] = 0xffff;
        byte[] bytes = MemoryMarshal.AsBytes(words.AsSpan()).ToArray();
        foreach (string spec in new[] { "blocksparse(block=32x32)", "nm(m=4,n=1)", "bankbalanced(bank=64,kept=2)", "bitmap" })
        {
            StructuredEncoding sparse = SparseMatrix.Of(UnitSpec.Parse(spec), DType.BF16, new Shape(64, 64), TensorData.FromBytes(bytes));
            Assert.Equal(bytes, DenseTensorData.Of(DType.BF16, sparse).ToArray());
        }

        SparsityFacts facts = SparseMatrix.Facts(SparseMatrix.Of(SparseMatrix.Blocks(32, 32), DType.BF16, new Shape(64, 64), TensorData.FromBytes(bytes)))!;
        Assert.Equal((2L, 4L, 0.5), (facts.Blocks!.Value, facts.BlocksTotal!.Value, facts.Density));
    }

    [Fact]
    public void Of_allZero_storesNoBlock()
    {
        StructuredEncoding sparse = SparseMatrix.Of(SparseMatrix.Blocks(32, 32), DType.F32, new Shape(50, 50), TensorData.FromBytes(new byte[10_000]));
        Assert.Equal(new Shape(0, 1024), sparse.Components[1].Shape);
        Assert.Equal(new byte[10_000], SparseMatrix.TryDense(DType.F32, sparse)!.ToArray());
        float[] values = new float[2500];
        EncodingValues.Open(sparse).ReadRows(0, 50, values);
        Assert.Equal(new float[2500], values);
    }

    [Fact]
    public void Of_anotherStructure_isRefused()
    {
        byte[] dense = [.. Enumerable.Repeat((byte)1, 64)];
        ModelPackException e = Assert.Throws<ModelPackException>(
            () => SparseMatrix.Of(SparseMatrix.NM(2, 4), DType.U8, new Shape(1, 64), TensorData.FromBytes(dense)).Components.Select(c => ((DenseEncoding)c).Streams[0].Data.ToArray()).ToArray());
        Assert.Equal(ErrorCodes.BadSparseIndex, e.Code);
    }

    [Theory]
    [InlineData("blocksparse", 1022)]
    [InlineData("blocksparse(block=32)", 1022)]
    [InlineData("blocksparse(block=3x3)", 1022)]
    [InlineData("blocksparse(block=1x1)", 1022)]
    [InlineData("blocksparse(block=0x32)", 1022)]
    [InlineData("blocksparse(block=-4x32)", 1022)]
    [InlineData("blocksparse(block=512x4)", 1022)]
    [InlineData("blocksparse(block=04x4)", 1022)]
    [InlineData("blocksparse(block=4x4,rows=1)", 1022)]
    [InlineData("nm(m=4)", 1022)]
    [InlineData("nm(m=4,n=4)", 1022)]
    [InlineData("nm(m=6,n=2)", 1022)]
    [InlineData("nm(m=32,n=2)", 1022)]
    [InlineData("nm(m=4,n=0)", 1022)]
    [InlineData("bankbalanced(bank=128,kept=8)", 1022)]
    [InlineData("bankbalanced(bank=64,kept=64)", 1022)]
    [InlineData("bitmap(block=4)", 1022)]
    public void Validate_wrongArguments_areRefused(string spec, int code) =>
        Assert.Equal(code, Code(() => Validate(spec, new Shape(8, 8), new Shape(8, 1), new Shape(1, 64))));

    [Theory]
    [InlineData("blocksparse(block=4x4)", new long[] { 8, 8 }, new long[] { 2, 2 }, new long[] { 1, 16 })]
    [InlineData("blocksparse(block=4x4)", new long[] { 8, 8 }, new long[] { 3, 1 }, new long[] { 1, 16 })]
    [InlineData("blocksparse(block=4x4)", new long[] { 8, 8 }, new long[] { 2, 1 }, new long[] { 4, 4 })]
    [InlineData("blocksparse(block=4x4)", new long[] { 8, 8 }, new long[] { 2, 1 }, new long[] { 5, 16 })]
    [InlineData("blocksparse(block=4x4)", new long[] { 0, 8 }, new long[] { 0, 1 }, new long[] { 0, 16 })]
    [InlineData("blocksparse(block=4x4)", new long[] { 8, 0 }, new long[] { 2, 0 }, new long[] { 0, 16 })]
    [InlineData("blocksparse(block=4x4)", new long[] { 64 }, new long[] { 2, 1 }, new long[] { 1, 16 })]
    [InlineData("blocksparse(block=4x4)", new long[] { 2, 4, 8 }, new long[] { 2, 1 }, new long[] { 1, 16 })]
    [InlineData("blocksparse(block=256x4)", new long[] { 256, 1 << 20 }, new long[] { 1, 1 << 15 }, new long[] { 1, 1024 })]
    [InlineData("blocksparse(block=4x4)", new long[] { 4, long.MaxValue }, new long[] { 1, 1 }, new long[] { 1, 16 })]
    [InlineData("nm(m=4,n=2)", new long[] { 8, 8 }, new long[] { 8, 1 }, new long[] { 8, 3 })]
    [InlineData("nm(m=4,n=2)", new long[] { 8, 8 }, new long[] { 8, 2 }, new long[] { 8, 4 })]
    [InlineData("nm(m=4,n=2)", new long[] { 1, long.MaxValue }, new long[] { 8, 2 }, new long[] { 8, 4 })]
    [InlineData("bankbalanced(bank=64,kept=2)", new long[] { 8, 8 }, new long[] { 8, 1 }, new long[] { 8, 2 })]
    [InlineData("bitmap", new long[] { 8, 8 }, new long[] { 8, 1 }, new long[] { 2, 256 })]
    [InlineData("bitmap", new long[] { 8, 8 }, new long[] { 8, 1 }, new long[] { 1, 64 })]
    public void Validate_wrongShapes_areRefused(string spec, long[] shape, long[] mask, long[] values) =>
        Assert.Equal(1020, Code(() => Validate(spec, new Shape(shape), new Shape(mask), new Shape(values))));

    [Fact]
    public void Validate_wrongComponents_areRefused()
    {
        DenseEncoding mask = Raw(DType.U8, new Shape(8, 1));
        DenseEncoding values = Raw(DType.F32, new Shape(1, 256));
        IStructure bitmap = ModelPack.Structures.Structures.Get("bitmap");
        WeightEncoding[][] wrong = [[], [mask], [values, mask], [mask, values, values], [Raw(DType.I8, new Shape(8, 1)), values], [Permuted.Transpose(Raw(DType.U8, new Shape(1, 8))), values]];
        Assert.All(wrong, components => Assert.Equal(
            ErrorCodes.BadEncoding, Assert.Throws<ModelPackException>(() => bitmap.Validate(new(SparseMatrix.Bitmap, new Shape(8, 8), [.. components]))).Code));
        bitmap.Validate(new(SparseMatrix.Bitmap, new Shape(8, 8), [mask, values]));
    }

    /// <summary>Masks that a damaged or hostile file may hold: nothing but an error, and no value outside of the matrix.</summary>
    [Theory]
    [InlineData("blocksparse(block=4x4)", 8, 12, new byte[] { 1, 8 }, 2, "padding bit")]
    [InlineData("blocksparse(block=4x4)", 8, 12, new byte[] { 1, 0 }, 2, "fewer blocks than values")]
    [InlineData("blocksparse(block=4x4)", 8, 12, new byte[] { 7, 7 }, 2, "more blocks than values")]
    [InlineData("nm(m=4,n=2)", 2, 8, new byte[] { 0x33, 0x37 }, 0, "three of four")]
    [InlineData("nm(m=4,n=2)", 2, 8, new byte[] { 0x13, 0x33 }, 0, "one of four")]
    [InlineData("nm(m=4,n=2)", 2, 4, new byte[] { 0x33, 0x03 }, 0, "a group past the last")]
    [InlineData("nm(m=8,n=2)", 2, 8, new byte[] { 0x33, 0x03 }, 0, "four of eight")]
    [InlineData("bankbalanced(bank=16,kept=2)", 1, 16, new byte[] { 0x03, 0x01 }, 0, "three of a bank")]
    [InlineData("bitmap", 2, 4, new byte[] { 0x13, 0x03 }, 1, "padding bit")]
    [InlineData("bitmap", 2, 4, new byte[] { 0, 0 }, 1, "values without bits")]
    [InlineData("bitmap", 2, 4, new byte[] { 1, 0 }, 0, "bits without values")]
    public void Read_hostileMask_isAnError(string spec, long rows, long columns, byte[] mask, long valueRows, string why)
    {
        var unit = UnitSpec.Parse(spec);
        var shape = new Shape(rows, columns);
        Shape values = spec[0] switch
        {
            'n' => new Shape(rows, (columns + unit.Int("m", 0, 0, 99) - 1) / unit.Int("m", 0, 0, 99) * unit.Int("n", 0, 0, 99)),
            _ when spec.StartsWith("bank", StringComparison.Ordinal) => new Shape(rows, 2),
            _ when spec == "bitmap" => new Shape(valueRows, 256),
            _ => new Shape(valueRows, 16),
        };
        Shape maskShape = spec.StartsWith("bank", StringComparison.Ordinal) ? new Shape(1, 2) : new Shape(2, 1);
        var encoding = new StructuredEncoding(unit, shape, [DenseEncoding.Raw(DType.U8, maskShape, TensorData.FromBytes(mask)), Raw(DType.F32, values)]);
        Assert.Equal(1024, Code(() => EncodingValues.Open(encoding).ReadRows(0, (int)rows, new float[rows * columns])));
        ModelPackException e = Assert.Throws<ModelPackException>(() => SparseMatrix.TryDense(DType.F32, encoding)!.ToArray());
        Assert.True(e.Code == ErrorCodes.BadSparseIndex, why);
    }

    [Fact]
    public void NonZero_everyLength_agreesWithTheReference()
    {
        byte[] bytes = [.. PackSamples.Random(1, 4000).Select((b, i) => (byte)(i / 4 % 3 == 0 ? 0 : b))];
        for (int length = 0; length < 300; length++)
        {
            Check<byte>(bytes, length);
            Check<ushort>(bytes, length);
            Check<uint>(bytes, length);
            Check<ulong>(bytes, length);
        }

        static void Check<T>(byte[] bytes, int length)
            where T : unmanaged, IEquatable<T>
        {
            ReadOnlySpan<T> elements = MemoryMarshal.Cast<byte, T>(bytes.AsSpan())[..Math.Min(length, bytes.Length / System.Runtime.CompilerServices.Unsafe.SizeOf<T>())];
            byte[] expected = new byte[(elements.Length + 7) / 8];
            byte[] actual = [.. Enumerable.Repeat((byte)0xff, expected.Length)];
            MaskKernel.NonZeroScalar(elements, expected, 0);
            MaskKernel.NonZero(elements, actual);
            Assert.Equal(expected, actual);
        }
    }

    /// <summary>A matrix that has the structure: random bit patterns, zeros between them, -0 and NaN payloads too.</summary>
    internal static byte[] Make(string spec, int rows, int columns, int width, int seed)
    {
        byte[] bytes = PackSamples.Random(seed, rows * columns * width);
        bool[] kept = Kept(UnitSpec.Parse(spec), rows, columns, seed);
        for (int i = 0; i < kept.Length; i++)
        {
            if (!kept[i])
            {
                bytes.AsSpan(i * width, width).Clear();
            }
        }

        return bytes;
    }

    /// <summary>Normal weights of which those are kept that the structure allows.</summary>
    internal static float[] Masked(string spec, int rows, int columns, int seed = 5, double density = 0.3)
    {
        float[] values = PackSamples.Weights(seed, rows * columns);
        bool[] kept = Kept(UnitSpec.Parse(spec), rows, columns, seed, density);
        return [.. values.Select((v, i) => kept[i] ? v : 0)];
    }

    private static bool[] Kept(UnitSpec unit, int rows, int columns, int seed, double density = 0.3)
    {
        var random = new Random(seed);
        bool[] kept = new bool[rows * columns];
        if (unit.Id == "blocksparse")
        {
            int[] edges = [.. unit.Text("block", "").Split('x').Select(e => int.Parse(e, System.Globalization.CultureInfo.InvariantCulture))];
            int across = (columns + edges[1] - 1) / edges[1];
            bool[] blocks = [.. Enumerable.Range(0, (rows + edges[0] - 1) / edges[0] * across).Select(_ => random.NextDouble() < density)];
            for (int i = 0; i < kept.Length; i++)
            {
                kept[i] = blocks[(i / columns / edges[0] * across) + (i % columns / edges[1])];
            }

            return kept;
        }

        if (unit.Id == "bitmap")
        {
            return [.. kept.Select(_ => random.NextDouble() < density)];
        }

        int group = unit.Int(unit.Id == "nm" ? "m" : "bank", 0, 0, 64);
        int most = unit.Int(unit.Id == "nm" ? "n" : "kept", 0, 0, 64);
        for (int r = 0; r < rows; r++)
        {
            for (int c = 0; c < columns; c += group)
            {
                int[] places = [.. Enumerable.Range(c, Math.Min(group, columns - c))];
                random.Shuffle(places);
                foreach (int place in places.Take(most))
                {
                    kept[(r * columns) + place] = true;
                }
            }
        }

        return kept;
    }

    private static StructuredEncoding Stored(StructuredEncoding sparse) => sparse with
    {
        Components = [.. sparse.Components.Cast<DenseEncoding>().Select(c => c with { Streams = [new EncodedStream("values", TensorData.FromBytes(c.Streams[0].Data.ToArray()))] })],
    };

    private static DenseEncoding Raw(DType dtype, Shape shape) => DenseEncoding.Raw(dtype, shape, TensorData.FromBytes(new byte[Math.Min(1 << 20, dtype.StorageBytes(shape.ElementCount))]));

    private static void Validate(string spec, Shape shape, Shape mask, Shape values)
    {
        var unit = UnitSpec.Parse(spec);
        ModelPack.Structures.Structures.Get(unit.Id).Validate(new StructuredEncoding(unit, shape, [Raw(DType.U8, mask), Raw(DType.F32, values)]));
    }

    private static int Code(Action action) => Assert.Throws<ModelPackException>(action).Code.Number;

    private static float[] Values(WeightEncoding encoding)
    {
        float[] values = new float[encoding.Shape.ElementCount];
        EncodingValues.Open(encoding).ReadRows(0, (int)encoding.Shape.Rows, values);
        return values;
    }
}
