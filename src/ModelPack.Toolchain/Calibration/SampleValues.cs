using Microsoft.ML.OnnxRuntime;
using ModelPack.Runtime;

namespace ModelPack.Toolchain;

/// <summary>
/// Values of all samples at one place of the graph: in memory as long as the budget lasts, then in a temporary file. Filled by one thread, the first sample first; read by several.
/// </summary>
/// <param name="samples">Number of samples.</param>
/// <param name="budget">Memory shared with other places of the same run.</param>
internal sealed class SampleValues(int samples, SampleBudget budget) : IDisposable
{
    private readonly ScratchFile _scratch = new(0);
    private readonly Dictionary<string, Stored>?[] _samples = new Dictionary<string, Stored>?[samples];

    /// <summary>A stored value.</summary>
    public readonly record struct Stored(DType DType, long[] Dims, TensorData Data);

    /// <summary>A value of a sample.</summary>
    public Stored this[int sample, string name] => Of(sample)[name];

    /// <summary>Names of all values of a sample.</summary>
    public IEnumerable<string> Names(int sample) => Of(sample).Keys;

    /// <summary>True when the sample has the value.</summary>
    public bool Has(int sample, string name) => Of(sample).ContainsKey(name);

    /// <summary>Keeps a copy of a value; where it is what it was for the first sample (positions, masks), only a reference.</summary>
    public void Add(int sample, string name, OrtValue value)
    {
        OrtTensorTypeAndShapeInfo info = value.GetTensorTypeAndShape();
        ReadOnlySpan<byte> bytes = info.ElementCount == 0 ? [] : value.GetTensorMutableRawData();
        bool same = sample > 0 && Of(0).TryGetValue(name, out Stored first) && first.Data is SampleBytes known && known.Equal(bytes);
        Of(sample).Add(name, new Stored(ElementTypes.ToDType(info.ElementDataType), info.Shape, same ? ((SampleBytes)Of(0)[name].Data).Share() : Keep(bytes)));
    }

    /// <summary>Keeps a value that another object holds so far.</summary>
    public void Add(int sample, string name, Stored value) =>
        Of(sample).Add(name, value with { Data = value.Data is SampleBytes bytes ? bytes.Share() : Keep(value.Data.ToArray(Array.MaxLength)) });

    /// <summary>Lets go of the values of a sample, but for the first one, to which others may refer.</summary>
    public void Drop(int sample)
    {
        if (sample > 0)
        {
            Release(sample);
        }
    }

    /// <summary>A copy in memory of the runtime, disposed by the caller.</summary>
    public static OrtValue ToOrt(DType dtype, long[] dims, TensorData data)
    {
        OrtValue value = OrtValue.CreateAllocatedTensorValue(OrtAllocator.DefaultInstance, ElementTypes.ToOrt(dtype), dims);
        if (data.LengthBytes > 0)
        {
            data.Read(0, value.GetTensorMutableRawData());
        }

        return value;
    }

    public void Dispose()
    {
        for (int i = 0; i < samples; i++)
        {
            Release(i);
        }

        _scratch.Dispose();
    }

    private Dictionary<string, Stored> Of(int sample) => _samples[sample] ??= new Dictionary<string, Stored>(StringComparer.Ordinal);

    private TensorData Keep(ReadOnlySpan<byte> bytes) =>
        bytes.IsEmpty ? TensorData.Empty
        : budget.TryTake(bytes.Length) ? new SampleBytes(bytes, budget)
        : _scratch.Keep(bytes.ToArray());

    private void Release(int sample)
    {
        foreach (Stored stored in (_samples[sample] ?? []).Values)
        {
            (stored.Data as SampleBytes)?.Dispose();
        }

        _samples[sample] = null;
    }
}
