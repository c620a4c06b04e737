using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace ModelPack.Numbers;

/// <summary>
/// Integer blocks with floating-point zero points over 16 lanes. Per lane <see cref="FloatZeroReference"/>: divide, add the zero point, clamp, round to even by adding 1.5 x 2^23.
/// A partial group at the end of a row is padded with its last value, which changes no range; its spare codes are cleared.
/// </summary>
internal static class FloatZeroKernel<TLanes>
    where TLanes : struct, ILanes16<TLanes>
{
    /// <summary>Encodes one row; returns an index in the first block that holds a NaN or infinity, or -1.</summary>
    [SkipLocalsInit]
    public static int EncodeRow(ReadOnlySpan<float> row, in IntBlockLayout layout, Span<byte> codes, Span<byte> scales, Span<byte> zeroPoints)
    {
        Span<float> tail = stackalloc float[16];
        TLanes magnitudeMask = TLanes.CreateInt(0x7FFFFFFF);
        TLanes magic = TLanes.Create(IntBlockKernel<TLanes>.RoundingMagic);
        TLanes highest = TLanes.Create(layout.MaxCode);
        int bad = IntBlockFastKernel<TLanes>.EncodeRow<PackedCodes>(row, layout, codes, scales, zeroPoints, out int done);
        if (bad > 0)
        {
            return (bad - 1) * layout.Block;
        }

        for (int b = done; b < layout.BlockCount; b++)
        {
            int start = b * layout.Block;
            ReadOnlySpan<float> block = row.Slice(start, Math.Min(layout.Block, row.Length - start));
            ref float x = ref MemoryMarshal.GetReference(block);
            int whole = block.Length & ~15;
            if (whole < block.Length)
            {
                tail.Fill(block[^1]);
                block[whole..].CopyTo(tail);
            }

            TLanes first = TLanes.Load(in whole > 0 ? ref x : ref tail[0]);
            TLanes magnitudes = default;
            TLanes lows = first;
            TLanes highs = first;
            for (int i = 0; i < block.Length; i += 16)
            {
                TLanes values = TLanes.Load(in i < whole ? ref Unsafe.Add(ref x, i) : ref tail[0]);
                magnitudes = TLanes.MaxInt(magnitudes, TLanes.And(values, magnitudeMask));
                lows = TLanes.Min(lows, values);
                highs = TLanes.Max(highs, values);
            }

            if (TLanes.MaxIntAcross(magnitudes) >= 0x7F800000)
            {
                return start;
            }

            FloatZeroScale mapping = FloatZeroScale.Of(TLanes.MinAcross(lows), TLanes.MaxAcross(highs), layout);
            ScaleType.Write(mapping.Scale, layout.Scale, scales, b);
            FloatZeroScale.WriteZero(mapping.ZeroPoint, layout.Scale, zeroPoints, b);
            TLanes scale = TLanes.Create(mapping.Scale);
            TLanes zero = TLanes.Create(mapping.ZeroPoint);
            Span<byte> blob = codes.Slice(b * layout.BlobBytes, layout.BlobBytes);
            int at = 0;
            for (int i = 0; i < whole; i += 16, at += 2 * layout.Bits)
            {
                TLanes shifted = TLanes.Add(TLanes.Divide(TLanes.Load(ref Unsafe.Add(ref x, i)), scale), zero);
                shifted = TLanes.Add(TLanes.Min(TLanes.Max(shifted, default), highest), magic);
                CodePacking.Pack16(TLanes.LowBytes(shifted), layout.Bits, blob.Slice(at, 2 * layout.Bits));
            }

            if (at < blob.Length)
            {
                blob = blob[at..];
                blob.Clear();
                for (int i = whole; i < block.Length; i++)
                {
                    float shifted = (block[i] / mapping.Scale) + mapping.ZeroPoint;
                    CodePacking.Set(blob, i - whole, layout.Bits, (int)MathF.Round(Math.Min(Math.Max(shifted, 0), layout.MaxCode)));
                }
            }
        }

        return -1;
    }

    [SkipLocalsInit]
    public static void DecodeRow(ReadOnlySpan<byte> codes, ReadOnlySpan<byte> scales, ReadOnlySpan<byte> zeroPoints, in IntBlockLayout layout, Span<float> row, SimdTier tier)
    {
        int groupBytes = 2 * layout.Bits;
        for (int b = IntBlockDecodeKernel<TLanes>.DecodeRow(codes, scales, zeroPoints, layout, row, tier); b < layout.BlockCount; b++)
        {
            int start = b * layout.Block;
            Span<float> block = row.Slice(start, Math.Min(layout.Block, row.Length - start));
            float zeroPoint = ScaleType.Read(zeroPoints, b, layout.Scale);
            float factor = ScaleType.Read(scales, b, layout.Scale);
            TLanes zero = TLanes.Create(zeroPoint);
            TLanes scale = TLanes.Create(factor);
            ReadOnlySpan<byte> blob = codes.Slice(b * layout.BlobBytes, layout.BlobBytes);
            ref float to = ref MemoryMarshal.GetReference(block);
            int i = 0;
            for (int at = 0; i + 16 <= block.Length; i += 16, at += groupBytes)
            {
                TLanes code = TLanes.IntToFloat(TLanes.FromBytes(CodePacking.Unpack16(blob.Slice(at, groupBytes), layout.Bits)));
                TLanes.Store(TLanes.Multiply(TLanes.Subtract(code, zero), scale), ref Unsafe.Add(ref to, i));
            }

            for (; i < block.Length; i++)
            {
                block[i] = (CodePacking.Get(blob, i, layout.Bits) - zeroPoint) * factor;
            }
        }
    }
}
