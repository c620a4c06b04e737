using System.Runtime.Intrinsics;

namespace ModelPack.Passes;

/// <summary>
/// Scales and zero points from the weights alone, by alternating fits: every weight takes its nearest code, then scale and zero point become those that fit the codes best, a straight line through codes and values.
/// The fit either makes the squared error small, from several ranges to begin with, or (half-quadratic quantization, HQQ, Badri and Shaji 2023) the sum of |w - r|^p with p = 3/4, so that a few outliers may miss their
/// values and the others come nearer.
/// </summary>
/// <remarks>
/// The half-quadratic form of the second: errors e beyond what fits are set apart by the proximal operator of |e|^p, sign(e) max(0, |e| - |e|^(p-1) / beta) with e in units of the scale, and the fit is the least-squares one
/// to what remains; beta grows. (The paper fits the zero point only. With one more number per block to choose the scale comes for free.) Candidates are measured as they are stored, so the result is never worse than
/// the encoder's by the measure that is used. Formats without a zero point fit the scale only; integer zero points are rounded. Powers are made of square roots, which are exact to the last bit everywhere.
/// </remarks>
/// <param name="tile">Rows with the scales of the encoder.</param>
/// <param name="robust">True for p = 3/4, false for squares.</param>
internal sealed class HalfQuadratic(WeightTile tile, bool robust)
{
    private const int RobustRounds = 20;
    private const int SquaredRounds = 8;
    private const float FirstBeta = 10;
    private const float Growth = 1.01f;

    /// <summary>A candidate must win by more than the rounding of f32 sums.</summary>
    private const float Margin = 1 - (1f / 65536);

    /// <summary>Scales move by at most this factor in a round.</summary>
    private const double MostGrowth = 1.5;
    private const double MostShrinkage = 0.5;

    private static readonly float[] Ranges = [1f, 0.9f, 0.8f, 0.7f, 0.6f, 0.5f];

    private readonly int _rows = tile.Rows;
    private readonly bool _zeroPoints = tile.Format.Streams.Any(s => s.Role == "zero-points");
    private readonly byte[] _codes = new byte[tile.Rows];
    private readonly float[] _rounded = new float[tile.Rows];
    private readonly float[] _sums = new float[5 * tile.Rows];

    /// <summary>Replaces the tile's scales and zero points.</summary>
    /// <param name="streams">The encoded rows: candidates are rounded to what can be stored there.</param>
    public void Run(ReadOnlySpan<Memory<byte>> streams)
    {
        int size = _rows * tile.Blocks;
        float[] startScales = new float[size];
        float[] startZeros = new float[size];
        float[] least = new float[size];
        least.AsSpan().Fill(float.PositiveInfinity);
        Copy(startScales, startZeros, toTile: false);
        float[] bestScales = [.. startScales];
        float[] bestZeros = [.. startZeros];
        float middle = HighestCode() / 2f;
        foreach (float range in robust ? Ranges.AsSpan(0, 1) : Ranges)
        {
            for (int b = 0; b < tile.Blocks; b++)
            {
                for (int r = 0; r < _rows; r++)
                {
                    int at = (b * _rows) + r;
                    tile.Scales(b)[r] = Math.Max(startScales[at] * range, float.Epsilon);
                    tile.Zeros(b)[r] = _zeroPoints ? ((startZeros[at] - middle) / range) + middle : startZeros[at];
                }
            }

            float beta = FirstBeta;
            int rounds = robust ? RobustRounds : SquaredRounds;
            for (int round = 0; round <= rounds; round++, beta *= Growth)
            {
                tile.StoreScales(streams);
                for (int b = 0; b < tile.Blocks; b++)
                {
                    Improve(b, beta, least.AsSpan(b * _rows, _rows), bestScales.AsSpan(b * _rows, _rows), bestZeros.AsSpan(b * _rows, _rows));
                }
            }
        }

        Copy(bestScales, bestZeros, toTile: true);
        tile.StoreScales(streams);
    }

    private void Copy(float[] scales, float[] zeros, bool toTile)
    {
        for (int b = 0; b < tile.Blocks; b++)
        {
            Span<float> s = scales.AsSpan(b * _rows, _rows);
            Span<float> z = zeros.AsSpan(b * _rows, _rows);
            (toTile ? s : tile.Scales(b)).CopyTo(toTile ? tile.Scales(b) : s);
            (toTile ? z : tile.Zeros(b)).CopyTo(toTile ? tile.Zeros(b) : z);
        }
    }

    /// <summary>The code of the largest value, of integer formats: their codes count up from 0.</summary>
    private float HighestCode()
    {
        Span<byte> code = stackalloc byte[1];
        Span<float> rounded = stackalloc float[1];
        tile.Format.Round([1e30f], [1f], [0f], code, rounded);
        return code[0];
    }

    /// <summary>Measures the present scales of a block, keeps them where they are the best so far, and puts the next ones in their place.</summary>
    private void Improve(int block, float beta, Span<float> least, Span<float> bestScales, Span<float> bestZeros)
    {
        Span<float> scales = tile.Scales(block);
        Span<float> zeros = tile.Zeros(block);
        int first = block * tile.Format.BlockColumns;
        int end = Math.Min(tile.Columns, first + tile.Format.BlockColumns);
        Array.Clear(_sums);
        for (int column = first; column < end; column++)
        {
            ReadOnlySpan<float> weights = tile.Column(column);
            tile.Round(column, weights, _codes, _rounded);
            Add(weights, scales, 1 / beta);
        }

        int n = end - first;
        for (int r = 0; r < _rows; r++)
        {
            float scale = scales[r];
            float root = MathF.Sqrt(scale);
            float total = _sums[r] * (robust ? root * MathF.Sqrt(root) : scale * scale);
            if (total < least[r] * Margin)
            {
                (least[r], bestScales[r], bestZeros[r]) = (total, scale, zeros[r]);
            }

            double values = _sums[_rows + r];
            double squares = _sums[(2 * _rows) + r];
            double targets = _sums[(3 * _rows) + r];
            double products = _sums[(4 * _rows) + r];
            double variance = _zeroPoints ? squares - (values * values / n) : squares;
            double covariance = _zeroPoints ? products - (values * targets / n) : products;
            double slope = variance > 0 && double.IsFinite(covariance) ? Math.Clamp(covariance / variance, MostShrinkage, MostGrowth) : 1;
            scales[r] = (float)Math.Clamp(scale * slope, float.Epsilon, float.MaxValue);
            double offset = (targets - (slope * values)) / n;
            zeros[r] = _zeroPoints && double.IsFinite(offset) ? (float)(zeros[r] - (offset / slope)) : zeros[r];
        }
    }

    /// <summary>
    /// Adds one column to the sums of all rows, in units of the scale: the measure; the values v; v v; the targets t; t v. Lanes are rows, so that no sum depends on their number; the scalar lines below are what they do.
    /// </summary>
    private void Add(ReadOnlySpan<float> weights, ReadOnlySpan<float> scales, float threshold)
    {
        Span<float> loss = _sums.AsSpan(0, _rows);
        Span<float> values = _sums.AsSpan(_rows, _rows);
        Span<float> squares = _sums.AsSpan(2 * _rows, _rows);
        Span<float> targets = _sums.AsSpan(3 * _rows, _rows);
        Span<float> products = _sums.AsSpan(4 * _rows, _rows);
        int r = 0;
        for (; r <= _rows - Vector256<float>.Count; r += Vector256<float>.Count)
        {
            Vector256<float> scale = Load(scales, r);
            Vector256<float> v = Load(_rounded, r) / scale;
            Vector256<float> t = Load(weights, r) / scale;
            Vector256<float> error = t - v;
            Vector256<float> magnitude = Vector256.Abs(error);
            if (robust)
            {
                Vector256<float> root = Vector256.Sqrt(magnitude);
                Vector256<float> quarter = Vector256.Sqrt(root);
                Store(Load(loss, r) + (root * quarter), loss, r);
                Vector256<float> apart = Vector256.Max(magnitude - (Vector256.Create(threshold) / quarter), Vector256<float>.Zero);
                t -= Vector256.ConditionalSelect(Vector256.LessThan(error, Vector256<float>.Zero), -apart, apart);
            }
            else
            {
                Store(Load(loss, r) + (magnitude * magnitude), loss, r);
            }

            Store(Load(values, r) + v, values, r);
            Store(Load(squares, r) + (v * v), squares, r);
            Store(Load(targets, r) + t, targets, r);
            Store(Load(products, r) + (t * v), products, r);
        }

        for (; r < _rows; r++)
        {
            float v = _rounded[r] / scales[r];
            float t = weights[r] / scales[r];
            float error = t - v;
            float magnitude = Math.Abs(error);
            if (robust)
            {
                float root = MathF.Sqrt(magnitude);
                float quarter = MathF.Sqrt(root);
                loss[r] += root * quarter;
                float apart = Math.Max(magnitude - (threshold / quarter), 0f);
                t -= error < 0 ? -apart : apart;
            }
            else
            {
                loss[r] += magnitude * magnitude;
            }

            values[r] += v;
            squares[r] += v * v;
            targets[r] += t;
            products[r] += t * v;
        }
    }

    private static Vector256<float> Load(ReadOnlySpan<float> from, int at) => Vector256.Create(from.Slice(at, Vector256<float>.Count));

    private static void Store(Vector256<float> value, Span<float> to, int at) => value.CopyTo(to.Slice(at, Vector256<float>.Count));
}
