using ModelPack.Compiler.Linear;
using ModelPack.Testing;
using Xunit;

namespace ModelPack.Tests.Compiler;

/// <summary>The loops under calibration and GPTQ: the same bits with every width of vectors, every cut and every number of threads.</summary>
[Trait("Category", "Simd")]
public sealed class LinearTests
{
    [Theory]
    [InlineData(1, 1, 1)]
    [InlineData(3, 7, 5)]
    [InlineData(17, 9, 33)]
    [InlineData(64, 24, 96)]
    [InlineData(5, 8, 64)]
    [InlineData(130, 19, 71)]
    public void SumOfProducts_equalsItsDefinition_bitForBit(int depth, int m, int n)
    {
        Check<float>(depth, m, n);
        Check<double>(depth, m, n);
    }

    [Fact]
    public void SumOfProducts_cutAlongRowsAndColumns_givesTheSameBits()
    {
        const int depth = 40, m = 21, n = 70;
        float[] a = Values.Weights(1, depth * m);
        float[] b = Values.Weights(2, depth * n);
        float[] whole = new float[m * n];
        SumOfProducts.Run<float>(a, m, 1, b, n, whole, n, depth, m, n, subtract: false);

        float[] pieces = new float[m * n];
        foreach ((int row, int rows) in new[] { (0, 5), (5, 16) })
        {
            foreach ((int column, int columns) in new[] { (0, 3), (3, 40), (43, 27) })
            {
                SumOfProducts.Run<float>(a.AsSpan(row), m, 1, b.AsSpan(column), n, pieces.AsSpan((row * n) + column), n, depth, rows, columns, subtract: false);
            }
        }

        Assert.Equal(whole, pieces);
    }

    [Fact]
    public void SumOfProducts_beyondItsBuffers_isRefused()
    {
        Assert.ThrowsAny<IndexOutOfRangeException>(() => SumOfProducts.Run<float>(new float[5], 2, 1, new float[6], 2, new float[4], 2, 3, 2, 2, false));
        Assert.ThrowsAny<IndexOutOfRangeException>(() => SumOfProducts.Run<float>(new float[6], 2, 1, new float[5], 2, new float[4], 2, 3, 2, 2, false));
        Assert.ThrowsAny<IndexOutOfRangeException>(() => SumOfProducts.Run<float>(new float[6], 2, 1, new float[6], 2, new float[3], 2, 3, 2, 2, false));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(63)]
    [InlineData(64)]
    [InlineData(65)]
    [InlineData(200)]
    public void UpperCholesky_timesItself_givesTheMatrixBack_onAnyNumberOfThreads(int size)
    {
        double[] matrix = PositiveDefinite(size);
        double[] factor = Factor(matrix, size, 1);
        for (int i = 0; i < size; i++)
        {
            for (int j = i; j < size; j++)
            {
                double sum = 0;
                for (int k = 0; k <= i; k++)
                {
                    sum += factor[(k * size) + i] * factor[(k * size) + j];
                }

                Assert.Equal(matrix[(i * size) + j], sum, 1e-9 * size);
            }
        }

        Assert.Equal(factor, Factor(matrix, size, 3));
    }

    [Theory]
    [InlineData(0)]
    [InlineData(70)]
    public void UpperCholesky_ofAMatrixThatIsNotPositiveDefinite_saysWhere(int row)
    {
        const int size = 100;
        double[] matrix = new double[size * size];
        for (int i = 0; i < size; i++)
        {
            matrix[(i * size) + i] = i == row ? 0 : 1;
        }

        using UpperTriangle zero = Triangle(matrix, size);
        Assert.Equal(row, UpperCholesky.Factor(zero, 2));
        matrix[(row * size) + row] = double.NaN;
        using UpperTriangle unknown = Triangle(matrix, size);
        Assert.Equal(row, UpperCholesky.Factor(unknown, 2));
    }

    private static void Check<T>(int depth, int m, int n)
        where T : unmanaged, System.Numerics.INumber<T>
    {
        T[] a = [.. Values.Weights(3, depth * m).Select(v => T.CreateChecked(v))];
        T[] b = [.. Values.Weights(4, depth * n).Select(v => T.CreateChecked(v))];
        T[] start = [.. Values.Weights(5, m * n).Select(v => T.CreateChecked(v))];
        foreach (bool subtract in new[] { false, true })
        {
            T[] expected = [.. start];
            SumOfProducts.Reference<T>(a, m, 1, b, n, expected, n, depth, m, n, subtract);

            // Guarded buffers, and the left factor once as it is and once transposed.
            using PoisonBuffer left = PoisonBuffer.Copy<T>(a);
            using PoisonBuffer right = PoisonBuffer.Copy<T>(b);
            using PoisonBuffer target = PoisonBuffer.Copy<T>(start);
            SumOfProducts.Run<T>(left.As<T>(), m, 1, right.As<T>(), n, target.As<T>(), n, depth, m, n, subtract);
            Assert.Equal(expected, target.As<T>().ToArray());

            T[] transposed = new T[a.Length];
            for (int i = 0; i < a.Length; i++)
            {
                transposed[(i % m * depth) + (i / m)] = a[i];
            }

            T[] again = [.. start];
            SumOfProducts.Run<T>(transposed, 1, depth, b, n, again, n, depth, m, n, subtract);
            Assert.Equal(expected, again);
        }
    }

    private static double[] PositiveDefinite(int size)
    {
        float[] x = Values.Weights(6, 2 * size * size);
        double[] matrix = new double[size * size];
        for (int i = 0; i < size; i++)
        {
            for (int j = 0; j < size; j++)
            {
                for (int k = 0; k < 2 * size; k++)
                {
                    matrix[(i * size) + j] += (double)x[(k * size) + i] * x[(k * size) + j] * 1000;
                }
            }
        }

        return matrix;
    }

    private static double[] Factor(double[] matrix, int size, int threads)
    {
        using UpperTriangle triangle = Triangle(matrix, size);
        Assert.Equal(-1, UpperCholesky.Factor(triangle, threads));
        double[] factor = new double[size * size];
        for (int i = 0; i < size; i++)
        {
            triangle.Row(i).CopyTo(factor.AsSpan((i * size) + i));
        }

        return factor;
    }

    private static UpperTriangle Triangle(double[] matrix, int size)
    {
        var triangle = new UpperTriangle(size);
        for (int i = 0; i < size; i++)
        {
            matrix.AsSpan((i * size) + i, size - i).CopyTo(triangle.Row(i));
        }

        return triangle;
    }
}
