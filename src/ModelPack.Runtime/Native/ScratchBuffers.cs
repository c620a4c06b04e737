namespace ModelPack.Runtime.Native;

/// <summary>Buffers for streams on their way into an execution layout: the next weight is mostly of the same size, and memory that is fresh costs as much as decoding it. Thread-safe.</summary>
internal static class ScratchBuffers
{
    /// <summary>Idle buffers that are kept while weights are loaded: two streams for each of as many threads.</summary>
    private const int MostKept = 16;

    /// <summary>Larger ones are freed at once: few weights are, and then memory is what counts.</summary>
    private const long LargestKeptBytes = 16 << 20;

    private static readonly List<WeightBuffer> Kept = [];

    /// <summary>A buffer of at least so many bytes, and of at most about twice as many.</summary>
    public static WeightBuffer Rent(long lengthBytes)
    {
        lock (Kept)
        {
            int found = Kept.FindIndex(b => b.LengthBytes >= lengthBytes && b.LengthBytes / 2 <= lengthBytes);
            if (found >= 0)
            {
                WeightBuffer buffer = Kept[found];
                Kept.RemoveAt(found);
                return buffer;
            }
        }

        return new WeightBuffer(lengthBytes);
    }

    /// <summary>Takes a buffer back.</summary>
    public static void Return(WeightBuffer buffer)
    {
        lock (Kept)
        {
            if (Kept.Count < MostKept && buffer.LengthBytes <= LargestKeptBytes)
            {
                Kept.Add(buffer);
                return;
            }
        }

        buffer.Dispose();
    }

    /// <summary>Frees all that are idle.</summary>
    public static void Clear()
    {
        lock (Kept)
        {
            Kept.ForEach(b => b.Dispose());
            Kept.Clear();
        }
    }
}
