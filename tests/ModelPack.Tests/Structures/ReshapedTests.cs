using Xunit;

namespace ModelPack.Tests.Structures;

public sealed class ReshapedTests
{
    private static readonly IStructure Reshaped = ModelPack.Structures.Structures.Get("reshaped");

    [Theory]
    [InlineData(new long[] { 6, 20 }, new long[] { 6, 5, 2, 2 })]
    [InlineData(new long[] { 6, 5, 2, 2 }, new long[] { 6, 20 })]
    [InlineData(new long[] { 7, 9 }, new long[] { 9, 7 })]
    [InlineData(new long[] { 1, 60 }, new long[] { 20, 3 })]
    [InlineData(new long[] { 60 }, new long[] { 4, 15 })]
    [InlineData(new long[] { 4, 15 }, new long[] { 60 })]
    [InlineData(new long[] { 1 }, new long[] { })]
    [InlineData(new long[] { 0, 5 }, new long[] { 3, 0 })]
    public void ReadRows_in_any_tiles_gives_the_elements_in_order(long[] component, long[] composed)
    {
        foreach (bool random in new[] { false, true })
        {
            IValueReader reader = Open(new Shape(component), new Shape(composed), random);
            Assert.Equal(new Shape(composed), reader.Shape);
            foreach (int tile in new[] { 1, 2, 3, 100 })
            {
                float[] all = new float[reader.Shape.ElementCount];
                for (long row = 0; row < reader.Shape.Rows; row += tile)
                {
                    int rows = (int)Math.Min(tile, reader.Shape.Rows - row);
                    reader.ReadRows(row, rows, all.AsSpan((int)(row * reader.Shape.Columns), (int)(rows * reader.Shape.Columns)));
                }

                Assert.Equal(Enumerable.Range(0, all.Length).Select(i => (float)i), all);
            }
        }
    }

    [Fact]
    public void ReadRows_outside_the_shape_is_refused() =>
        Assert.Throws<ArgumentOutOfRangeException>(() => Open(new Shape(2, 6), new Shape(4, 3), false).ReadRows(3, 2, new float[6]));

    [Fact]
    public void ReadRows_from_several_threads_at_once_gives_the_same()
    {
        IValueReader reader = Open(new Shape(3, 4000), new Shape(1000, 12), false);

        Parallel.For(0, 1000, row =>
        {
            float[] values = new float[12];
            reader.ReadRows(row, 1, values);
            Assert.Equal(row * 12, values[0]);
            Assert.Equal((row * 12) + 11, values[11]);
        });
    }

    [Theory]
    [InlineData("reshaped(shape=2x3)", 2, 3, 1022)]
    [InlineData("reshaped", 2, 4, 1020)]
    public void Validate_wrong_encoding_is_refused(string spec, long rows, long columns, int code)
    {
        WeightEncoding component = DenseEncoding.Raw(DType.F32, new Shape(6), TensorData.FromBytes(new byte[24]));
        var encoding = new StructuredEncoding(UnitSpec.Parse(spec), new Shape(rows, columns), [component]);

        Assert.Equal(code, Assert.Throws<ModelPackException>(() => Reshaped.Validate(encoding)).Code.Number);
    }

    [Fact]
    public void Validate_two_components_is_MP1020()
    {
        WeightEncoding component = DenseEncoding.Raw(DType.F32, new Shape(6), TensorData.FromBytes(new byte[24]));

        Assert.Equal(ErrorCodes.BadEncoding, Assert.Throws<ModelPackException>(() => Reshaped.Validate(new StructuredEncoding(new UnitSpec("reshaped"), new Shape(6), [component, component]))).Code);
    }

    private static IValueReader Open(Shape component, Shape composed, bool random)
    {
        WeightEncoding dense = DenseEncoding.Raw(DType.F32, component, TensorData.FromBytes(new byte[component.ElementCount * 4]));
        IValueReader counting = random ? new RandomCounting(component) : new Counting(component);
        return Reshaped.Open(new StructuredEncoding(new UnitSpec("reshaped"), composed, [dense]), [counting]);
    }

    private class Counting(Shape shape) : IValueReader
    {
        public Shape Shape => shape;

        public void ReadRows(long firstRow, int rows, Span<float> destination)
        {
            for (int i = 0; i < rows * (int)shape.Columns; i++)
            {
                destination[i] = (firstRow * shape.Columns) + i;
            }
        }
    }

    private sealed class RandomCounting(Shape shape) : Counting(shape), IRandomValueReader
    {
        public void ReadBlock(long firstRow, int rows, long firstColumn, int columns, Span<float> destination)
        {
            for (int i = 0; i < rows * columns; i++)
            {
                destination[i] = ((firstRow + (i / columns)) * Shape.Columns) + firstColumn + (i % columns);
            }
        }
    }
}
