using System.Globalization;
using ModelPack.Compiler;

namespace ModelPack.Toolchain;

/// <summary>
/// What every candidate costs in every tensor. Errors of the weights are cheap and known for all; losses of the model take a run each and are measured where they decide. Between two formats of one tensor losses
/// go with the squared errors, so one measurement speaks for its neighbours. Weights that calibration data shaped (factors, what is left of sparse ones) err much where it costs little: for these what was carried over is
/// multiplied by what one run of all of them together shows (<see cref="Calibrate"/>).
/// </summary>
internal sealed class LossTable
{
    private readonly TuneSpace _space;
    private readonly LossProbe? _probe;
    private readonly TuneJournal _journal;
    private readonly string _context;
    private readonly Dictionary<Tensor, string> _structured = new(ReferenceEqualityComparer.Instance);
    private readonly double[,] _errors;
    private readonly double?[,] _measured;
    private readonly double[] _carried;
    private readonly CalibrationLimits _limits;

    /// <param name="space">Tensors and candidates.</param>
    /// <param name="probe">Runs the model; null: errors of the weights are all there is.</param>
    /// <param name="journal">Remembers.</param>
    /// <param name="context">What losses depend on besides the encodings: model and data.</param>
    /// <param name="limits">Threads, progress, cancellation.</param>
    public LossTable(TuneSpace space, LossProbe? probe, TuneJournal journal, string context, CalibrationLimits limits)
    {
        _space = space;
        _probe = probe;
        _journal = journal;
        _context = context;
        _limits = limits;
        _errors = new double[space.Tensors.Count, space.Candidates.Count];
        _measured = new double?[space.Tensors.Count, space.Candidates.Count];
        _carried = new double[space.Candidates.Count];
        _carried.AsSpan().Fill(1);
        foreach ((Tensor? form, int candidate) in space.Tensors.SelectMany(t => t.Forms.Select((f, c) => (f, c))).Where(f => f.f is not null && TuneCandidate.Parse(space.Candidates[f.c]).IsStructured))
        {
            _structured[form!] = space.Candidates[candidate];
        }

        int done = 0;
        Parallel.For(0, _errors.Length, new ParallelOptions { MaxDegreeOfParallelism = limits.Threads, CancellationToken = limits.Cancellation }, i =>
        {
            (int tensor, int candidate) = (i / space.Candidates.Count, i % space.Candidates.Count);
            if (space.Tensors[tensor].Forms[candidate] is Tensor form)
            {
                _errors[tensor, candidate] = TuneSpace.RelativeSquaredError(space.Tensors[tensor].Original, form, limits.Cancellation);
            }

            limits.Progress?.Invoke("weights", Interlocked.Increment(ref done), _errors.Length, space.Tensors[tensor].Original.Name);
        });
    }

    /// <summary>Runs of the model so far.</summary>
    public int Measurements { get; private set; }

    /// <summary>True when the loss of a tensor with a candidate was measured, not carried over.</summary>
    public bool IsMeasured(int tensor, int candidate) => candidate < 0 || _probe is null || _measured[tensor, candidate] is not null;

    /// <summary>Measures single tensors, those that were not yet.</summary>
    public void Measure(IEnumerable<(int Tensor, int Candidate)> what)
    {
        (int Tensor, int Candidate)[] missing = [.. what.Where(w => !IsMeasured(w.Tensor, w.Candidate) && _space.Tensors[w.Tensor].Forms[w.Candidate] is not null).Distinct()];
        for (int i = 0; i < missing.Length; i++)
        {
            (int tensor, int candidate) = missing[i];
            Tensor form = _space.Tensors[tensor].Forms[candidate]!;
            _measured[tensor, candidate] = Run(new Dictionary<string, Tensor>(StringComparer.Ordinal) { [form.Name] = form });
            _limits.Progress?.Invoke("tune", i + 1, missing.Length, form.Name);
        }
    }

    /// <summary>Corrects what is carried over to a candidate with a structure by the loss of all tensors that it can have.</summary>
    /// <param name="candidate">The candidate; nothing happens to number formats.</param>
    /// <param name="all">The choice of it for every tensor that can have it, and of the original for others.</param>
    /// <param name="together">The loss of the model with these; null where it was not measured.</param>
    public void Calibrate(int candidate, IReadOnlyList<TuneChoice> all, double? together)
    {
        const double most = 100;
        if (together is not double loss || !TuneCandidate.Parse(_space.Candidates[candidate]).IsStructured)
        {
            return;
        }

        double known = 0;
        double carried = 0;
        for (int t = 0; t < all.Count; t++)
        {
            known += IsMeasured(t, all[t].Candidate) ? all[t].Loss : 0;
            carried += IsMeasured(t, all[t].Candidate) ? 0 : all[t].Loss;
        }

        if (carried > 0)
        {
            _carried[candidate] = Math.Clamp((loss - known) / carried, 1 / most, most);
        }
    }

    /// <summary>The loss of the model with a choice for all tensors; null when it cannot be run.</summary>
    public double? Measure(IReadOnlyList<TuneChoice> choices) => _probe is null ? null : Run(_space.Apply(choices));

    /// <summary>All choices of a tensor with their losses as far as they are known.</summary>
    public IReadOnlyList<TuneChoice> Choices(int tensor)
    {
        TunableTensor known = _space.Tensors[tensor];
        var choices = new List<TuneChoice> { new(-1, known.OriginalBytes, 0) };
        for (int c = 0; c < _space.Candidates.Count; c++)
        {
            if (known.Forms[c] is Tensor form)
            {
                choices.Add(new TuneChoice(c, EncodingSizes.EncodedBytes(form.Encoding), Loss(tensor, c)));
            }
        }

        return choices;
    }

    private double Loss(int tensor, int candidate)
    {
        double error = _errors[tensor, candidate];
        if (_probe is null)
        {
            return error * _space.Tensors[tensor].Original.Shape.ElementCount / _space.Elements;
        }

        if (_measured[tensor, candidate] is double measured)
        {
            return Math.Max(0, measured);
        }

        // The measured candidate whose error is nearest, in factors.
        int nearest = -1;
        for (int c = 0; c < _space.Candidates.Count; c++)
        {
            if (_measured[tensor, c] is not null && _errors[tensor, c] > 0 && (nearest < 0 || Factor(_errors[tensor, c], error) < Factor(_errors[tensor, nearest], error)))
            {
                nearest = c;
            }
        }

        return nearest < 0 ? error : Math.Max(0, _measured[tensor, nearest]!.Value) * error / _errors[tensor, nearest] * _carried[candidate];
    }

    private static double Factor(double a, double b) => a > b ? a / Math.Max(b, double.Epsilon) : b / Math.Max(a, double.Epsilon);

    private double Run(Dictionary<string, Tensor> replaced)
    {
        _limits.Cancellation.ThrowIfCancellationRequested();
        string what = string.Join('\n', replaced.Values.OrderBy(t => t.Name, StringComparer.Ordinal).Select(t => string.Create(CultureInfo.InvariantCulture, $"{t.Name} {t.Encoding.Describe()}{(_structured.TryGetValue(t, out string? made) ? " " + made : "")}")));
        return _journal.Get($"{_context}\n{what}", () =>
        {
            Measurements++;
            return _probe!.Measure(replaced);
        });
    }
}
