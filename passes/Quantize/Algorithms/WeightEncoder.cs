using System.Collections.Immutable;
using ModelPack.Compiler;
using ModelPack.Numbers;

namespace ModelPack.Passes;

/// <summary>Encodes a weight by an algorithm: rows in tiles, several at once, each by itself.</summary>
internal static class WeightEncoder
{
    private const int MostTileRows = 256;
    private const int LeastTileRows = 32;

    /// <summary>A matrix is sparse from an eighth of zeros up: structures for fewer are not smaller, and errors of others may as well fill those of dense matrices.</summary>
    private const int LeastSparseShare = 8;

    /// <summary>Encodes all rows.</summary>
    /// <param name="source">The weights, rows along K.</param>
    /// <param name="spec">A number format with fixed scales, complete.</param>
    /// <param name="groups">How codes are chosen: for all rows, or for equal runs of rows one after the other.</param>
    /// <param name="scales">How scales are chosen.</param>
    /// <param name="context">Threads, memory, cancellation, and where streams go.</param>
    /// <exception cref="ModelPackException">MP2217: the format does not have one scale per block of a row; MP1040: a weight is NaN or infinite.</exception>
    public static EncodedWeight Encode(WeightEncoding source, UnitSpec spec, RowGroup[] groups, ScaleChoice scales, PassContext context)
    {
        IValueReader weights = context.OpenValues(source);
        if (NumberFormats.Bind(spec, weights.Shape) is not IFixedScaleFormat { BlockColumns: > 0 } format)
        {
            throw new ModelPackException(ErrorCodes.AlgorithmCannotEncode, $"codes of '{spec}' cannot be chosen one by one: it does not have one scale per block of a row");
        }

        int columns = checked((int)weights.Shape.Columns);
        int rows = checked((int)weights.Shape.Rows);
        byte[][] streams = [.. format.Streams.Select(s => new byte[checked(s.BytesPerRow * rows)])];
        var sums = new RowSums(rows);
        int threads = Math.Max(1, context.Threads);
        int perGroup = rows / groups.Length;
        int tileRows = Math.Min(TileRows(rows, columns, threads, context.MaxMemoryBytes), Math.Max(1, perGroup));
        int tiles = (perGroup + tileRows - 1) / tileRows;
        bool sparse = IsSparse(weights, tileRows);
        Parallel.For(0, tiles * groups.Length, new ParallelOptions { MaxDegreeOfParallelism = threads, CancellationToken = context.Cancellation }, index =>
        {
            int first = index % tiles * tileRows;
            EncodeTile(weights, sparse, format, groups[index / tiles], scales, (index / tiles * perGroup) + first, Math.Min(tileRows, perGroup - first), streams, sums);
        });

        ImmutableArray<EncodedStream> stored = [.. format.Streams.Select((layout, s) => new EncodedStream(layout.Role, context.Keep(streams[s])))];
        return new EncodedWeight(new DenseEncoding(format.Spec, weights.Shape, stored) { Original = source }, sums.RelativeError, sums.Loss);
    }

    /// <summary>Rows whose matrices of K floats each fit into a quarter of the memory, on every thread; the same bytes come out whatever this is.</summary>
    private static int TileRows(int rows, int columns, int threads, long memoryBytes)
    {
        long perRow = Math.Max(1, columns) * 8L * sizeof(float);
        long fitting = memoryBytes / 4 / threads / perRow / 32 * 32;
        long even = (((rows + threads - 1) / threads) + 31) / 32 * 32;
        return (int)Math.Clamp(Math.Min(fitting, even), LeastTileRows, MostTileRows);
    }

    private static bool IsSparse(IValueReader weights, int tileRows)
    {
        int columns = (int)weights.Shape.Columns;
        float[] values = new float[tileRows * columns];
        long zeros = 0;
        for (long row = 0; row < weights.Shape.Rows; row += tileRows)
        {
            int count = (int)Math.Min(tileRows, weights.Shape.Rows - row);
            weights.ReadRows(row, count, values);
            zeros += values.AsSpan(0, count * columns).Count(0f);
        }

        return zeros > 0 && zeros * LeastSparseShare >= weights.Shape.ElementCount;
    }

    private static void EncodeTile(IValueReader weights, bool sparse, IFixedScaleFormat format, RowGroup group, ScaleChoice scales, int first, int rows, byte[][] streams, RowSums sums)
    {
        (IPreparedAlgorithm algorithm, CoordinateDescent? refinement) = group;
        int columns = (int)weights.Shape.Columns;
        float[] values = new float[rows * columns];
        byte[] codes = new byte[rows * columns];
        float[] decoded = new float[values.Length];
        double[] losses = new double[rows];
        var memory = new Memory<byte>[streams.Length];
        var readOnly = new ReadOnlyMemory<byte>[streams.Length];
        for (int s = 0; s < streams.Length; s++)
        {
            int perRow = (int)format.Streams[s].BytesPerRow;
            memory[s] = streams[s].AsMemory(first * perRow, rows * perRow);
            readOnly[s] = memory[s];
        }

        void Store()
        {
            format.WriteCodes(codes, rows, memory);
            format.DecodeRows(readOnly, rows, decoded);
        }

        weights.ReadRows(first, rows, values);
        using (var tile = new WeightTile(format, columns, rows))
        {
            tile.Load(values, rows, sparse);
            float[] adjusted = values;
            if (algorithm.Adjusts)
            {
                algorithm.Adjust(tile);
                adjusted = new float[values.Length];
                tile.CopyTo(adjusted);
            }

            format.EncodeRows(adjusted, rows, memory);
            tile.LoadScales(readOnly);
            switch (scales)
            {
                case ScaleChoice.Output:
                    ScaleSearch.Run(tile, algorithm.Importance, memory);
                    break;
                case ScaleChoice.Squares or ScaleChoice.Robust:
                    new HalfQuadratic(tile, scales == ScaleChoice.Robust).Run(memory);
                    break;
            }

            algorithm.ChooseCodes(tile, codes, losses);
            Store();
            if (refinement is not null)
            {
                refinement.Run(tile, decoded, codes, losses, memory);
                Store();
            }
        }

        for (int r = 0; r < rows; r++)
        {
            sums.Set(first + r, values.AsSpan(r * columns, columns), decoded.AsSpan(r * columns, columns), losses[r]);
        }
    }

    /// <summary>Sums of single rows, added in their order at the end: the same whatever the tiles were.</summary>
    private sealed class RowSums(int rows)
    {
        private readonly double[] _errors = new double[rows];
        private readonly double[] _values = new double[rows];
        private readonly double[] _losses = new double[rows];

        public double RelativeError => Sum(_values) > 0 ? Math.Sqrt(Sum(_errors) / Sum(_values)) : 0;

        public double Loss => Sum(_losses);

        public void Set(int row, ReadOnlySpan<float> values, ReadOnlySpan<float> decoded, double loss)
        {
            double errors = 0;
            double squares = 0;
            for (int i = 0; i < values.Length; i++)
            {
                double error = (double)values[i] - decoded[i];
                errors += error * error;
                squares += (double)values[i] * values[i];
            }

            (_errors[row], _values[row], _losses[row]) = (errors, squares, loss);
        }

        private static double Sum(double[] parts)
        {
            double sum = 0;
            foreach (double part in parts)
            {
                sum += part;
            }

            return sum;
        }
    }
}

/// <summary>A weight with its codes chosen.</summary>
/// <param name="Encoding">The streams.</param>
/// <param name="RelativeError">||W - W'|| / ||W|| in the Frobenius norm.</param>
/// <param name="Loss">Squared error of the outputs on the calibration data, damping included; 0 where the algorithm does not know.</param>
internal sealed record EncodedWeight(DenseEncoding Encoding, double RelativeError, double Loss);
