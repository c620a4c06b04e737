using ModelPack.Compiler.Calibration;

namespace ModelPack.Passes;

/// <summary>Statistics of all values that units read or make, reduced to what parameters are chosen from.</summary>
internal sealed class ActivationStatisticsSet
{
    private readonly Dictionary<string, (double Low, double High, long Elements)> _values = new(StringComparer.Ordinal);
    private readonly int _samples;

    private ActivationStatisticsSet(int samples) => _samples = Math.Max(1, samples);

    /// <summary>One tap per value, without channels.</summary>
    public static IReadOnlyList<CalibrationTap> Taps(QuantizableNetwork network) =>
    [
        .. network.Units.Where(u => u.Kind != UnitKind.Passing).SelectMany(u => u.Data.Append(u.Output))
            .Distinct(StringComparer.Ordinal).Select(v => new CalibrationTap(v, 1, SecondMoments: false)),
    ];

    /// <summary>Collects the statistics and chooses the ranges.</summary>
    /// <param name="calibrator">Runs the model.</param>
    /// <param name="model">The float model.</param>
    /// <param name="taps">Of <see cref="Taps"/>.</param>
    /// <param name="range">Chooses.</param>
    /// <param name="floors">Values below which all are alike to what reads them, where there are such.</param>
    public static ActivationStatisticsSet Collect(ICalibrator calibrator, Compiler.Model model, IReadOnlyList<CalibrationTap> taps, ActivationRange range, IReadOnlyDictionary<string, double> floors)
    {
        var set = new ActivationStatisticsSet(calibrator.Info.Samples);
        using ICalibrationStatistics all = calibrator.Collect(model, taps);
        foreach (CalibrationTap tap in taps)
        {
            ActivationStatistics s = all[tap.Value];
            (double low, double high) = s.Rows == 0 ? (0, 0) : range.Of(s, floors.GetValueOrDefault(tap.Value, double.NegativeInfinity));
            set._values.Add(tap.Value, (low, high, s.Rows));
        }

        return set;
    }

    /// <summary>Chosen range.</summary>
    public (double Low, double High) Range(string value) => (_values[value].Low, _values[value].High);

    /// <summary>True when there was any element.</summary>
    public bool IsKnown(string value) => _values.TryGetValue(value, out var found) && found.Elements > 0;

    /// <summary>Elements of an average sample; 0 for values that were not looked at.</summary>
    public double Elements(string value) => _values.TryGetValue(value, out var found) ? (double)found.Elements / _samples : 0;
}
