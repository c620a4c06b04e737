using System.Runtime.InteropServices;
using ModelPack.Runtime;
using ModelPack.Testing;

namespace ModelPack.EndToEnd.Tests;

/// <summary>Plausible inputs for the real models: seeded noise in the input's range, free dimensions filled with sizes the model accepts.</summary>
internal static class RealInputs
{
    public static IReadOnlyList<NamedTensor> For(ModelSession session, ulong seed) =>
        [.. session.Inputs.Select((input, i) => Make(input, seed + (ulong)i))];

    private static NamedTensor Make(ModelValue input, ulong seed)
    {
        long[] dims = [.. input.Dims.Select((d, axis) => d.Size ?? Free(input, axis))];
        long count = dims.Aggregate(1L, (a, b) => a * b);
        var random = new SplitMix(seed);
        switch (input.DType)
        {
            case DType.I64:
                return Tensor(input, Enumerable.Repeat(16_000L, (int)count).ToArray(), dims); // the sample rate
            case DType.F32:
                float[] values = new float[count];
                for (int i = 0; i < values.Length; i++)
                {
                    values[i] = (float)((random.Next() >> 11) * (2.0 / (1UL << 53))) - 1;
                }

                return Tensor(input, values, dims);
            default:
                throw new NotSupportedException($"{input.Name}: {input.DType}");
        }
    }

    private static NamedTensor Tensor<T>(ModelValue input, T[] values, long[] dims)
        where T : unmanaged => NamedTensor.OfBytes(input.Name, input.DType, new Shape(dims), MemoryMarshal.AsBytes(values.AsSpan()).ToArray());

    /// <summary>Images: batch 1, height and width multiples of 32; audio: 512 samples; recurrent state: batch 1.</summary>
    private static long Free(ModelValue input, int axis) => (input.Dims.Length, axis) switch
    {
        (_, 0) => 1,
        (4, 1) => 3,
        (4, 2) => input.Dims[2].Size ?? 64,
        (4, 3) => 192,
        (2, 1) => 512,
        _ => 1,
    };
}
