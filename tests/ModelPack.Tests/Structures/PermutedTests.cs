using System.Collections.Immutable;
using ModelPack.Numbers;
using ModelPack.Structures;
using ModelPack.Testing;
using Xunit;

namespace ModelPack.Tests.Structures;

public sealed class PermutedTests
{
    private static readonly WeightEncoding Matrix = DenseEncoding.Raw(DType.F32, new Shape(3, 5), TensorData.FromBytes(new byte[60]));

    public static TheoryData<long[], int[]> Cases() => new()
    {
        { [7, 13], [1, 0] },
        { [1, 13], [1, 0] },
        { [13, 1], [1, 0] },
        { [1, 1], [1, 0] },
        { [64, 48], [1, 0] },
        { [33, 129], [1, 0] },
        { [40, 33], [0, 1] },
        { [9], [0] },
        { [], [] },
        { [3, 20, 17], [0, 2, 1] },
        { [3, 20, 17], [2, 0, 1] },
        { [3, 20, 17], [1, 2, 0] },
        { [3, 20, 17], [2, 1, 0] },
        { [3, 20, 17], [1, 0, 2] },
        { [4, 1, 8, 3], [1, 0, 3, 2] },
        { [4, 6, 3, 3], [1, 0, 2, 3] },
        { [4, 6, 3, 3], [0, 2, 3, 1] },
        { [4, 6, 3, 3], [3, 2, 1, 0] },
        { [4, 6, 1, 1], [2, 3, 1, 0] },
        { [2, 3, 2, 3, 2], [4, 1, 3, 0, 2] },
        { [5, 0, 3], [2, 0, 1] },
        { [50, 24, 1], [1, 0, 2] },
        { [50, 2, 12], [1, 2, 0] },
    };

    [Theory]
    [MemberData(nameof(Cases))]
    public void ReadRows_anyPermutation_tiles_and_panelSizes_equalTheDefinition(long[] dims, int[] perm)
    {
        var shape = new Shape(dims);
        Shape composed = Permuted.Apply(shape, perm);
        float[] values = [.. Enumerable.Range(0, (int)shape.ElementCount).Select(i => (float)i)];
        float[] expected = Permute(values, shape, perm);
        foreach (bool random in new[] { true, false })
        {
            IValueReader component = random ? new RawValueReader(DType.F32, shape, Bytes(values)) : new WholeRows(shape, values);
            foreach (int panelBytes in new[] { 4, 200, 4096, 1 << 20 })
            {
                foreach (int tile in new[] { 1, 3, 1000 })
                {
                    IValueReader reader = composed.ElementCount == 0
                        ? PermutedReader.Open(component, perm, composed)
                        : PermutedReader.Open(component, perm, composed, panelBytes);
                    Assert.Equal(composed, reader.Shape);
                    Assert.Equal(expected, ReadAll(reader, tile));
                }
            }
        }
    }

    [Fact]
    public void ReadRows_allTilesInOrder_readsAWholeRowComponentOncePerPanel()
    {
        var shape = new Shape(200, 320);
        var component = new WholeRows(shape, Values.Weights(1, 64000));

        // 320 composed rows of 800 bytes; 100 of them (rounded down to 96) fit a panel, so four passes over 200 rows.
        IValueReader reader = PermutedReader.Open(component, [1, 0], new Shape(320, 200), 80_000);
        _ = ReadAll(reader, 8);

        Assert.Equal(4 * 200, component.RowsRead);
    }

    [Fact]
    public void ReadRows_overARandomReader_readsEveryElementOnce()
    {
        var shape = new Shape(200, 4096);
        float[] values = Values.Weights(1, 200 * 4096);
        var component = new Counting(new RawValueReader(DType.F32, shape, Bytes(values)));
        IValueReader reader = PermutedReader.Open(component, [1, 0], new Shape(4096, 200), 80_000);

        Assert.Equal(Permute(values, shape, [1, 0]), ReadAll(reader, 10));
        Assert.Equal(values.Length, component.ElementsRead);
    }

    [Fact]
    public void ReadRows_fromManyThreads_givesTheSameValues()
    {
        var shape = new Shape(64, 512);
        float[] values = Values.Weights(3, 64 * 512);
        float[] expected = Permute(values, shape, [1, 0]);
        IValueReader reader = PermutedReader.Open(new WholeRows(shape, values), [1, 0], new Shape(512, 64), 5000);
        float[] actual = new float[values.Length];

        Parallel.For(0, 128, new ParallelOptions { MaxDegreeOfParallelism = 4 }, i => reader.ReadRows(i * 4, 4, actual.AsSpan(i * 256, 256)));

        Assert.Equal(expected, actual);
    }

    [Fact]
    public void ReadRows_afterAFailedRead_triesAgain()
    {
        var shape = new Shape(8, 8);
        var component = new WholeRows(shape, Values.Weights(5, 64)) { FailNext = true };
        IValueReader reader = PermutedReader.Open(component, [1, 0], new Shape(8, 8), 1 << 20);
        float[] tile = new float[8];

        Assert.Throws<IOException>(() => reader.ReadRows(1, 1, tile));
        reader.ReadRows(1, 1, tile);

        Assert.Equal(Permute(Values.Weights(5, 64), shape, [1, 0])[8..16], tile);
    }

    [Fact]
    public void ReadRows_outsideTheShape_isRefused()
    {
        IValueReader reader = PermutedReader.Open(new WholeRows(new Shape(4, 6), new float[24]), [1, 0], new Shape(6, 4));

        Assert.Throws<ArgumentOutOfRangeException>(() => reader.ReadRows(5, 2, new float[8]));
        Assert.Throws<ArgumentOutOfRangeException>(() => reader.ReadRows(-1, 1, new float[8]));
    }

    [Theory]
    [InlineData("permuted(perm=0x0)")]
    [InlineData("permuted(perm=1)")]
    [InlineData("permuted(perm=0x2)")]
    [InlineData("permuted(perm=-1x0)")]
    [InlineData("permuted(perm=1,0=1)")]
    [InlineData("permuted(axis=1x0)")]
    [InlineData("permuted(perm=1x)")]
    [InlineData("permuted(perm=+1x0)")]
    public void Validate_badPermutation_isMP1022(string spec)
    {
        var encoding = new StructuredEncoding(UnitSpec.Parse(spec), new Shape(5, 3), [Matrix]);

        Assert.Equal(ErrorCodes.BadUnitArgument, Assert.Throws<ModelPackException>(() => ModelPack.Structures.Structures.Get("permuted").Validate(encoding)).Code);
    }

    [Fact]
    public void Validate_shapesThatDoNotFit_isMP1020()
    {
        UnitSpec spec = UnitSpec.Parse("permuted(perm=1x0)");
        StructuredEncoding[] wrong =
        [
            new(spec, new Shape(3, 5), [Matrix]),
            new(spec, new Shape(5, 3), []),
            new(spec, new Shape(5, 3), [Matrix, Matrix]),
            new(UnitSpec.Parse("permuted(perm=1x0x2)"), new Shape(5, 3, 1), [Matrix]),
            new(UnitSpec.Parse("permuted"), new Shape(5, 3), [Matrix]),
        ];

        Assert.All(wrong, e => Assert.Equal(ErrorCodes.BadEncoding, Assert.Throws<ModelPackException>(() => ModelPack.Structures.Structures.Get("permuted").Validate(e)).Code));
        ModelPack.Structures.Structures.Get("permuted").Validate(new(spec, new Shape(5, 3), [Matrix]));
    }

    [Fact]
    public void Of_nestedPermutations_merge()
    {
        WeightEncoding cube = DenseEncoding.Raw(DType.F32, new Shape(2, 3, 4), TensorData.FromBytes(new byte[96]));

        WeightEncoding twice = Permuted.Of(Permuted.Of(cube, 1, 2, 0), 0, 2, 1);

        Assert.Equal("permuted(perm=1x0x2) > f32", twice.Describe());
        Assert.Equal(new Shape(3, 2, 4), twice.Shape);
        Assert.Same(Matrix, Permuted.Transpose(Permuted.Transpose(Matrix)));
        Assert.Same(cube, Permuted.Of(cube, 0, 1, 2));
        Assert.Throws<ArgumentException>(() => Permuted.Of(cube, 1, 0));
        Assert.Throws<ArgumentException>(() => Permuted.Of(cube, 1, 0, 3));
    }

    [Fact]
    public void Scatter_everySize_equalsTheReference_onGuardedBuffers()
    {
        for (int rows = 0; rows <= 17; rows++)
        {
            for (int columns = 0; columns <= 17; columns++)
            {
                int stride = columns + (rows & 3);
                int length = rows == 0 ? 0 : ((rows - 1) * stride) + columns;
                float[] values = Values.Weights((ulong)(rows + columns + 1), length);
                int room = columns == 0 || rows == 0 ? 0 : ((columns - 1) * (rows + 2)) + rows;
                float[] expected = new float[room];
                TransposeKernel.ScatterReference(values, rows, columns, stride, expected, 1, rows + 2);
                using PoisonBuffer source = PoisonBuffer.Copy<float>(values);
                using PoisonBuffer destination = PoisonBuffer.EndingAtGuard(room * 4);
                TransposeKernel.Scatter(source.As<float>(), rows, columns, stride, destination.As<float>(), 1, rows + 2);
                Assert.Equal(expected, destination.As<float>().ToArray());
            }
        }
    }

    private static TensorData Bytes(float[] values) => TensorData.FromBytes(System.Runtime.InteropServices.MemoryMarshal.AsBytes<float>(values).ToArray());

    private static float[] ReadAll(IValueReader reader, int tileRows)
    {
        float[] values = new float[reader.Shape.ElementCount];
        int columns = (int)reader.Shape.Columns;
        for (long first = 0; first < reader.Shape.Rows; first += tileRows)
        {
            int rows = (int)Math.Min(tileRows, reader.Shape.Rows - first);
            reader.ReadRows(first, rows, values.AsSpan((int)first * columns, rows * columns));
        }

        return values;
    }

    /// <summary>The definition in SPEC.md, element by element.</summary>
    private static float[] Permute(float[] values, Shape shape, int[] perm)
    {
        Shape composed = Permuted.Apply(shape, perm);
        float[] result = new float[values.Length];
        for (int j = 0; j < result.Length; j++)
        {
            long rest = j;
            ImmutableArray<long>.Builder index = ImmutableArray.CreateBuilder<long>(shape.Rank);
            index.Count = shape.Rank;
            for (int axis = shape.Rank - 1; axis >= 0; axis--)
            {
                index[perm[axis]] = rest % composed[axis];
                rest /= composed[axis];
            }

            long at = 0;
            for (int axis = 0; axis < shape.Rank; axis++)
            {
                at = (at * shape[axis]) + index[axis];
            }

            result[j] = values[at];
        }

        return result;
    }

    /// <summary>A component that only gives whole rows, and counts them.</summary>
    private sealed class WholeRows(Shape shape, float[] values) : IValueReader
    {
        public Shape Shape => shape;

        public long RowsRead { get; private set; }

        public bool FailNext { get; set; }

        public void ReadRows(long firstRow, int rows, Span<float> destination)
        {
            if (FailNext)
            {
                FailNext = false;
                throw new IOException("once");
            }

            RowsRead += rows;
            values.AsSpan((int)(firstRow * shape.Columns), (int)(rows * shape.Columns)).CopyTo(destination);
        }
    }

    private sealed class Counting(IRandomValueReader inner) : IRandomValueReader
    {
        public Shape Shape => inner.Shape;

        public long ElementsRead { get; private set; }

        public void ReadRows(long firstRow, int rows, Span<float> destination) => throw new InvalidOperationException("rectangles are enough");

        public void ReadBlock(long firstRow, int rows, long firstColumn, int columns, Span<float> destination)
        {
            ElementsRead += (long)rows * columns;
            inner.ReadBlock(firstRow, rows, firstColumn, columns, destination);
        }
    }
}
