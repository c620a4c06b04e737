using ModelPack.Structures;
using ModelPack.Testing;
using Xunit;

namespace ModelPack.Tests.Structures;

/// <summary>lowrank, pivotrank and mpo against plain loops, and what is wrong with them.</summary>
[Trait("Category", "Simd")]
public sealed class LowRankTests
{
    [Theory]
    [InlineData(1, 1, 1)]
    [InlineData(5, 70, 3)]
    [InlineData(33, 1, 1)]
    [InlineData(40, 131, 40)]
    public void LowRank_is_the_product_bit_for_bit_in_any_tiles(int n, int k, int rank)
    {
        float[] b = Values.Weights(1, n * rank);
        float[] a = Values.Weights(2, rank * k);
        IValueReader reader = Open($"lowrank(rank={rank})", n, k, ([n, rank], b), ([rank, k], a));
        Check(reader, Product(b, a, n, rank, k));
    }

    [Theory]
    [InlineData(2, 3, 1)]
    [InlineData(20, 33, 7)]
    public void PivotRank_is_stored_rows_and_combinations(int n, int k, int rank)
    {
        float[] stored = Values.Weights(3, rank * k);
        float[] others = Values.Weights(4, (n - rank) * rank);
        var random = new SplitMix(5);
        int[] pivots = [.. Enumerable.Range(0, n).OrderBy(_ => random.Next()).Take(rank).Order()];
        float[] mask = new float[(n + 7) / 8];
        float[] b = new float[n * rank];
        for (int row = 0, p = 0, q = 0; row < n; row++)
        {
            if (pivots.Contains(row))
            {
                mask[row / 8] += 1 << (row % 8);
                b[(row * rank) + p++] = 1;
            }
            else
            {
                others.AsSpan(q++ * rank, rank).CopyTo(b.AsSpan(row * rank));
            }
        }

        IValueReader reader = Open($"pivotrank(rank={rank})", n, k, ([1, mask.Length], mask), ([rank, k], stored), ([n - rank, rank], others));
        Check(reader, Product(b, stored, n, rank, k));
    }

    [Theory]
    [InlineData("mpo(columns=3x5,ranks=2,rows=2x4)", 8, 15)]
    [InlineData("mpo(columns=3x5,ranks=6,rows=2x4)", 7, 13)]
    [InlineData("mpo(columns=2x3x4,ranks=3x5,rows=2x2x3)", 12, 24)]
    [InlineData("mpo(columns=2x2x2x2,ranks=2x3x2,rows=1x2x2x3)", 11, 16)]
    [InlineData("mpo(columns=1x1,ranks=1,rows=1x1)", 1, 1)]
    public void Mpo_is_the_contraction_of_its_cores(string spec, int n, int k)
    {
        MpoShape shape = Shape(spec);
        float[][] cores = [.. Enumerable.Range(0, shape.Sites).Select(s => Values.Weights((ulong)s + 6, (int)shape.Core(s).ElementCount))];
        IValueReader reader = Open(spec, n, k, [.. cores.Select((c, s) => (shape.Core(s).Dims.ToArray(), c))]);
        float[] values = new float[n * k];
        reader.ReadRows(0, n, values);
        for (int row = 0; row < n; row++)
        {
            for (int column = 0; column < k; column++)
            {
                double expected = Element(shape, cores, row, column);
                Assert.InRange(values[(row * k) + column], expected - 1e-5, expected + 1e-5);
            }
        }

        Check(reader, values);
    }

    [Theory]
    [InlineData("lowrank", 4, 6, "4x2;2x6", 1022)]
    [InlineData("lowrank(rank=0)", 4, 6, "4x2;2x6", 1022)]
    [InlineData("lowrank(rank=5)", 4, 6, "4x5;5x6", 1022)]
    [InlineData("lowrank(rank=2,sites=1)", 4, 6, "4x2;2x6", 1022)]
    [InlineData("lowrank(rank=2)", 4, 6, "4x2", 1020)]
    [InlineData("lowrank(rank=2)", 4, 6, "2x4;2x6", 1020)]
    [InlineData("pivotrank(rank=4)", 4, 6, "1x1;4x6;0x4", 1020)]
    [InlineData("pivotrank(rank=2)", 4, 6, "1x1;2x6;2x2", 1020)] // the mask is f32 here
    [InlineData("mpo(columns=2x3,ranks=2,rows=2x2)", 4, 7, "4x2;2x6", 1020)]
    [InlineData("mpo(columns=2x3,ranks=2,rows=2x2)", 4, 6, "4x2;2x5", 1020)]
    [InlineData("mpo(columns=2x3,ranks=5,rows=2x2)", 4, 6, "10x2;2x15", 1022)]
    [InlineData("mpo(columns=2x3,ranks=2x2,rows=2x2)", 4, 6, "4x2;2x6", 1022)]
    [InlineData("mpo(columns=6,ranks=2,rows=4)", 4, 6, "4x6", 1022)]
    [InlineData("mpo(columns=67108864x67108864,ranks=2,rows=67108864x67108864)", 4, 6, "4x6", 1020)]
    [InlineData("mpo(columns=2x-3,ranks=2,rows=2x2)", 4, 6, "4x2;2x6", 1022)]
    [InlineData("mpo(columns=2x3,rows=2x2)", 4, 6, "4x2;2x6", 1022)]
    [InlineData("mpo(columns=2x3,ranks=2,rows=2x2)", 0, 6, "4x2;2x6", 1020)]
    public void Validate_wrong_encoding_is_refused(string spec, long rows, long columns, string components, int code)
    {
        StructuredEncoding encoding = Encoding(spec, new Shape(rows, columns), [.. components.Split(';').Select(c => new Shape([.. c.Split('x').Select(long.Parse)]))]);
        Assert.Equal(code, Assert.Throws<ModelPackException>(() => ModelPack.Structures.Structures.Get(encoding.Structure.Id).Validate(encoding)).Code.Number);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(7)]
    [InlineData(32 + 1)]
    public void A_mask_of_other_rows_is_MP1024(byte mask)
    {
        var encoding = new StructuredEncoding(UnitSpec.Parse("pivotrank(rank=2)"), new Shape(5, 4), [Component(DType.U8, [1, 1]), Component(DType.F32, [2, 4]), Component(DType.F32, [3, 2])]);
        Assert.Equal(ErrorCodes.BadSparseIndex, Assert.Throws<ModelPackException>(() => PivotRows.Of(encoding, [mask])).Code);
    }

    [Fact]
    public void Reading_outside_is_refused()
    {
        IValueReader reader = Open("lowrank(rank=1)", 3, 2, ([3, 1], new float[3]), ([1, 2], new float[2]));
        Assert.Throws<ArgumentOutOfRangeException>(() => reader.ReadRows(2, 2, new float[8]));
        reader = Open("mpo(columns=1x2,ranks=1,rows=1x3)", 3, 2, ([1, 1], new float[1]), ([3, 2], new float[6]));
        Assert.Throws<ArgumentOutOfRangeException>(() => reader.ReadRows(2, 2, new float[8]));
    }

    [Theory]
    [InlineData(4096, 2, "64x64")]
    [InlineData(4096, 3, "16x16x16")]
    [InlineData(11008, 3, "16x16x43")]
    [InlineData(576, 2, "24x24")]
    [InlineData(768, 3, "8x8x12")]
    [InlineData(216, 3, "6x6x6")]
    [InlineData(13, 2, "2x7")]
    [InlineData(1, 3, "1x1x1")]
    [InlineData(2, 4, "1x1x1x2")]
    public void Factors_are_balanced_and_primes_are_filled_up(int side, int sites, string factors) => Assert.Equal(factors, string.Join('x', MpoShape.Factors(side, sites)));

    [Fact]
    public void Parameters_are_those_of_the_formula()
    {
        // Paper's example: 216 x 216 in three sites of 6 x 6.
        Assert.Equal((2 * 36 * 20) + (36 * 20 * 20), new MpoShape([6, 6, 6], [6, 6, 6], [20, 20]).Parameters);
        Assert.Equal(65536L * ((15 * 15) + (2 * 15)), new MpoShape([16, 16, 16], [16, 16, 16], [15, 15]).MultiplicationsPerRow);
        Assert.Equal(32 * 524288L, new MpoShape([64, 64], [64, 64], [32]).MultiplicationsPerRow);
    }

    private static double Element(MpoShape shape, float[][] cores, int row, int column)
    {
        double[] state = [1];
        int[] o = Digits(row, shape.Rows);
        int[] i = Digits(column, shape.Columns);
        for (int k = 0; k < shape.Sites; k++)
        {
            double[] next = new double[shape.After(k)];
            for (int right = 0; right < next.Length; right++)
            {
                for (int left = 0; left < state.Length; left++)
                {
                    next[right] += state[left] * cores[k][(((o[k] * next.Length) + right) * shape.Before(k) * shape.Columns[k]) + (left * shape.Columns[k]) + i[k]];
                }
            }

            state = next;
        }

        return state[0];
    }

    private static int[] Digits(int number, int[] bases)
    {
        int[] digits = new int[bases.Length];
        for (int k = bases.Length - 1; k >= 0; k--)
        {
            digits[k] = number % bases[k];
            number /= bases[k];
        }

        return digits;
    }

    private static float[] Product(float[] b, float[] a, int n, int rank, int k)
    {
        float[] c = new float[n * k];
        for (int row = 0; row < n; row++)
        {
            for (int column = 0; column < k; column++)
            {
                float sum = 0;
                for (int r = 0; r < rank; r++)
                {
                    float product = b[(row * rank) + r] * a[(r * k) + column];
                    sum += product;
                }

                c[(row * k) + column] = sum;
            }
        }

        return c;
    }

    private static void Check(IValueReader reader, float[] expected)
    {
        int n = (int)reader.Shape[0];
        int k = (int)reader.Shape[1];
        foreach (int tile in new[] { 1, 3, n })
        {
            float[] values = new float[n * k];
            for (int row = 0; row < n; row += tile)
            {
                int rows = Math.Min(tile, n - row);
                reader.ReadRows(row, rows, values.AsSpan(row * k, rows * k));
            }

            Assert.Equal(expected, values);
        }

        if (reader is IRandomValueReader random)
        {
            int first = k / 3;
            float[] part = new float[n * (k - first)];
            random.ReadBlock(0, n, first, k - first, part);
            Assert.Equal(expected.Where((_, i) => i % k >= first), part);
        }
    }

    private static MpoShape Shape(string spec)
    {
        var unit = UnitSpec.Parse(spec);
        int[] Numbers(string key) => [.. unit.Text(key, "").Split('x').Select(int.Parse)];
        return new MpoShape(Numbers("rows"), Numbers("columns"), Numbers("ranks"));
    }

    private static IValueReader Open(string spec, int n, int k, params (long[] Shape, float[] Values)[] components)
    {
        StructuredEncoding encoding = Encoding(spec, new Shape(n, k), [.. components.Select(c => new Shape(c.Shape))], mask: spec.StartsWith("pivot", StringComparison.Ordinal));
        return ModelPack.Structures.Structures.Get(encoding.Structure.Id).Open(encoding, [.. components.Select(c => new ArrayReader(new Shape(c.Shape), c.Values))]);
    }

    private static StructuredEncoding Encoding(string spec, Shape shape, Shape[] components, bool mask = false) =>
        new(UnitSpec.Parse(spec), shape, [.. components.Select((c, i) => Component(mask && i == 0 ? DType.U8 : DType.F32, c.Dims.ToArray()))]);

    private static DenseEncoding Component(DType dtype, long[] dims) => DenseEncoding.Raw(dtype, new Shape(dims), TensorData.FromBytes(Array.Empty<byte>()));

    private sealed class ArrayReader(Shape shape, float[] values) : IRandomValueReader
    {
        public Shape Shape => shape;

        public void ReadRows(long firstRow, int rows, Span<float> destination) =>
            values.AsSpan((int)(firstRow * shape.Columns), (int)(rows * shape.Columns)).CopyTo(destination);

        public void ReadBlock(long firstRow, int rows, long firstColumn, int columns, Span<float> destination)
        {
            for (int row = 0; row < rows; row++)
            {
                values.AsSpan((int)(((firstRow + row) * shape.Columns) + firstColumn), columns).CopyTo(destination[(row * columns)..]);
            }
        }
    }
}
