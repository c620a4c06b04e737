using System.Runtime.InteropServices;

namespace ModelPack.Passes;

/// <summary>
/// F32 values times an f64 factor per channel, rounded once to f32, computed when read. The values are runs of <c>run</c> elements of one
/// channel: run r has channel (r / inner / outer) * inner + r % inner.
/// </summary>
/// <param name="source">The values, f32.</param>
/// <param name="factors">One factor per channel.</param>
/// <param name="run">Elements that lie together and share a channel.</param>
/// <param name="inner">Channels that follow each other.</param>
/// <param name="outer">How often those repeat before the next <paramref name="inner"/> channels come.</param>
internal sealed class ScaledTensorData(TensorData source, double[] factors, long run, long inner, long outer) : TensorData(source.LengthBytes)
{
    private const int ElementBytes = sizeof(float);

    protected override void ReadCore(long offsetBytes, Span<byte> destination)
    {
        long first = offsetBytes / ElementBytes;
        bool aligned = offsetBytes % ElementBytes == 0 && destination.Length % ElementBytes == 0;
        if (aligned)
        {
            ReadElements(first, destination);
            return;
        }

        // An odd range: element by element.
        Span<byte> element = stackalloc byte[ElementBytes];
        for (long position = offsetBytes; !destination.IsEmpty;)
        {
            ReadElements(position / ElementBytes, element);
            int skip = (int)(position % ElementBytes);
            int count = Math.Min(ElementBytes - skip, destination.Length);
            element.Slice(skip, count).CopyTo(destination);
            destination = destination[count..];
            position += count;
        }
    }

    private void ReadElements(long first, Span<byte> destination)
    {
        source.Read(first * ElementBytes, destination);
        Span<float> values = MemoryMarshal.Cast<byte, float>(destination);
        while (!values.IsEmpty)
        {
            long index = first / run;
            double factor = factors[(index / inner / outer * inner) + (index % inner)];
            int count = (int)Math.Min(run - (first % run), values.Length);
            foreach (ref float value in values[..count])
            {
                value = (float)(value * factor);
            }

            values = values[count..];
            first += count;
        }
    }
}
