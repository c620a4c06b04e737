namespace ModelPack.Numbers;

/// <summary>Rows one value at a time, in double arithmetic: the oracle for <see cref="BlockFloatKernel{TLanes, TElement}"/>.</summary>
internal sealed class BlockFloatReference : BlockFloatRows
{
    public override int EncodeRow(ReadOnlySpan<float> row, in BlockFloatLayout layout, Span<byte> codes, Span<byte> scales)
    {
        codes.Clear();
        ElementFormat element = layout.Element;
        for (int start = 0, b = 0; start < row.Length; start += layout.Block, b++)
        {
            ReadOnlySpan<float> values = row.Slice(start, Math.Min(layout.Block, row.Length - start));
            int amax = 0;
            foreach (float value in values)
            {
                amax = Math.Max(amax, BitConverter.SingleToInt32Bits(value) & 0x7FFFFFFF);
            }

            var map = new BlockMap(1f, true);
            if (layout.Scale != BlockScaleType.None && !BlockMap.Choose(amax, layout, scales, b, out map))
            {
                return start;
            }

            for (int i = 0; i < values.Length && map.Value != 0; i++)
            {
                // A product with a power of two is exact; a quotient is rounded to f32 first, by definition.
                double scaled = map.Divides ? values[i] / map.Value : (double)values[i] * map.Value;
                CodePacking.Set(codes, start + i, element.Bits, element.Encode(scaled));
            }
        }

        return -1;
    }

    public override void DecodeRow(ReadOnlySpan<byte> codes, ReadOnlySpan<byte> scales, in BlockFloatLayout layout, Span<float> row)
    {
        ElementFormat element = layout.Element;
        for (int i = 0; i < row.Length; i++)
        {
            row[i] = element.Values[CodePacking.Get(codes, i, element.Bits)] * BlockMap.Read(scales, i / layout.Block, layout.Scale);
        }
    }
}
