using ModelPack.Compiler.Calibration;

namespace ModelPack.Passes;

/// <summary>
/// The threshold below which a wanted share of absolute values lies. A histogram gives the first guess; what is measured then corrects the quantile that is asked of it (false position), because values follow the thresholds of
/// layers before, and lie close together where an activation has its least value.
/// </summary>
internal sealed class ActivationThreshold
{
    private readonly Histogram _histogram;
    private readonly double _target;
    private (double Aim, double Share) _low = (0, 0);
    private (double Aim, double Share) _high = (1, 1);
    private double _aim;
    private float _next;
    private double _best = double.MaxValue;

    /// <param name="histogram">The values.</param>
    /// <param name="target">Wanted share, 0 to 1.</param>
    public ActivationThreshold(Histogram histogram, double target)
    {
        (_histogram, _target, _aim) = (histogram, target, target);
        _next = Value = Quantile(target);
    }

    /// <summary>The threshold to measure.</summary>
    public float Next => _next;

    /// <summary>The best that was measured; before that the first guess.</summary>
    public float Value { get; private set; }

    /// <summary>Share of the values that <see cref="Value"/> set to 0; NaN before it was measured.</summary>
    public double Share { get; private set; } = double.NaN;

    /// <summary>Learns what share of the values <see cref="Next"/> set to 0.</summary>
    /// <returns>True when it is the best so far.</returns>
    public bool Measured(double share)
    {
        bool best = Math.Abs(share - _target) < _best;
        if (best)
        {
            (_best, Value, Share) = (Math.Abs(share - _target), _next, share);
        }

        if (share < _target)
        {
            _low = (_aim, share);
        }
        else
        {
            _high = (_aim, share);
        }

        // Away from the ends of the bracket, so that both of them move.
        double part = _high.Share > _low.Share ? Math.Clamp((_target - _low.Share) / (_high.Share - _low.Share), 0.1, 0.9) : 0.5;
        bool open = _low.Aim == 0 || _high.Aim == 1;
        double shifted = _aim + _target - share;
        _aim = open && shifted > _low.Aim && shifted < _high.Aim ? shifted : _low.Aim + (part * (_high.Aim - _low.Aim));
        _next = Quantile(_aim);
        return best;
    }

    /// <summary>Below what a share of the absolute values lies, values spread evenly over their bins.</summary>
    private float Quantile(double share)
    {
        double width = Math.ScaleB(1, _histogram.Exponent - 10);
        double wanted = share * _histogram.Counts.Sum();
        long below = 0;
        for (int bin = 0; bin < Histogram.Bins / 2; bin++)
        {
            long count = _histogram.Counts[(Histogram.Bins / 2) + bin] + _histogram.Counts[(Histogram.Bins / 2) - 1 - bin];
            if (count > 0 && below + count >= wanted)
            {
                return (float)((bin + Math.Max(0, (wanted - below) / count)) * width);
            }

            below += count;
        }

        return (float)Math.ScaleB(1, _histogram.Exponent);
    }
}
