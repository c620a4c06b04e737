using ModelPack.Compiler.Calibration;

namespace ModelPack.Toolchain;

/// <summary>Statistics in memory.</summary>
internal sealed class CollectedStatistics(IReadOnlyDictionary<string, ActivationStatistics> byValue) : ICalibrationStatistics
{
    public ActivationStatistics this[string value] => byValue[value];

    /// <summary>All of them.</summary>
    public IEnumerable<ActivationStatistics> All => byValue.Values;

    public void Dispose()
    {
        foreach (ActivationStatistics statistics in byValue.Values)
        {
            statistics.Dispose();
        }
    }
}
