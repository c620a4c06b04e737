namespace ModelPack.Runtime.Evaluation;

/// <summary>How closely one output of a model follows that of a reference, over all samples.</summary>
/// <param name="Name">Output name.</param>
/// <param name="MaxAbsError">Largest absolute difference.</param>
/// <param name="SqnrDb">10 log10(signal / noise); null when identical.</param>
/// <param name="Cosine">Cosine of the angle between all values of both.</param>
/// <param name="Top1Agreement">Share of rows (last axis) whose largest element is at the same place.</param>
public sealed record AgreementResult(string Name, double MaxAbsError, double? SqnrDb, double Cosine, double Top1Agreement);

/// <summary>Accumulates the agreement of two models, sample by sample.</summary>
public sealed class AgreementMeter
{
    private readonly SortedDictionary<string, Sums> _sums = new(StringComparer.Ordinal);

    /// <summary>Samples added so far.</summary>
    public int Samples { get; private set; }

    /// <summary>Runs both models on one sample.</summary>
    /// <exception cref="ModelPackException">MP5023: the outputs differ in name or shape; or what running reports.</exception>
    public void Add(ModelSession model, ModelSession reference, IReadOnlyList<NamedTensor> sample)
    {
        ArgumentNullException.ThrowIfNull(model);
        ArgumentNullException.ThrowIfNull(reference);
        Dictionary<string, NamedTensor> expected = reference.Run(sample).ToDictionary(t => t.Name, StringComparer.Ordinal);
        foreach (NamedTensor actual in model.Run(sample))
        {
            if (!expected.TryGetValue(actual.Name, out NamedTensor? other) || other.Shape != actual.Shape || other.DType != actual.DType)
            {
                throw new ModelPackException(ErrorCodes.OutputsDiffer, $"output '{actual}' is {(other is null ? "missing" : $"'{other}'")} in the reference", model.Path);
            }

            if (!_sums.TryGetValue(actual.Name, out Sums? sums))
            {
                _sums[actual.Name] = sums = new Sums();
            }

            sums.Add(ToFloat(actual), ToFloat(other), (int)Math.Max(actual.Shape.Columns, 1));
        }

        Samples++;
    }

    /// <summary>The result per output.</summary>
    public IReadOnlyList<AgreementResult> Results() => [.. _sums.Select(s => s.Value.Result(s.Key))];

    /// <summary>Index of the largest value, the first of equal ones.</summary>
    internal static int IndexOfMax(ReadOnlySpan<float> values)
    {
        int best = 0;
        for (int i = 1; i < values.Length; i++)
        {
            best = values[i] > values[best] ? i : best;
        }

        return best;
    }

    private static float[] ToFloat(NamedTensor tensor) => tensor.DType switch
    {
        DType.F32 => tensor.Values<float>().ToArray(),
        DType.F64 => Array.ConvertAll(tensor.Values<double>().ToArray(), v => (float)v),
        DType.F16 => Array.ConvertAll(tensor.Values<Half>().ToArray(), v => (float)v),
        DType.I64 => Array.ConvertAll(tensor.Values<long>().ToArray(), v => (float)v),
        DType.I32 => Array.ConvertAll(tensor.Values<int>().ToArray(), v => (float)v),
        DType.U8 => Array.ConvertAll(tensor.Values<byte>().ToArray(), v => (float)v),
        DType.I8 => Array.ConvertAll(tensor.Values<sbyte>().ToArray(), v => (float)v),
        DType.Bool => Array.ConvertAll(tensor.Values<bool>().ToArray(), v => v ? 1f : 0f),
        _ => throw new ModelPackException(ErrorCodes.OutputsDiffer, $"outputs of type {tensor.DType.Name()} cannot be compared", tensor: tensor.Name),
    };

    private sealed class Sums
    {
        private double _worst;
        private double _noise;
        private double _actual;
        private double _expected;
        private double _product;
        private long _rows;
        private long _agreeing;

        public void Add(ReadOnlySpan<float> actual, ReadOnlySpan<float> expected, int columns)
        {
            for (int i = 0; i < actual.Length; i++)
            {
                double a = actual[i];
                double e = expected[i];
                double difference = a.Equals(e) ? 0 : a - e;
                _worst = double.IsNaN(difference) ? double.NaN : Math.Max(_worst, Math.Abs(difference));
                _noise += difference * difference;
                _actual += a * a;
                _expected += e * e;
                _product += a * e;
            }

            for (int row = 0; row + columns <= actual.Length; row += columns)
            {
                _rows++;
                _agreeing += IndexOfMax(actual.Slice(row, columns)) == IndexOfMax(expected.Slice(row, columns)) ? 1 : 0;
            }
        }

        public AgreementResult Result(string name) => new(
            name,
            _worst,
            _noise == 0 ? null : 10 * Math.Log10(_expected / _noise),
            _actual == 0 && _expected == 0 ? 1 : _product / Math.Sqrt(_actual * _expected),
            _rows == 0 ? 1 : (double)_agreeing / _rows);
    }
}
