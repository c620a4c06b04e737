using System.Globalization;
using ModelPack.Compiler;

namespace ModelPack.Toolchain;

/// <summary>Finds the choice for a target: an allocation by what is known, measurements of what it took, and again; at the end everything that might be better is measured as a whole.</summary>
/// <param name="space">Tensors and candidates.</param>
/// <param name="table">What they cost.</param>
/// <param name="target">What must be reached.</param>
/// <param name="inputBytes">Bytes of the whole input.</param>
/// <param name="nats">True when losses are divergences: a loss of 1 % then means a perplexity 1 % higher.</param>
internal sealed class TuneSearch(TuneSpace space, LossTable table, TuneTarget target, long inputBytes, bool nats)
{
    /// <summary>The format of a tensor that stays as it is.</summary>
    public const string Keep = "keep";

    private const int Rounds = 3;
    private const int FrontPoints = 12;

    /// <summary>Bits around which a search for a loss begins.</summary>
    private const double UsualBits = 4;

    private long OriginalBytes => space.Tensors.Sum(t => t.OriginalBytes);

    /// <summary>Bytes of everything that is not chosen for.</summary>
    private long OtherBytes => inputBytes - OriginalBytes;

    /// <exception cref="ModelPackException">MP2230.</exception>
    public TuneOutcome Run()
    {
        long? budget = Budget();
        Allocation allocation = Allocate();
        if (budget < allocation.LeastBytes)
        {
            throw new ModelPackException(
                ErrorCodes.TargetOutOfReach,
                string.Create(CultureInfo.InvariantCulture, $"the smallest candidates make {allocation.LeastBytes * 8.0 / space.Elements:0.###} bits per weight, {OtherBytes + allocation.LeastBytes} bytes in all: more than {target}"));
        }

        double bits = budget is long bytes ? bytes * 8.0 / space.Elements : UsualBits;
        table.Measure(Enumerable.Range(0, space.Tensors.Count).SelectMany(t => Around(t, bits)));
        double?[] together = [.. Enumerable.Range(0, space.Candidates.Count).Select(c => table.Measure(Uniform(c)))];
        for (int c = 0; c < together.Length; c++)
        {
            table.Calibrate(c, Uniform(c), together[c]);
        }

        TuneChoice[] chosen = [];
        for (int round = 0; round < Rounds; round++)
        {
            allocation = Allocate();
            chosen = budget is long limit ? allocation.Within(limit) : SmallestWithinLoss(allocation);
            (int Tensor, int Candidate)[] taken = [.. chosen.Select((c, i) => (i, c.Candidate))];
            if (taken.All(t => table.IsMeasured(t.Tensor, t.Candidate)))
            {
                break;
            }

            table.Measure(taken);
        }

        double? loss = table.Measure(chosen);
        var uniform = new List<(TuneChoice[] Choices, TunePoint Point)>();
        for (int c = 0; c < space.Candidates.Count; c++)
        {
            TuneChoice[] all = Uniform(c);
            uniform.Add((all, Point(space.Candidates[c], all, together[c], chosen: false)));
        }

        // What was found must not lose against what anybody would have tried first.
        foreach ((TuneChoice[] all, TunePoint point) in uniform)
        {
            bool fits = budget is long limit ? all.Sum(c => c.Bytes) <= limit : point.Loss <= Limit && all.Sum(c => c.Bytes) < chosen.Sum(c => c.Bytes);
            if (fits && (budget is null || (point.Loss ?? point.Predicted) < (loss ?? chosen.Sum(x => x.Loss))))
            {
                (chosen, loss) = (all, point.Loss);
            }
        }

        TunePoint best = Point("mixed", chosen, loss, chosen: true);
        return new TuneOutcome(best, Front(allocation, best, uniform.Max(u => u.Choices.Sum(c => c.Bytes))), [.. uniform.Select(u => u.Point)], [.. chosen.Select(Describe)]);
    }

    private double Limit => nats ? Math.Log(1 + target.Value) : target.Value;

    private Allocation Allocate() => new([.. Enumerable.Range(0, space.Tensors.Count).Select(table.Choices)]);

    /// <summary>Bytes for the tensors; null when a loss is the target.</summary>
    private long? Budget() => target.Kind switch
    {
        TuneTargetKind.Bits => (long)(target.Value * space.Elements / 8),
        TuneTargetKind.Ratio => (long)(target.Value * inputBytes) - OtherBytes,
        TuneTargetKind.Bytes => (long)target.Value - OtherBytes,
        _ => null,
    };

    /// <summary>The candidates of a tensor next to a number of bits, below and above: losses between them need no carrying over.</summary>
    private IEnumerable<(int Tensor, int Candidate)> Around(int tensor, double bits)
    {
        double elements = space.Tensors[tensor].Original.Shape.ElementCount;
        TuneChoice[] choices = [.. table.Choices(tensor).Where(c => c.Candidate >= 0).OrderBy(c => c.Bytes).ThenBy(c => c.Candidate)];
        TuneChoice below = choices.LastOrDefault(c => c.Bytes * 8 / elements <= bits, choices[0]);
        TuneChoice above = choices.FirstOrDefault(c => c.Bytes * 8 / elements > bits, choices[^1]);
        return [(tensor, below.Candidate), (tensor, above.Candidate)];
    }

    /// <summary>The first point on the way from small to good whose measured loss is within the limit; the last one loses nothing.</summary>
    private TuneChoice[] SmallestWithinLoss(Allocation allocation)
    {
        int low = 0;
        int high = allocation.Points - 1;
        while (low < high)
        {
            int middle = (low + high) / 2;
            TuneChoice[] choices = allocation.At(middle);
            if ((table.Measure(choices) ?? choices.Sum(c => c.Loss)) <= Limit)
            {
                high = middle;
            }
            else
            {
                low = middle + 1;
            }
        }

        return allocation.At(high);
    }

    private TuneChoice[] Uniform(int candidate) =>
    [
        .. Enumerable.Range(0, space.Tensors.Count).Select(t =>
        {
            IReadOnlyList<TuneChoice> choices = table.Choices(t);
            return choices.Any(c => c.Candidate == candidate) ? choices.First(c => c.Candidate == candidate) : choices[0];
        }),
    ];

    /// <summary>The best choices from the smallest to as many bytes as the largest candidate takes for all tensors.</summary>
    private TunePoint[] Front(Allocation allocation, TunePoint best, long mostBytes)
    {
        var points = new List<TunePoint> { best };
        long least = allocation.LeastBytes;
        long most = Math.Max(least, mostBytes);
        for (int i = 0; i < FrontPoints; i++)
        {
            TuneChoice[] choices = allocation.Within(least + ((most - least) * i / (FrontPoints - 1)));
            points.Add(Point("mixed", choices, table.Measure(choices), chosen: false));
        }

        return [.. points.DistinctBy(p => p.Bytes).OrderBy(p => p.Bytes)];
    }

    private TunePoint Point(string name, TuneChoice[] choices, double? loss, bool chosen)
    {
        long bytes = choices.Sum(c => c.Bytes);
        return new TunePoint(name, bytes * 8.0 / space.Elements, OtherBytes + bytes, choices.Sum(c => c.Loss), loss, chosen);
    }

    private TunedTensor Describe(TuneChoice choice, int index)
    {
        Tensor tensor = space.Tensors[index].Original;
        return new TunedTensor(
            tensor.Name,
            tensor.Shape.Dims,
            space.Kinds.GetValueOrDefault(tensor.Name, "other"),
            choice.Candidate < 0 ? Keep : space.Candidates[choice.Candidate],
            choice.Bytes * 8.0 / tensor.Shape.ElementCount,
            choice.Loss,
            table.IsMeasured(index, choice.Candidate));
    }
}

/// <summary>What a search found.</summary>
internal sealed record TuneOutcome(TunePoint Chosen, IReadOnlyList<TunePoint> Front, IReadOnlyList<TunePoint> Uniform, IReadOnlyList<TunedTensor> Tensors);
