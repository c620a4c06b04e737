using System.Runtime.InteropServices;

namespace ModelPack.Numbers;

/// <summary>The ternary format on a shape.</summary>
internal sealed class BoundTernaryFormat(UnitSpec spec, Shape shape, bool base3, bool mean, float? gamma, SimdTier tier, params StreamLayout[] streams)
    : BoundRowFormat(spec, shape, streams)
{
    private bool PerRow => Streams.Count == 2;

    protected override void EncodeTile(ReadOnlySpan<float> values, int rows, ReadOnlySpan<Memory<byte>> streams)
    {
        if (!PerRow && gamma is null)
        {
            throw new ModelPackException(ErrorCodes.BadEncoding, $"'{Spec.Id}' with one scale per tensor needs its gamma before rows can be encoded");
        }

        if (FiniteCheck.FirstNotFinite(values) >= 0)
        {
            throw NotFinite(values);
        }

        for (int r = 0; r < rows; r++)
        {
            ReadOnlySpan<float> row = values.Slice(r * Columns, Columns);
            TernaryScale scale = TernaryScale.Of(mean, gamma ?? Gamma(row));
            if (PerRow)
            {
                MemoryMarshal.Write(streams[1].Span[(r * sizeof(float))..], scale.Value);
            }

            Span<byte> codes = streams[0].Span.Slice(r * RowBytes(0), RowBytes(0));
            switch (tier)
            {
                case SimdTier.Vector512:
                    TernaryKernel<Lanes512>.EncodeRow(row, scale, base3, codes);
                    break;
                case SimdTier.Vector256:
                    TernaryKernel<Lanes256>.EncodeRow(row, scale, base3, codes);
                    break;
                case SimdTier.Vector128:
                    TernaryKernel<Lanes128>.EncodeRow(row, scale, base3, codes);
                    break;
                default:
                    TernaryReference.EncodeRow(row, scale, base3, codes);
                    break;
            }
        }
    }

    protected override void DecodeTile(ReadOnlySpan<ReadOnlyMemory<byte>> streams, int rows, Span<float> values)
    {
        ReadOnlySpan<float> scales = MemoryMarshal.Cast<byte, float>(PerRow ? streams[1].Span : default);
        CheckFinite(scales);
        if (!PerRow && gamma is null)
        {
            throw new ModelPackException(ErrorCodes.BadStream, $"'{Spec.Id}' has one scale per tensor and does not say which");
        }

        if (!base3 && streams[0].Span is var all && HasCode3(all))
        {
            throw new ModelPackException(ErrorCodes.BadStream, $"'{Spec.Id}': code 3 among the codes of the tile");
        }

        for (int r = 0; r < rows; r++)
        {
            ReadOnlySpan<byte> codes = streams[0].Span.Slice(r * RowBytes(0), RowBytes(0));
            Span<float> row = values.Slice(r * Columns, Columns);
            float value = PerRow ? scales[r] : TernaryScale.Of(mean, gamma!.Value).Value;
            switch (tier)
            {
                case SimdTier.Vector512:
                    TernaryKernel<Lanes512>.DecodeRow(codes, value, base3, row);
                    break;
                case SimdTier.Vector256:
                    TernaryKernel<Lanes256>.DecodeRow(codes, value, base3, row);
                    break;
                case SimdTier.Vector128:
                    TernaryKernel<Lanes128>.DecodeRow(codes, value, base3, row);
                    break;
                default:
                    TernaryReference.DecodeRow(codes, value, base3, row);
                    break;
            }
        }
    }

    private float Gamma(ReadOnlySpan<float> row)
    {
        if (mean)
        {
            var sum = default(AbsoluteSum);
            sum.Add(row);
            return sum.Mean(row.Length);
        }

        return TernaryValues.Largest(row);
    }

    private static bool HasCode3(ReadOnlySpan<byte> codes)
    {
        ReadOnlySpan<ulong> words = MemoryMarshal.Cast<byte, ulong>(codes);
        ulong both = 0;
        foreach (ulong word in words)
        {
            both |= word & (word >> 1) & 0x5555555555555555;
        }

        foreach (byte code in codes[(words.Length * 8)..])
        {
            both |= (uint)(code & (code >> 1) & 0x55);
        }

        return both != 0;
    }
}
