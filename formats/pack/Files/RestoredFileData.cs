namespace ModelPack.Pack;

/// <summary>A packed file seen as its bytes: tensors and framing decoded where they are read.</summary>
internal sealed class RestoredFileData(FileTable.Entry file) : TensorData(file.LengthBytes)
{
    /// <summary>Framing bytes before each tensor.</summary>
    private readonly long[] _framing = FramingBefore(file);

    protected override void ReadCore(long offsetBytes, Span<byte> destination)
    {
        // The first tensor that ends behind the offset.
        int low = 0;
        int high = file.Tensors.Length;
        while (low < high)
        {
            int middle = (low + high) / 2;
            (low, high) = file.Tensors[middle].EndBytes > offsetBytes ? (low, middle) : (middle + 1, high);
        }

        for (int i = low; !destination.IsEmpty; i++)
        {
            long begin = i < file.Tensors.Length ? file.Tensors[i].OffsetBytes : LengthBytes;
            if (offsetBytes < begin)
            {
                int gap = (int)Math.Min(destination.Length, begin - offsetBytes);
                long inGap = offsetBytes - (i == 0 ? 0 : file.Tensors[i - 1].EndBytes);
                file.Framing.Read(_framing[i] + inGap, destination[..gap]);
                destination = destination[gap..];
                offsetBytes += gap;
            }

            if (!destination.IsEmpty)
            {
                FileTable.TensorEntry tensor = file.Tensors[i];
                int n = (int)Math.Min(destination.Length, tensor.EndBytes - offsetBytes);
                tensor.Data.Read(offsetBytes - tensor.OffsetBytes, destination[..n]);
                destination = destination[n..];
                offsetBytes += n;
            }
        }
    }

    private static long[] FramingBefore(FileTable.Entry file)
    {
        long[] before = new long[file.Tensors.Length + 1];
        long tensors = 0;
        for (int i = 0; i < file.Tensors.Length; i++)
        {
            // before[i]: framing bytes in front of the gap that precedes tensor i.
            before[i] = (i == 0 ? 0 : file.Tensors[i - 1].EndBytes) - tensors;
            tensors += file.Tensors[i].Data.LengthBytes;
        }

        before[^1] = (file.Tensors.Length == 0 ? 0 : file.Tensors[^1].EndBytes) - tensors;
        return before;
    }
}
