using ModelPack.Compiler.Calibration;

namespace ModelPack.Passes;

/// <summary>Every weight takes the nearest value. With activations, scales are chosen by what errors do to the output.</summary>
internal sealed class RoundToNearest : IWeightAlgorithm
{
    public string Name => "rtn";

    public bool NeedsSecondMoments => false;

    public IPreparedAlgorithm Prepare(ActivationStatistics? statistics, AlgorithmOptions options, int threads, CancellationToken cancellation) =>
        new Prepared(statistics?.SecondMoments is null ? [] : MomentMatrix.Importance(statistics));

    private sealed class Prepared(float[] importance) : IPreparedAlgorithm
    {
        public ReadOnlySpan<float> Importance => importance;

        public bool Adjusts => false;

        public void Adjust(WeightTile tile)
        {
        }

        public void ChooseCodes(WeightTile tile, Span<byte> codes, Span<double> losses)
        {
            byte[] column = new byte[tile.Rows];
            float[] rounded = new float[tile.Rows];
            for (int c = 0; c < tile.Columns; c++)
            {
                tile.Round(c, tile.Column(c), column, rounded);
                for (int r = 0; r < column.Length; r++)
                {
                    codes[(r * tile.Columns) + c] = column[r];
                }
            }
        }

        public void Dispose()
        {
        }
    }
}
