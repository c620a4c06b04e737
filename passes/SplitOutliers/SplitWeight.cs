using ModelPack.Compiler;

namespace ModelPack.Passes;

/// <summary>Takes the rows of some input channels out of the weight of a linear layer.</summary>
internal static class SplitWeight
{
    /// <summary>
    /// The weight with zeros for the channels, and these channels alone.
    /// </summary>
    /// <param name="weight">[K, N], or [N, K] when <paramref name="channelsLast"/>; stored plainly, 2 or 4 bytes per element.</param>
    /// <param name="channelsLast">Where K is.</param>
    /// <param name="channels">Ascending.</param>
    /// <returns>Regular: bytes of the same layout. Outliers: bytes [channels, N].</returns>
    public static (byte[] Regular, byte[] Outliers) Apply(Tensor weight, bool channelsLast, ReadOnlySpan<int> channels)
    {
        if (!weight.TryGetRawData(out TensorData data))
        {
            throw new ArgumentException("the weight is not stored plainly", nameof(weight));
        }

        int size = weight.DType.BitsPerElement() / 8;
        int inputs = checked((int)weight.Shape[channelsLast ? 1 : 0]);
        int outputs = checked((int)weight.Shape[channelsLast ? 0 : 1]);
        byte[] rest = data.ToArray();
        byte[] outliers = new byte[channels.Length * outputs * size];
        for (int c = 0; c < channels.Length; c++)
        {
            for (int n = 0; n < outputs; n++)
            {
                int element = channelsLast ? (n * inputs) + channels[c] : (channels[c] * outputs) + n;
                Span<byte> from = rest.AsSpan(element * size, size);
                from.CopyTo(outliers.AsSpan(((c * outputs) + n) * size));
                from.Clear();
            }
        }

        return (rest, outliers);
    }
}
