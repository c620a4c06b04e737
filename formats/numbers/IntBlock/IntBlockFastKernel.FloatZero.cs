using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace ModelPack.Numbers;

/// <content>Whole blocks with floating-point zero points.</content>
internal static partial class IntBlockFastKernel<TLanes>
{
    /// <summary>
    /// As <see cref="EncodeAsymmetric"/>; the range of a block need not include zero, and its zero point is added to the quotients before they are clamped and rounded: the lanes are
    /// those of <see cref="FloatZeroKernel{TLanes}"/>.
    /// </summary>
    private static int EncodeFloatZero<TCodes, TBits>(ReadOnlySpan<float> row, in IntBlockLayout layout, int blocks, Span<byte> codes, Span<byte> scales, Span<byte> zeroPoints)
        where TCodes : struct, ICodeLayout
        where TBits : struct, IBits
    {
        int block = layout.Block;
        DType scaleType = layout.Scale;
        int blobBytes = TCodes.BlobBytes(block, TBits.Count);
        nint planeBytes = blobBytes / TBits.Count;
        row = row[..(blocks * block)];
        codes = codes[..(blocks * blobBytes)];
        TLanes magnitudeMask = TLanes.CreateInt(0x7FFFFFFF);
        TLanes magic = TLanes.Create(IntBlockKernel<TLanes>.RoundingMagic);
        TLanes highest = TLanes.Create((1 << TBits.Count) - 1);
        ref float x = ref MemoryMarshal.GetReference(row);
        ref byte blob = ref MemoryMarshal.GetReference(codes);
        for (int b = 0; b < blocks; b++)
        {
            TLanes lows = TLanes.Load(ref x);
            TLanes highs = lows;
            TLanes magnitudes = TLanes.And(lows, magnitudeMask);
            for (int i = 16; i < block; i += 16)
            {
                TLanes values = TLanes.Load(ref Unsafe.Add(ref x, i));
                magnitudes = TLanes.MaxInt(magnitudes, TLanes.And(values, magnitudeMask));
                lows = TLanes.Min(lows, values);
                highs = TLanes.Max(highs, values);
            }

            if (TLanes.MaxIntAcross(magnitudes) >= 0x7F800000)
            {
                return b + 1;
            }

            FloatZeroScale mapping = FloatZeroScale.Of(TLanes.MinAcross(lows), TLanes.MaxAcross(highs), layout);
            ScaleType.Write(mapping.Scale, scaleType, scales, b);
            FloatZeroScale.WriteZero(mapping.ZeroPoint, scaleType, zeroPoints, b);
            TLanes scale = TLanes.Create(mapping.Scale);
            TLanes zero = TLanes.Create(mapping.ZeroPoint);
            for (int i = 0; i < block; i += 16)
            {
                TLanes shifted = TLanes.Add(TLanes.Divide(TLanes.Load(ref Unsafe.Add(ref x, i)), scale), zero);
                TLanes rounded = TLanes.Add(TLanes.Min(TLanes.Max(shifted, default), highest), magic);
                TCodes.Store16<TBits>(TLanes.LowBytes(rounded), ref blob, i, planeBytes);
            }

            x = ref Unsafe.Add(ref x, block);
            blob = ref Unsafe.Add(ref blob, blobBytes);
        }

        return 0;
    }
}
