using ModelPack.OrtOps;
using ModelPack.Runtime.Native;

namespace ModelPack.Runtime.Loading;

/// <summary>Weights in execution layout, read by the own operators where they were decoded to: ONNX Runtime, which would copy them, is given numbers instead. Disposed after the session.</summary>
internal sealed class WeightsInPlace : IDisposable
{
    private readonly List<long> _numbers = [];

    /// <param name="weights">The weights, whose buffers are disposed with this.</param>
    public WeightsInPlace(IReadOnlyList<LoadedWeight> weights)
    {
        Buffers = [.. weights.Select(w => w.Buffer)];
        var constants = new Dictionary<string, byte[]>(StringComparer.Ordinal);
        foreach (LoadedWeight weight in weights)
        {
            long number = WeightReferences.Add(weight.Buffer.Address, weight.Buffer.LengthBytes);
            _numbers.Add(number);
            byte[] constant = new byte[WeightReferences.LengthBytes];
            WeightReferences.Write(number, constant);
            weight.Initializers.ForEach(name => constants.Add(name, constant));
        }

        Constants = constants;
    }

    /// <summary>Their memory.</summary>
    public IReadOnlyList<WeightBuffer> Buffers { get; }

    /// <summary>What initializers hold instead, by name.</summary>
    public IReadOnlyDictionary<string, byte[]> Constants { get; }

    public void Dispose()
    {
        _numbers.ForEach(WeightReferences.Remove);
        foreach (WeightBuffer buffer in Buffers)
        {
            buffer.Dispose();
        }
    }
}
