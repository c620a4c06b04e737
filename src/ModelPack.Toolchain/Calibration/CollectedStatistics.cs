using ModelPack.Compiler.Calibration;

namespace ModelPack.Toolchain;

/// <summary>Statistics in memory.</summary>
internal sealed class CollectedStatistics(IReadOnlyDictionary<string, ActivationStatistics> byKey) : ICalibrationStatistics
{
    public ActivationStatistics this[string key] => byKey[key];

    /// <summary>All of them.</summary>
    public IEnumerable<ActivationStatistics> All => byKey.Values;

    public void Dispose()
    {
        foreach (ActivationStatistics statistics in byKey.Values)
        {
            statistics.Dispose();
        }
    }
}
