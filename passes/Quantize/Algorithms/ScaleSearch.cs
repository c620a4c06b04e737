namespace ModelPack.Passes;

/// <summary>
/// For every block the scale among the format's candidates (<see cref="IFixedScaleFormat.ScaleFactors"/>) with the least squared error, errors weighted by how much their column counts. With the mean squares of
/// the activations as weights that is the error of the output, as if activations were uncorrelated.
/// </summary>
internal static class ScaleSearch
{
    /// <summary>A candidate must win by more than the rounding of f32 sums.</summary>
    private const float Margin = 1 - (1f / 65536);

    /// <summary>Replaces the tile's scales; call <see cref="WeightTile.StoreScales"/> before to have candidates measured as they are stored.</summary>
    /// <param name="tile">Rows with the scales of the encoder.</param>
    /// <param name="importance">[K]; empty: all alike.</param>
    /// <param name="streams">The encoded rows: candidates are rounded to what can be stored there.</param>
    public static void Run(WeightTile tile, ReadOnlySpan<float> importance, ReadOnlySpan<Memory<byte>> streams)
    {
        int size = tile.Rows * tile.Blocks;
        float[] start = new float[size];
        float[] best = new float[size];
        float[] least = new float[size];
        Gather(tile, start);
        bool first = true;
        foreach (float factor in tile.Format.ScaleFactors)
        {
            for (int b = 0; b < tile.Blocks; b++)
            {
                Span<float> scales = tile.Scales(b);
                for (int r = 0; r < scales.Length; r++)
                {
                    scales[r] = Math.Clamp(start[(b * tile.Rows) + r] * factor, float.Epsilon, float.MaxValue);
                }
            }

            tile.StoreScales(streams);
            Compare(tile, importance, best, least, first);
            first = false;
        }

        for (int b = 0; b < tile.Blocks; b++)
        {
            best.AsSpan(b * tile.Rows, tile.Rows).CopyTo(tile.Scales(b));
        }

        tile.StoreScales(streams);
    }

    private static void Gather(WeightTile tile, Span<float> scales)
    {
        for (int b = 0; b < tile.Blocks; b++)
        {
            tile.Scales(b).CopyTo(scales[(b * tile.Rows)..]);
        }
    }

    private static void Compare(WeightTile tile, ReadOnlySpan<float> importance, Span<float> best, Span<float> least, bool first)
    {
        int rows = tile.Rows;
        byte[] codes = new byte[rows];
        float[] rounded = new float[rows];
        float[] errors = new float[rows];
        for (int b = 0; b < tile.Blocks; b++)
        {
            errors.AsSpan().Clear();
            int end = Math.Min(tile.Columns, (b + 1) * tile.Format.BlockColumns);
            for (int column = b * tile.Format.BlockColumns; column < end; column++)
            {
                ReadOnlySpan<float> weights = tile.Column(column);
                tile.Round(column, weights, codes, rounded);
                float weight = importance.IsEmpty ? 1f : importance[column];
                for (int r = 0; r < rows; r++)
                {
                    float error = weights[r] - rounded[r];
                    float square = error * error;
                    errors[r] += square * weight;
                }
            }

            Span<float> scales = tile.Scales(b);
            for (int r = 0; r < rows; r++)
            {
                int at = (b * rows) + r;
                if (first || errors[r] < least[at] * Margin)
                {
                    least[at] = errors[r];
                    best[at] = scales[r];
                }
            }
        }
    }
}
