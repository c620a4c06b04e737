using Microsoft.ML.OnnxRuntime;
using ModelPack.Runtime;

namespace ModelPack.Toolchain;

/// <summary>
/// Values of all samples at one place of the graph, in memory up to a limit and beyond it in a temporary file. Filled from several threads, one sample by one thread.
/// </summary>
internal sealed class SampleValues : IDisposable
{
    private readonly ScratchFile _scratch;
    private readonly Dictionary<string, Stored>[] _samples;

    /// <param name="samples">Number of samples.</param>
    /// <param name="memoryBytes">Bytes that may be kept in memory.</param>
    public SampleValues(int samples, long memoryBytes)
    {
        _scratch = new ScratchFile(memoryBytes);
        _samples = new Dictionary<string, Stored>[samples];
        for (int i = 0; i < samples; i++)
        {
            _samples[i] = new Dictionary<string, Stored>(StringComparer.Ordinal);
        }
    }

    /// <summary>A stored value.</summary>
    public readonly record struct Stored(DType DType, long[] Dims, TensorData Data);

    /// <summary>A value of a sample.</summary>
    public Stored this[int sample, string name] => _samples[sample][name];

    /// <summary>Keeps a copy of a value.</summary>
    public void Add(int sample, string name, OrtValue value)
    {
        OrtTensorTypeAndShapeInfo info = value.GetTensorTypeAndShape();
        TensorData data = info.ElementCount == 0 ? TensorData.Empty : _scratch.Keep(value.GetTensorMutableRawData().ToArray());
        _samples[sample].Add(name, new Stored(ElementTypes.ToDType(info.ElementDataType), info.Shape, data));
    }

    /// <summary>Keeps a value that another object holds so far.</summary>
    public void Add(int sample, string name, Stored value) =>
        _samples[sample].Add(name, value with { Data = _scratch.Keep(value.Data.ToArray(Array.MaxLength)) });

    /// <summary>Names of all values of a sample.</summary>
    public IEnumerable<string> Names(int sample) => _samples[sample].Keys;

    /// <summary>True when the sample has the value.</summary>
    public bool Has(int sample, string name) => _samples[sample].ContainsKey(name);

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

    public void Dispose() => _scratch.Dispose();
}
