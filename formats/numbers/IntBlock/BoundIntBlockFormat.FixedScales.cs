using System.Buffers;

namespace ModelPack.Numbers;

/// <summary>Codes chosen one by one on fixed scales.</summary>
internal sealed partial class BoundIntBlockFormat
{
    /// <summary>1, 63/64, ..., 17/64 as the format's own search tries them, then up to 1 + 8/64: where an output and not a weight is to be matched, a wider range may win.</summary>
    private static readonly float[] CoarseFactors = Factors(56, 64f);

    private static readonly float[] FineFactors = Factors(16, 256f);

    /// <summary>Down from 1 in steps of 1 / <paramref name="steps"/>, 48 at most; those beyond go up from it.</summary>
    private static float[] Factors(int count, float steps)
    {
        float[] factors = new float[count];
        for (int t = 0; t < count; t++)
        {
            factors[t] = t < 48 ? 1f - (t / steps) : 1f + ((t - 47) / steps);
        }

        return factors;
    }

    public int BlockColumns => Layout.Block;

    public ReadOnlySpan<float> ScaleFactors => Layout.Bits <= 5 ? CoarseFactors : FineFactors;

    public void ReadScales(ReadOnlySpan<ReadOnlyMemory<byte>> streams, int rows, Span<float> scales, Span<float> zeros)
    {
        IntBlockLayout layout = Layout;
        int blocks = layout.BlockCount;
        ReadOnlySpan<byte> stored = streams[1].Span;
        for (int i = 0; i < rows * blocks; i++)
        {
            scales[i] = ScaleType.Read(stored, i, layout.Scale);
        }

        if (layout.Symmetric)
        {
            zeros[..(rows * blocks)].Fill(layout.Offset);
            return;
        }

        for (int r = 0; r < rows; r++)
        {
            ReadOnlySpan<byte> row = streams[2].Span.Slice(r * layout.ZeroPointBytesPerRow, layout.ZeroPointBytesPerRow);
            for (int b = 0; b < blocks; b++)
            {
                zeros[(r * blocks) + b] = layout.FloatZero ? ScaleType.Read(row, b, layout.Scale) : CodePacking.Get(row, b, layout.Bits);
            }
        }
    }

    public void WriteScales(ReadOnlySpan<float> scales, ReadOnlySpan<float> zeros, int rows, ReadOnlySpan<Memory<byte>> streams)
    {
        IntBlockLayout layout = Layout;
        int blocks = layout.BlockCount;
        Span<byte> stored = streams[1].Span;
        for (int i = 0; i < rows * blocks; i++)
        {
            ScaleType.Write(ScaleType.Round(scales[i], layout.Scale), layout.Scale, stored, i);
        }

        if (layout.Symmetric)
        {
            return;
        }

        for (int r = 0; r < rows; r++)
        {
            Span<byte> row = streams[2].Span.Slice(r * layout.ZeroPointBytesPerRow, layout.ZeroPointBytesPerRow);
            row.Clear();
            for (int b = 0; b < blocks; b++)
            {
                float zero = zeros[(r * blocks) + b];
                if (layout.FloatZero)
                {
                    FloatZeroScale.WriteZero(FloatZeroScale.RoundZero(zero, layout.Scale), layout.Scale, row, b);
                }
                else
                {
                    CodePacking.Set(row, b, layout.Bits, (int)MathF.Round(Math.Clamp(zero, 0, layout.MaxCode)));
                }
            }
        }
    }

    public void Round(ReadOnlySpan<float> values, ReadOnlySpan<float> scales, ReadOnlySpan<float> zeros, Span<byte> codes, Span<float> rounded)
    {
        int done = _tier switch
        {
            SimdTier.Vector512 => IntBlockRounding<Lanes512>.Round(values, scales, zeros, Layout, codes, rounded),
            SimdTier.Vector256 => IntBlockRounding<Lanes256>.Round(values, scales, zeros, Layout, codes, rounded),
            SimdTier.Vector128 => IntBlockRounding<Lanes128>.Round(values, scales, zeros, Layout, codes, rounded),
            _ => 0,
        };
        IntBlockRounding.Round(values[done..], scales[done..], zeros[done..], Layout, codes[done..], rounded[done..]);
    }

    public void WriteCodes(ReadOnlySpan<byte> codes, int rows, ReadOnlySpan<Memory<byte>> streams)
    {
        IntBlockLayout layout = Layout;
        Span<byte> stored = streams[0].Span;
        byte[]? packed = _planes ? ArrayPool<byte>.Shared.Rent(layout.BlobBytes + BitPlanes.Slack) : null;
        int blobBytes = layout.BlockCount == 0 ? 0 : _codeBytes / layout.BlockCount;
        for (int r = 0; r < rows; r++)
        {
            for (int b = 0; b < layout.BlockCount; b++)
            {
                int start = b * layout.Block;
                ReadOnlySpan<byte> block = codes.Slice((r * layout.Columns) + start, Math.Min(layout.Block, layout.Columns - start));
                Span<byte> blob = stored.Slice((r * _codeBytes) + (b * blobBytes), blobBytes);
                if (packed is null)
                {
                    Pack(block, PaddingCode(streams, r, b), layout, blob);
                }
                else
                {
                    Pack(block, PaddingCode(streams, r, b), layout, packed.AsSpan(0, layout.BlobBytes));
                    BitPlanes.Split(packed.AsSpan(0, layout.BlobBytes + BitPlanes.Slack), layout.Block, layout.Bits, blob);
                }
            }
        }

        if (packed is not null)
        {
            ArrayPool<byte>.Shared.Return(packed);
        }
    }

    private static void Pack(ReadOnlySpan<byte> codes, int padding, in IntBlockLayout layout, Span<byte> blob)
    {
        blob.Clear();
        for (int i = 0; i < codes.Length; i++)
        {
            CodePacking.Set(blob, i, layout.Bits, codes[i]);
        }

        for (int i = codes.Length; i < blob.Length * 8 / layout.Bits; i++)
        {
            CodePacking.Set(blob, i, layout.Bits, padding);
        }
    }

    /// <summary>What the codes after the last value of a block are: the zero point, 0 where that is no code.</summary>
    private int PaddingCode(ReadOnlySpan<Memory<byte>> streams, int row, int block) =>
        Layout.FloatZero ? 0
        : Layout.Symmetric ? Layout.Offset
        : CodePacking.Get(streams[2].Span.Slice(row * Layout.ZeroPointBytesPerRow, Layout.ZeroPointBytesPerRow), block, Layout.Bits);
}
