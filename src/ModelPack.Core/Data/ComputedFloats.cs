using System.Runtime.InteropServices;

namespace ModelPack;

/// <summary>F32 values that are computed when they are read. Ranges of bytes that begin or end inside a value are put together here.</summary>
/// <param name="count">Number of values.</param>
public abstract class ComputedFloats(long count) : TensorData(count * sizeof(float))
{
    /// <summary>Computes the values from <paramref name="from"/> on.</summary>
    /// <param name="from">Number of the first value.</param>
    /// <param name="values">At least one, destination.</param>
    protected abstract void Compute(long from, Span<float> values);

    protected sealed override void ReadCore(long offsetBytes, Span<byte> destination)
    {
        Span<byte> element = stackalloc byte[sizeof(float)];
        while (!destination.IsEmpty)
        {
            long first = offsetBytes / sizeof(float);
            int skip = (int)(offsetBytes % sizeof(float));
            int taken = skip == 0 ? destination.Length / sizeof(float) * sizeof(float) : 0;
            if (taken > 0)
            {
                Compute(first, MemoryMarshal.Cast<byte, float>(destination[..taken]));
            }
            else
            {
                Compute(first, MemoryMarshal.Cast<byte, float>(element));
                taken = Math.Min(sizeof(float) - skip, destination.Length);
                element.Slice(skip, taken).CopyTo(destination);
            }

            destination = destination[taken..];
            offsetBytes += taken;
        }
    }
}
