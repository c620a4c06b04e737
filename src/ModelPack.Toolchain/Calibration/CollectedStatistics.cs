using ModelPack.Compiler.Calibration;

namespace ModelPack.Toolchain;

/// <summary>Statistics that were just collected: matrices in memory, or on disk where they are large.</summary>
/// <param name="byKey">By key of the tap; disposed with this.</param>
/// <param name="scratch">Where large matrices are; disposed with this; null where there are none.</param>
internal sealed class CollectedStatistics(IReadOnlyDictionary<string, ActivationStatistics> byKey, ScratchFile? scratch = null) : ICalibrationStatistics
{
    public ActivationStatistics this[string key] => byKey[key];

    /// <summary>All of them.</summary>
    public IEnumerable<ActivationStatistics> All => byKey.Values;

    /// <summary>Takes statistics over; their matrices go to disk when all together are larger than a limit.</summary>
    /// <param name="statistics">Of different taps.</param>
    /// <param name="mostBytes">What may stay in memory.</param>
    /// <exception cref="ModelPackException">MP1005: the temporary file cannot be written.</exception>
    public static CollectedStatistics Of(IReadOnlyList<ActivationStatistics> statistics, long mostBytes)
    {
        if (statistics.Sum(s => (s.SecondMoments?.LengthBytes ?? 0) + (s.Drift?.LengthBytes ?? 0)) <= mostBytes)
        {
            return new CollectedStatistics(statistics.ToDictionary(s => s.Tap.Key, StringComparer.Ordinal));
        }

        var scratch = new ScratchFile(0);
        try
        {
            var moved = new Dictionary<string, ActivationStatistics>(StringComparer.Ordinal);
            foreach (ActivationStatistics s in statistics)
            {
                moved.Add(s.Tap.Key, s.WithMatrices(Move(s.SecondMoments, scratch), Move(s.Drift, scratch)));
                s.Dispose();
            }

            return new CollectedStatistics(moved, scratch);
        }
        catch
        {
            scratch.Dispose();
            foreach (ActivationStatistics s in statistics)
            {
                s.Dispose();
            }

            throw;
        }
    }

    /// <summary>Moves a matrix to where large things are kept, in pieces.</summary>
    public static TensorData? Move(TensorData? matrix, ScratchFile scratch)
    {
        const int step = 16 << 20;
        if (matrix is null)
        {
            return null;
        }

        var parts = new List<TensorData>();
        for (long offset = 0; offset < matrix.LengthBytes; offset += step)
        {
            byte[] part = new byte[(int)Math.Min(step, matrix.LengthBytes - offset)];
            matrix.Read(offset, part);
            parts.Add(scratch.Keep(part));
        }

        return parts.Count == 1 ? parts[0] : new JoinedTensorData([.. parts]);
    }

    public void Dispose()
    {
        foreach (ActivationStatistics statistics in byKey.Values)
        {
            statistics.Dispose();
        }

        scratch?.Dispose();
    }
}
