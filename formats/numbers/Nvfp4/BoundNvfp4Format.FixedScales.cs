namespace ModelPack.Numbers;

/// <summary>Codes chosen one by one on fixed scales. A scale here is the product of a block's scale and the tensor's, which f32 holds to its last bit only; the elements' own steps are far coarser.</summary>
internal sealed partial class BoundNvfp4Format
{
    public int BlockColumns => Nvfp4Format.Block;

    public ReadOnlySpan<float> ScaleFactors => FixedScales.Factors;

    public void ReadScales(ReadOnlySpan<ReadOnlyMemory<byte>> streams, int rows, Span<float> scales, Span<float> zeros)
    {
        float global = Global();
        ReadOnlySpan<byte> stored = streams[1].Span;
        for (int i = 0; i < stored.Length; i++)
        {
            // Values on a scale of 0 are 0 whatever their codes are.
            scales[i] = (float)((double)ElementFormat.E4M3.Values[stored[i]] * global);
        }

        zeros[..stored.Length].Clear();
    }

    public void WriteScales(ReadOnlySpan<float> scales, ReadOnlySpan<float> zeros, int rows, ReadOnlySpan<Memory<byte>> streams)
    {
        float global = Global();
        Span<byte> stored = streams[1].Span;
        for (int i = 0; i < stored.Length; i++)
        {
            stored[i] = (byte)SmallFloatReference.Encode(scales[i] / global, SmallFloatFormat.E4M3Fn);
        }
    }

    public void Round(ReadOnlySpan<float> values, ReadOnlySpan<float> scales, ReadOnlySpan<float> zeros, Span<byte> codes, Span<float> rounded)
    {
        float[] elements = ElementFormat.E2M1.Values;
        for (int i = 0; i < values.Length; i++)
        {
            int code = scales[i] == 0 ? 0 : ElementFormat.E2M1.Nearest((double)values[i] / scales[i]);
            codes[i] = (byte)code;
            rounded[i] = elements[code] * scales[i];
        }
    }

    public void WriteCodes(ReadOnlySpan<byte> codes, int rows, ReadOnlySpan<Memory<byte>> streams)
    {
        Span<byte> stored = streams[0].Span;
        stored.Clear();
        for (int r = 0; r < rows; r++)
        {
            Span<byte> row = stored.Slice(r * RowBytes(0), RowBytes(0));
            for (int c = 0; c < Columns; c++)
            {
                CodePacking.Set(row, c, 4, codes[(r * Columns) + c]);
            }
        }
    }

    private float Global() => _table?.Global ?? throw new ModelPackException(ErrorCodes.BadEncoding, $"'{Spec.Id}' needs its global scale before rows can be encoded");
}
