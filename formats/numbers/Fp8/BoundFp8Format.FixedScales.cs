using System.Runtime.InteropServices;

namespace ModelPack.Numbers;

/// <summary>Codes chosen one by one on fixed scales; not where a scale belongs to a rectangle of the tensor (<c>scope=tile</c>).</summary>
internal sealed partial class BoundFp8Format
{
    private static readonly float[] NoFactors = [1f];

    public int BlockColumns => grid.Rows > 1 || grid.BlockRows > 1 ? 0 : grid.BlockColumns;

    /// <summary>None where only some scales are allowed, and where the scale is the whole tensor's, which is no stream that could be written.</summary>
    public ReadOnlySpan<float> ScaleFactors => HasScales && Spec.Text("rule", "") is "absmax" or "mse" ? FixedScales.Factors : NoFactors;

    public void ReadScales(ReadOnlySpan<ReadOnlyMemory<byte>> streams, int rows, Span<float> scales, Span<float> zeros)
    {
        int count = rows * grid.Across;
        if (HasScales)
        {
            MemoryMarshal.Cast<byte, float>(streams[1].Span).CopyTo(scales);
        }
        else
        {
            scales[..count].Fill(scale ?? throw new ModelPackException(ErrorCodes.BadEncoding, $"'{Spec.Id}' with one scale per tensor needs that scale before rows can be encoded"));
        }

        zeros[..count].Clear();
    }

    public void WriteScales(ReadOnlySpan<float> scales, ReadOnlySpan<float> zeros, int rows, ReadOnlySpan<Memory<byte>> streams)
    {
        if (HasScales)
        {
            Span<float> stored = MemoryMarshal.Cast<byte, float>(streams[1].Span);
            scales[..stored.Length].CopyTo(stored);
        }
    }

    public void Round(ReadOnlySpan<float> values, ReadOnlySpan<float> scales, ReadOnlySpan<float> zeros, Span<byte> codes, Span<float> rounded)
    {
        SmallFloatFormat format = rule.Format;
        ReadOnlySpan<float> elements = element.Table.Values;
        for (int i = 0; i < values.Length; i++)
        {
            int code = SmallFloatReference.Encode(values[i] / scales[i], format);
            codes[i] = (byte)code;
            rounded[i] = elements[code] * scales[i];
        }
    }

    public void WriteCodes(ReadOnlySpan<byte> codes, int rows, ReadOnlySpan<Memory<byte>> streams) => codes[..(rows * Columns)].CopyTo(streams[0].Span);
}
