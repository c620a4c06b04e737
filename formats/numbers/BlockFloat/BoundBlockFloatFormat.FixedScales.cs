namespace ModelPack.Numbers;

/// <summary>Codes chosen one by one on fixed scales.</summary>
internal sealed partial class BoundBlockFloatFormat
{
    /// <summary>Powers of two have no neighbours but their double and their half.</summary>
    private static readonly float[] PowerFactors = [1f, 2f, 0.5f];

    public int BlockColumns => _layout.Scale == BlockScaleType.None ? 0 : _layout.Block;

    public ReadOnlySpan<float> ScaleFactors => _layout.Scale == BlockScaleType.E8M0 ? PowerFactors : FixedScales.Factors;

    public void ReadScales(ReadOnlySpan<ReadOnlyMemory<byte>> streams, int rows, Span<float> scales, Span<float> zeros)
    {
        ReadOnlySpan<byte> stored = streams[1].Span;
        int count = rows * _layout.BlockCount;
        for (int i = 0; i < count; i++)
        {
            scales[i] = BlockMap.Read(stored, i, _layout.Scale);
        }

        zeros[..count].Clear();
    }

    public void WriteScales(ReadOnlySpan<float> scales, ReadOnlySpan<float> zeros, int rows, ReadOnlySpan<Memory<byte>> streams)
    {
        Span<byte> stored = streams[1].Span;
        for (int i = 0; i < rows * _layout.BlockCount; i++)
        {
            switch (_layout.Scale)
            {
                case BlockScaleType.E8M0:
                    stored[i] = E8M0.Encode(scales[i], E8M0.Rounding.Nearest);
                    break;
                case BlockScaleType.E4M3:
                    stored[i] = (byte)Math.Clamp(SmallFloatReference.Encode(scales[i], SmallFloatFormat.E4M3Fn), 1, 0x7E);
                    break;
                default:
                    DType type = _layout.Scale switch
                    {
                        BlockScaleType.F16 => DType.F16,
                        BlockScaleType.BF16 => DType.BF16,
                        _ => DType.F32,
                    };
                    ScaleType.Write(ScaleType.Round(scales[i], type), type, stored, i);
                    break;
            }
        }
    }

    public void Round(ReadOnlySpan<float> values, ReadOnlySpan<float> scales, ReadOnlySpan<float> zeros, Span<byte> codes, Span<float> rounded)
    {
        ElementFormat element = _layout.Element;
        bool exact = _layout.Scale == BlockScaleType.E8M0;
        for (int i = 0; i < values.Length; i++)
        {
            // A quotient by a power of two is exact; any other is rounded to f32 first, as the encoder does.
            float value = element.Signed ? values[i] : Math.Max(values[i], 0f);
            int code = element.Nearest(exact ? (double)value / scales[i] : value / scales[i]);
            codes[i] = (byte)code;
            rounded[i] = element.Values[code] * scales[i];
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
                CodePacking.Set(row, c, _layout.Element.Bits, codes[(r * Columns) + c]);
            }
        }
    }
}
