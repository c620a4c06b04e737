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
internal sealed class ScaledTensorData(TensorData source, double[] factors, long run, long inner, long outer) : ComputedFloats(source.LengthBytes / sizeof(float))
{
    protected override void Compute(long from, Span<float> values)
    {
        source.Read(from * sizeof(float), MemoryMarshal.AsBytes(values));
        while (!values.IsEmpty)
        {
            long index = from / run;
            double factor = factors[(index / inner / outer * inner) + (index % inner)];
            int count = (int)Math.Min(run - (from % run), values.Length);
            foreach (ref float value in values[..count])
            {
                value = (float)(value * factor);
            }

            values = values[count..];
            from += count;
        }
    }
}
