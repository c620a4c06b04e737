using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace ModelPack.Numbers;

/// <summary>
/// The common cases of <see cref="IntBlockKernel{TLanes}"/> on their own, three times as fast: no search, 4 or 8 bits, blocks of whole groups of 16 values. Per group:
/// 16 quotients, clamped, rounded by the magic addition, the zero point added as an integer, the low bytes packed and stored. A row's
/// last, shorter block is left to the general kernel.
/// </summary>
internal static class IntBlockFastKernel<TLanes>
    where TLanes : struct, ILanes16<TLanes>
{
    /// <summary>
    /// Whole symmetric blocks. The blocks are independent, so the processor overlaps
    /// the maximum and the scalar division of one with the divisions of those before. Returns 0, or one more than the number of a block with a NaN or infinity.
    /// </summary>
    public static int EncodeSymmetric<TBits>(ReadOnlySpan<float> row, in IntBlockLayout layout, int blocks, Span<byte> codes, Span<byte> scales)
        where TBits : struct, IBits
    {
        int block = layout.Block;
        DType scaleType = layout.Scale;
        int groupBytes = 2 * TBits.Count;
        int blobBytes = layout.BlobBytes;
        row = row[..(blocks * block)];
        codes = codes[..(blocks * blobBytes)];
        TLanes magnitudeMask = TLanes.CreateInt(0x7FFFFFFF);
        TLanes lowest = TLanes.Create(-(1 << (TBits.Count - 1)));
        TLanes highest = TLanes.Create((1 << (TBits.Count - 1)) - 1);
        TLanes magic = TLanes.Create(IntBlockKernel<TLanes>.RoundingMagic);
        TLanes zero = TLanes.CreateInt(1 << (TBits.Count - 1));
        ref float x = ref MemoryMarshal.GetReference(row);
        ref byte blob = ref MemoryMarshal.GetReference(codes);
        for (int b = 0; b < blocks; b++)
        {
            TLanes magnitudes = TLanes.And(TLanes.Load(ref x), magnitudeMask);
            for (int i = 16; i < block; i += 16)
            {
                magnitudes = TLanes.MaxInt(magnitudes, TLanes.And(TLanes.Load(ref Unsafe.Add(ref x, i)), magnitudeMask));
            }

            int bits = TLanes.MaxIntAcross(magnitudes);
            if (bits >= 0x7F800000)
            {
                return b + 1;
            }

            float scale = BlockScale.Symmetric(BitConverter.Int32BitsToSingle(bits), 1, layout).Scale;
            ScaleType.Write(scale, scaleType, scales, b);
            TLanes scaleLanes = TLanes.Create(scale);
            ref byte to = ref blob;
            for (int i = 0; i < block; i += 16)
            {
                TLanes quotient = TLanes.Divide(TLanes.Load(ref Unsafe.Add(ref x, i)), scaleLanes);
                TLanes shifted = TLanes.Add(TLanes.Min(TLanes.Max(quotient, lowest), highest), magic);
                CodePacking.Store16<TBits>(TLanes.LowBytes(TLanes.AddInt(shifted, zero)), ref to);
                to = ref Unsafe.Add(ref to, groupBytes);
            }

            x = ref Unsafe.Add(ref x, block);
            blob = ref Unsafe.Add(ref blob, blobBytes);
        }

        return 0;
    }

    /// <summary>As <see cref="EncodeSymmetric"/> with the range of every block, which always includes zero, and its zero point.</summary>
    public static int EncodeAsymmetric<TBits>(ReadOnlySpan<float> row, in IntBlockLayout layout, int blocks, Span<byte> codes, Span<byte> scales, Span<byte> zeroPoints)
        where TBits : struct, IBits
    {
        int block = layout.Block;
        DType scaleType = layout.Scale;
        int groupBytes = 2 * TBits.Count;
        int blobBytes = layout.BlobBytes;
        row = row[..(blocks * block)];
        codes = codes[..(blocks * blobBytes)];
        TLanes magnitudeMask = TLanes.CreateInt(0x7FFFFFFF);
        TLanes magic = TLanes.Create(IntBlockKernel<TLanes>.RoundingMagic);
        ref float x = ref MemoryMarshal.GetReference(row);
        ref byte blob = ref MemoryMarshal.GetReference(codes);
        for (int b = 0; b < blocks; b++)
        {
            TLanes magnitudes = default;
            TLanes lows = default;
            TLanes highs = default;
            for (int i = 0; i < block; i += 16)
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

            BlockScale mapping = BlockScale.Asymmetric(TLanes.MinAcross(lows), TLanes.MaxAcross(highs), 1, layout);
            ScaleType.Write(mapping.Scale, scaleType, scales, b);
            CodePacking.Set(zeroPoints, b, TBits.Count, mapping.ZeroPoint);
            TLanes scale = TLanes.Create(mapping.Scale);
            TLanes lowest = TLanes.Create(-mapping.ZeroPoint);
            TLanes highest = TLanes.Create((1 << TBits.Count) - 1 - mapping.ZeroPoint);
            TLanes zero = TLanes.CreateInt(mapping.ZeroPoint);
            ref byte to = ref blob;
            for (int i = 0; i < block; i += 16)
            {
                TLanes quotient = TLanes.Divide(TLanes.Load(ref Unsafe.Add(ref x, i)), scale);
                TLanes shifted = TLanes.Add(TLanes.Min(TLanes.Max(quotient, lowest), highest), magic);
                CodePacking.Store16<TBits>(TLanes.LowBytes(TLanes.AddInt(shifted, zero)), ref to);
                to = ref Unsafe.Add(ref to, groupBytes);
            }

            x = ref Unsafe.Add(ref x, block);
            blob = ref Unsafe.Add(ref blob, blobBytes);
        }

        return 0;
    }
}
