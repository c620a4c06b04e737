using System.Runtime.InteropServices;

namespace ModelPack.Numbers;

/// <summary>Codes chosen one by one on fixed scales; not where scales are coded themselves (<c>nested=true</c>).</summary>
internal sealed partial class BoundCodebookFormat
{
    public int BlockColumns => nested ? 0 : block;

    public ReadOnlySpan<float> ScaleFactors => FixedScales.Factors;

    public void ReadScales(ReadOnlySpan<ReadOnlyMemory<byte>> streams, int rows, Span<float> scales, Span<float> zeros)
    {
        ReadOnlySpan<float> stored = MemoryMarshal.Cast<byte, float>(streams[1].Span);
        stored.CopyTo(scales);
        zeros[..stored.Length].Clear();
    }

    public void WriteScales(ReadOnlySpan<float> scales, ReadOnlySpan<float> zeros, int rows, ReadOnlySpan<Memory<byte>> streams)
    {
        Span<float> stored = MemoryMarshal.Cast<byte, float>(streams[1].Span);
        scales[..stored.Length].CopyTo(stored);
    }

    public void Round(ReadOnlySpan<float> values, ReadOnlySpan<float> scales, ReadOnlySpan<float> zeros, Span<byte> codes, Span<float> rounded)
    {
        for (int i = 0; i < values.Length; i++)
        {
            // A quotient far outside of the codebook takes its last value, as one at its end does.
            BlockDivisor divisor = BlockDivisor.Of(scales[i], wholeBlock: true);
            byte code = book.Encode(Math.Clamp(values[i] * divisor.Value, -1f, 1f));
            codes[i] = code;
            rounded[i] = book.Values[code] * scales[i];
        }
    }

    public void WriteCodes(ReadOnlySpan<byte> codes, int rows, ReadOnlySpan<Memory<byte>> streams)
    {
        Span<byte> stored = streams[0].Span;
        byte padding = book.Encode(0);
        for (int r = 0; r < rows; r++)
        {
            ReadOnlySpan<byte> from = codes.Slice(r * Columns, Columns);
            Span<byte> to = stored.Slice(r * RowBytes(0), RowBytes(0));
            if (book.Bits == 8)
            {
                from.CopyTo(to);
                continue;
            }

            for (int i = 0; i < to.Length; i++)
            {
                byte second = (2 * i) + 1 < from.Length ? from[(2 * i) + 1] : padding;
                to[i] = (byte)((from[2 * i] << 4) | second);
            }
        }
    }
}
