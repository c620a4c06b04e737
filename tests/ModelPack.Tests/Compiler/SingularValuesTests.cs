using ModelPack.Compiler.Linear;
using ModelPack.Testing;
using Xunit;

namespace ModelPack.Tests.Compiler;

/// <summary>Products, QR and singular values of whole matrices, against plain loops and against each other.</summary>
[Trait("Category", "Simd")]
public sealed class SingularValuesTests
{
    [Theory]
    [InlineData(1, 1, 1)]
    [InlineData(7, 300, 5)]
    [InlineData(257, 31, 130)]
    [InlineData(0, 3, 4)]
    public void Product_equals_plain_loops_for_every_transposition_and_number_of_threads(int m, int k, int n)
    {
        using Matrix a = Random(1, m, k);
        using Matrix b = Random(2, k, n);
        using Matrix turnedA = a.Transposed();
        using Matrix turnedB = b.Transposed();
        using Matrix one = MatrixProduct.Of(a, false, b, false, 1);
        for (int form = 0; form < 4; form++)
        {
            using Matrix c = MatrixProduct.Of((form & 1) != 0 ? turnedA : a, (form & 1) != 0, (form & 2) != 0 ? turnedB : b, (form & 2) != 0, 3);
            for (int row = 0; row < m; row++)
            {
                Assert.Equal(one.Row(row).ToArray(), c.Row(row).ToArray());
                for (int column = 0; column < n; column++)
                {
                    double sum = 0;
                    for (int d = 0; d < k; d++)
                    {
                        sum += a[row, d] * b[d, column];
                    }

                    Assert.InRange(c[row, column], sum - 1e-12, sum + 1e-12);
                }
            }
        }
    }

    [Fact]
    public void Product_of_matrices_that_do_not_fit_is_refused()
    {
        using Matrix a = Random(1, 3, 5);
        Assert.Throws<ArgumentException>(() => MatrixProduct.Of(a, false, a, false, 1));
    }

    [Theory]
    [InlineData(1, 1)]
    [InlineData(5, 5)]
    [InlineData(33, 80)]
    [InlineData(70, 71)]
    public void Qr_is_orthonormal_and_gives_the_vectors_back(int l, int m)
    {
        using Matrix vectors = Random(3, l, m);
        vectors.Row(l / 2).Clear(); // dependent vectors too
        using Matrix q = vectors.Top(l);
        using Matrix r = HouseholderQr.Factor(q, 2);
        using Matrix unit = MatrixProduct.Of(q, false, q, true, 1);
        using Matrix back = MatrixProduct.Of(r, true, q, false, 1);
        for (int i = 0; i < l; i++)
        {
            for (int j = 0; j < l; j++)
            {
                Assert.InRange(unit[i, j], (i == j ? 1 : 0) - 1e-13, (i == j ? 1 : 0) + 1e-13);
                Assert.True(j <= i || r[j, i] == 0, "upper triangular");
            }
        }

        Assert.InRange(Distance(vectors, back), 0, 1e-13);
    }

    [Theory]
    [InlineData(1, 1)]
    [InlineData(1, 9)]
    [InlineData(40, 7)]
    [InlineData(24, 64)]
    [InlineData(50, 50)]
    public void Exact_of_full_rank_gives_the_matrix_back(int m, int n)
    {
        using Matrix a = Random(4, m, n);
        using SingularValues svd = SingularValues.Of(a, Math.Min(m, n), 0, 2);
        using Matrix back = Compose(svd, svd.Values.Count);

        Assert.InRange(Distance(a, back), 0, 1e-12);
        Assert.Equal(svd.Values.OrderDescending(), svd.Values);
        Assert.InRange(svd.Discarded(svd.Values.Count), 0, 1e-12 * svd.Total);
    }

    [Fact]
    public void Exact_finds_singular_values_that_are_known()
    {
        // A = Q1 diag Q2^T with values over nine orders of magnitude, one of them double.
        double[] values = [1e3, 10, 10, 1, 1e-2, 1e-6];
        using Matrix left = Random(5, values.Length, 30);
        using Matrix right = Random(6, values.Length, 20);
        HouseholderQr.Factor(left, 1).Dispose();
        HouseholderQr.Factor(right, 1).Dispose();
        for (int i = 0; i < values.Length; i++)
        {
            foreach (ref double value in right.Row(i))
            {
                value *= values[i];
            }
        }

        using Matrix a = MatrixProduct.Of(left, true, right, false, 1);
        using SingularValues svd = SingularValues.Of(a, 8, 0, 1);
        for (int i = 0; i < 8; i++)
        {
            double expected = i < values.Length ? values[i] : 0;
            Assert.InRange(svd.Values[i], expected - 1e-12, expected + 1e-12);
        }
    }

    [Fact]
    public void Of_a_zero_matrix_is_zero()
    {
        using var a = new Matrix(6, 4);
        using SingularValues svd = SingularValues.Of(a, 3, 0, 1);
        Assert.All(svd.Values, v => Assert.Equal(0, v));
        using Matrix back = Compose(svd, 3);
        Assert.Equal(0, back.SumOfSquares());
    }

    [Fact]
    public void Random_is_within_a_hundredth_of_exact_and_the_same_on_any_number_of_threads()
    {
        // A spectrum that falls slowly, the hard case.
        using Matrix a = Random(7, 150, 200);
        using Matrix mixed = Random(8, 150, 150);
        for (int i = 0; i < 150; i++)
        {
            foreach (ref double value in a.Row(i))
            {
                value /= 1 + (i * 0.05);
            }
        }

        using Matrix b = MatrixProduct.Of(mixed, false, a, false, 1);
        using SingularValues exact = SingularValues.Exact(b, 40, 1, default);
        using SingularValues one = SingularValues.Random(b, 40, 56, 11, 1, default);
        using SingularValues two = SingularValues.Random(b, 40, 56, 11, 2, default);
        using Matrix best = Compose(exact, 40);
        using Matrix near = Compose(one, 40);

        Assert.InRange(Distance(b, near), Distance(b, best) * 0.999999, Distance(b, best) * 1.01);
        Assert.Equal(one.Values, two.Values);
        for (int i = 0; i < 40; i++)
        {
            Assert.Equal(one.Left.Row(i).ToArray(), two.Left.Row(i).ToArray());
            Assert.Equal(one.Right.Row(i).ToArray(), two.Right.Row(i).ToArray());
        }
    }

    [Fact]
    public void Of_a_large_matrix_keeps_its_promises()
    {
        if (!LongTests.Wanted)
        {
            return;
        }

        using Matrix a = Random(9, 1500, 1400);
        using SingularValues exact = SingularValues.Exact(a, 200, 2, default);
        using SingularValues near = SingularValues.Of(a, 200, 1, 2);
        Assert.InRange(near.Discarded(200), exact.Discarded(200) * 0.999999, exact.Discarded(200) * 1.02);
    }

    [Fact]
    public void Of_more_than_the_matrix_has_is_refused()
    {
        using Matrix a = Random(1, 3, 5);
        Assert.Throws<ArgumentOutOfRangeException>(() => SingularValues.Of(a, 4, 0, 1));
    }

    internal static Matrix Random(ulong seed, int rows, int columns)
    {
        var matrix = new Matrix(rows, columns);
        float[] values = Values.Weights(seed, rows * columns);
        for (int row = 0; row < rows; row++)
        {
            for (int column = 0; column < columns; column++)
            {
                matrix[row, column] = values[(row * columns) + column];
            }
        }

        return matrix;
    }

    internal static double Distance(Matrix a, Matrix b)
    {
        double error = 0;
        double total = 0;
        for (int row = 0; row < a.Rows; row++)
        {
            for (int column = 0; column < a.Columns; column++)
            {
                error += (a[row, column] - b[row, column]) * (a[row, column] - b[row, column]);
                total += a[row, column] * a[row, column];
            }
        }

        return Math.Sqrt(error / Math.Max(1e-300, total));
    }

    private static Matrix Compose(SingularValues svd, int rank)
    {
        using Matrix left = svd.Left.Top(rank);
        using Matrix right = svd.Right.Top(rank);
        for (int i = 0; i < rank; i++)
        {
            foreach (ref double value in right.Row(i))
            {
                value *= svd.Values[i];
            }
        }

        return MatrixProduct.Of(left, true, right, false, 1);
    }
}
