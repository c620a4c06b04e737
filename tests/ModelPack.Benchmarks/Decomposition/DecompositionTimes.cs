using System.Diagnostics;
using System.Globalization;
using System.Text;
using ModelPack.Compiler.Linear;

namespace ModelPack.Benchmarks.Decomposition;

/// <summary>Seconds, memory and error of truncated decompositions of large matrices whose singular values are known: A = P D Q^T, P and Q products of reflections, s_i falling like those of weights.</summary>
internal static class DecompositionTimes
{
    private const int Reflections = 16;

    public static string ToMarkdown(int threads)
    {
        var text = new StringBuilder("| matrix | rank | seconds | peak memory of the process, MiB | error / best error |\n|---|---|---|---|---|\n");
        foreach ((int size, int rank) in ((int, int)[])[(1024, 128), (2048, 256), (4096, 512)])
        {
            (Matrix a, double best) = Known(size, rank);
            using (a)
            {
                long start = Stopwatch.GetTimestamp();
                using SingularValues svd = SingularValues.Of(a, rank, seed: 1, threads);
                double seconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
                text.Append(CultureInfo.InvariantCulture, $"| {size} x {size} | {rank} | {seconds:0.0} | {Process.GetCurrentProcess().PeakWorkingSet64 >> 20} | {Math.Sqrt(Error(a, svd, threads) / best):0.00000} |\n");
            }
        }

        return text.ToString();
    }

    /// <summary>A matrix, and the least squared error that a rank leaves.</summary>
    private static (Matrix A, double Best) Known(int size, int rank)
    {
        var a = new Matrix(size, size);
        double best = 0;
        for (int i = 0; i < size; i++)
        {
            // A slow fall, the hard case for random projections.
            a[i, i] = 1 / Math.Sqrt(1 + (i / 64.0));
            best += i >= rank ? a[i, i] * a[i, i] : 0;
        }

        Reflect(a, 1);
        using Matrix once = a;
        Matrix turned = once.Transposed();
        Reflect(turned, 2);
        return (turned, best);
    }

    /// <summary>Multiplies by Householder reflections of random vectors from the left.</summary>
    private static void Reflect(Matrix a, ulong seed)
    {
        double[] vector = new double[a.Rows];
        double[] product = new double[a.Columns];
        ulong state = seed;
        for (int reflection = 0; reflection < Reflections; reflection++)
        {
            foreach (ref double element in vector.AsSpan())
            {
                state = (state * 6364136223846793005) + 1442695040888963407;
                element = ((state >> 11) / (double)(1L << 53)) - 0.5;
            }

            Array.Clear(product);
            double norm = VectorMath.Dot(vector, vector);
            for (int row = 0; row < a.Rows; row++)
            {
                VectorMath.AddScaled(a.Row(row), vector[row], product);
            }

            for (int row = 0; row < a.Rows; row++)
            {
                VectorMath.AddScaled(product, -2 * vector[row] / norm, a.Row(row));
            }
        }
    }

    /// <summary>||A - sum of s_i u_i v_i^T||^2, element by element.</summary>
    private static double Error(Matrix a, SingularValues svd, int threads)
    {
        using Matrix scaled = svd.Left.Top(svd.Left.Rows);
        for (int i = 0; i < scaled.Rows; i++)
        {
            foreach (ref double element in scaled.Row(i))
            {
                element *= svd.Values[i];
            }
        }

        using Matrix error = a.Top(a.Rows);
        MatrixProduct.Add(scaled, true, svd.Right, false, error, 0, threads, subtract: true);
        return error.SumOfSquares();
    }
}
