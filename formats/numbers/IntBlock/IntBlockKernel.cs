using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics.X86;

namespace ModelPack.Numbers;

/// <summary>
/// Integer block coding over 16 lanes. A block is taken in groups of 16 consecutive values; the last group of a row may be partial and
/// is padded with zeros in a scratch group, which changes neither ranges (they include zero) nor error sums. Group g of a block becomes
/// bytes [2 x bits x g, 2 x bits x (g+1)) of its blob. Per value this is <see cref="IntBlockReference"/>: divide, clamp, round to even, add
/// the zero point. Rounding: |clamped| is at most 255, so adding 1.5 x 2^23 leaves the rounded integer in the low bits.
/// </summary>
internal static class IntBlockKernel<TLanes>
    where TLanes : struct, ILanes16<TLanes>
{
    /// <summary>1.5 x 2^23.</summary>
    public const float RoundingMagic = 12582912f;

    /// <summary>Encodes one row; returns an index in the first block that holds a NaN or infinity, or -1.</summary>
    [SkipLocalsInit]
    public static int EncodeRow(ReadOnlySpan<float> row, in IntBlockLayout layout, Span<byte> codes, Span<byte> scales, Span<byte> zeroPoints)
    {
        zeroPoints.Clear();
        int bad = IntBlockFastKernel<TLanes>.EncodeRow<PackedCodes>(row, layout, codes, scales, zeroPoints, out int b);
        if (bad > 0)
        {
            return (bad - 1) * layout.Block;
        }

        Span<float> tail = stackalloc float[16];
        int wholeInRow = row.Length & ~15;
        tail.Clear();
        row[wholeInRow..].CopyTo(tail);
        for (; b < layout.BlockCount; b++)
        {
            int start = b * layout.Block;
            int end = (int)Math.Min((long)start + layout.Block, row.Length);
            var block = new Groups(row[Math.Min(start, wholeInRow)..Math.Min(end, wholeInRow)], tail, end > wholeInRow);
            if (!TryChoose(block, layout, out BlockScale mapping))
            {
                return start;
            }

            ScaleType.Write(mapping.Scale, layout.Scale, scales, b);
            if (!layout.Symmetric)
            {
                CodePacking.Set(zeroPoints, b, layout.Bits, mapping.ZeroPoint);
            }

            EncodeBlock(block, mapping, layout, codes.Slice(b * layout.BlobBytes, layout.BlobBytes));
        }

        return -1;
    }

    [SkipLocalsInit]
    public static void DecodeRow(ReadOnlySpan<byte> codes, ReadOnlySpan<byte> scales, ReadOnlySpan<byte> zeroPoints, in IntBlockLayout layout, Span<float> row, SimdTier tier)
    {
        Span<byte> padded = stackalloc byte[16];
        Span<float> group = stackalloc float[16];
        int groupBytes = 2 * layout.Bits;
        for (int b = IntBlockDecodeKernel<TLanes>.DecodeRow(codes, scales, zeroPoints, layout, row, tier); b < layout.BlockCount; b++)
        {
            int start = b * layout.Block;
            int count = Math.Min(layout.Block, row.Length - start);
            int zeroPoint = layout.Symmetric ? layout.Offset : CodePacking.Get(zeroPoints, b, layout.Bits);
            TLanes zero = TLanes.CreateInt(zeroPoint);
            TLanes scale = TLanes.Create(ScaleType.Read(scales, b, layout.Scale));
            ReadOnlySpan<byte> blob = codes.Slice(b * layout.BlobBytes, layout.BlobBytes);
            ref float to = ref MemoryMarshal.GetReference(row.Slice(start, count));
            int i = 0;
            int at = 0;
            if (Bmi2.X64.IsSupported && layout.Bits is not (4 or 8))
            {
                // Reads of 8 bytes may reach beyond a group, not beyond the row.
                ReadOnlySpan<byte> rest = codes[(b * layout.BlobBytes)..];
                ref byte from = ref MemoryMarshal.GetReference(rest);
                int last = rest.Length - layout.Bits - 8;
                ulong mask = CodePacking.Mask(layout.Bits);
                for (; i + 16 <= count && at <= last; i += 16, at += groupBytes)
                {
                    TLanes code = TLanes.FromBytes(CodePacking.Unpack16Wide(ref Unsafe.Add(ref from, at), layout.Bits, mask));
                    TLanes.Store(TLanes.Multiply(TLanes.IntToFloat(TLanes.SubtractInt(code, zero)), scale), ref Unsafe.Add(ref to, i));
                }
            }

            for (; i + 16 <= count; i += 16, at += groupBytes)
            {
                TLanes code = TLanes.FromBytes(CodePacking.Unpack16(blob.Slice(at, groupBytes), layout.Bits));
                TLanes.Store(TLanes.Multiply(TLanes.IntToFloat(TLanes.SubtractInt(code, zero)), scale), ref Unsafe.Add(ref to, i));
            }

            if (i < count)
            {
                padded.Clear();
                ReadOnlySpan<byte> rest = blob[(i / 16 * groupBytes)..];
                rest[..Math.Min(rest.Length, groupBytes)].CopyTo(padded);
                TLanes code = TLanes.FromBytes(CodePacking.Unpack16(padded[..groupBytes], layout.Bits));
                TLanes.Store(TLanes.Multiply(TLanes.IntToFloat(TLanes.SubtractInt(code, zero)), scale), ref group[0]);
                group[..(count - i)].CopyTo(row.Slice(start + i, count - i));
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static bool TryChoose(Groups block, in IntBlockLayout layout, out BlockScale mapping)
    {
        TLanes magnitudeMask = TLanes.CreateInt(0x7FFFFFFF);
        TLanes magnitudes = default;
        ref float x = ref MemoryMarshal.GetReference(block.Whole);
        for (int i = 0; i < block.Whole.Length; i += 16)
        {
            magnitudes = TLanes.MaxInt(magnitudes, TLanes.And(TLanes.Load(ref Unsafe.Add(ref x, i)), magnitudeMask));
        }

        if (block.HasTail)
        {
            magnitudes = TLanes.MaxInt(magnitudes, TLanes.And(TLanes.Load(ref MemoryMarshal.GetReference(block.Tail)), magnitudeMask));
        }

        // Magnitudes compare as integers, and everything above the largest finite one is infinite or NaN.
        int bits = TLanes.MaxIntAcross(magnitudes);
        float amax = BitConverter.Int32BitsToSingle(bits);
        if (bits >= 0x7F800000)
        {
            mapping = default;
            return false;
        }

        if (layout.Symmetric && !layout.Search)
        {
            mapping = BlockScale.Symmetric(amax, 1, layout);
        }
        else
        {
            mapping = Search(block, amax, layout);
        }

        return true;
    }

    private static BlockScale Search(Groups block, float amax, in IntBlockLayout layout)
    {
        TLanes lows = default;
        TLanes highs = default;
        if (!layout.Symmetric)
        {
            ref float x = ref MemoryMarshal.GetReference(block.Whole);
            for (int i = 0; i < block.Whole.Length; i += 16)
            {
                TLanes values = TLanes.Load(ref Unsafe.Add(ref x, i));
                lows = TLanes.Min(lows, values);
                highs = TLanes.Max(highs, values);
            }

            if (block.HasTail)
            {
                TLanes values = TLanes.Load(ref MemoryMarshal.GetReference(block.Tail));
                lows = TLanes.Min(lows, values);
                highs = TLanes.Max(highs, values);
            }
        }

        float low = TLanes.MinAcross(lows);
        float high = TLanes.MaxAcross(highs);
        BlockScale best = Mapping(low, high, amax, 1, layout);
        if (!layout.Search || amax == 0)
        {
            return best;
        }

        float unit = IntBlockReference.ErrorUnit(amax);
        double least = SquaredError(block, best, unit, layout);
        for (int step = 1; step < layout.SearchSteps; step++)
        {
            BlockScale candidate = Mapping(low, high, amax, layout.Shrink(step), layout);
            double error = SquaredError(block, candidate, unit, layout);
            if (error < least * IntBlockReference.Margin)
            {
                least = error;
                best = candidate;
            }
        }

        return best;
    }

    private static BlockScale Mapping(float low, float high, float amax, float shrink, in IntBlockLayout layout) =>
        layout.Symmetric ? BlockScale.Symmetric(amax, shrink, layout) : BlockScale.Asymmetric(low, high, shrink, layout);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void EncodeBlock(Groups block, BlockScale mapping, in IntBlockLayout layout, Span<byte> blob)
    {
        var map = new LaneMapping(mapping, layout);
        TLanes zero = TLanes.CreateInt(mapping.ZeroPoint);
        int groupBytes = 2 * layout.Bits;
        ref float x = ref MemoryMarshal.GetReference(block.Whole);
        int at = 0;
        for (int i = 0; i < block.Whole.Length; i += 16, at += groupBytes)
        {
            TLanes shifted = map.Shifted(TLanes.Load(ref Unsafe.Add(ref x, i)));
            CodePacking.Pack16(TLanes.LowBytes(TLanes.AddInt(shifted, zero)), layout.Bits, blob.Slice(at, groupBytes));
        }

        if (at < blob.Length)
        {
            EncodeRest(block, map, zero, layout.Bits, blob[at..]);
        }
    }

    /// <summary>The partial group and the padding behind it: only in the last block of a row.</summary>
    [SkipLocalsInit]
    private static void EncodeRest(Groups block, LaneMapping map, TLanes zero, int bits, Span<byte> blob)
    {
        Span<byte> group = stackalloc byte[16];
        int spareBits = blob.Length * 8 % bits;
        ref byte last = ref blob[^1];
        if (block.HasTail)
        {
            TLanes shifted = map.Shifted(TLanes.Load(ref MemoryMarshal.GetReference(block.Tail)));
            CodePacking.Pack16(TLanes.LowBytes(TLanes.AddInt(shifted, zero)), bits, group);
            int count = Math.Min(2 * bits, blob.Length);
            group[..count].CopyTo(blob);
            blob = blob[count..];
        }

        CodePacking.Pack16(TLanes.LowBytes(zero), bits, group);
        while (!blob.IsEmpty)
        {
            int count = Math.Min(2 * bits, blob.Length);
            group[..count].CopyTo(blob);
            blob = blob[count..];
        }

        // Only whole codes are padding; bits that hold no whole code (whole-row blocks of odd widths) are zero.
        last &= (byte)(0xFF >> spareBits);
    }

    private static double SquaredError(Groups block, BlockScale mapping, float unit, in IntBlockLayout layout)
    {
        TLanes scale = TLanes.Create(mapping.Scale);
        TLanes lowest = TLanes.Create(-mapping.ZeroPoint);
        TLanes highest = TLanes.Create(layout.MaxCode - mapping.ZeroPoint);
        TLanes magic = TLanes.Create(RoundingMagic);
        TLanes units = TLanes.Create(unit);
        ref float x = ref MemoryMarshal.GetReference(block.Whole);
        int length = block.Whole.Length;
        double total = 0;
        TLanes sums = default;
        for (int i = 0; i < length; i += 16)
        {
            if ((i & 255) == 0 && i > 0)
            {
                total += TLanes.Sum(sums);
                sums = default;
            }

            sums = AddSquare(sums, TLanes.Load(ref Unsafe.Add(ref x, i)), scale, lowest, highest, magic, units);
        }

        if (block.HasTail)
        {
            if ((length & 255) == 0)
            {
                total += TLanes.Sum(sums);
                sums = default;
            }

            sums = AddSquare(sums, TLanes.Load(ref MemoryMarshal.GetReference(block.Tail)), scale, lowest, highest, magic, units);
        }

        return total + TLanes.Sum(sums);
    }

    /// <summary>sums + ((x - decoded(encoded(x))) x unit)^2, every operation rounded on its own.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static TLanes AddSquare(TLanes sums, TLanes values, TLanes scale, TLanes lowest, TLanes highest, TLanes magic, TLanes units)
    {
        TLanes shifted = TLanes.Add(TLanes.Min(TLanes.Max(TLanes.Divide(values, scale), lowest), highest), magic);
        TLanes error = TLanes.Multiply(TLanes.Subtract(values, TLanes.Multiply(TLanes.Subtract(shifted, magic), scale)), units);
        return TLanes.Add(sums, TLanes.Multiply(error, error));
    }

    /// <summary>A block: whole groups in place, and perhaps one group padded with zeros.</summary>
    private readonly ref struct Groups(ReadOnlySpan<float> whole, ReadOnlySpan<float> tail, bool hasTail)
    {
        public ReadOnlySpan<float> Whole { get; } = whole;

        public ReadOnlySpan<float> Tail { get; } = tail;

        public bool HasTail { get; } = hasTail;
    }

    private readonly struct LaneMapping(BlockScale mapping, in IntBlockLayout layout)
    {
        private readonly TLanes _scale = TLanes.Create(mapping.Scale);
        private readonly TLanes _lowest = TLanes.Create(-mapping.ZeroPoint);
        private readonly TLanes _highest = TLanes.Create(layout.MaxCode - mapping.ZeroPoint);
        private readonly TLanes _magic = TLanes.Create(RoundingMagic);

        /// <summary>The rounded quotient plus the rounding magic: its low byte is the integer.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public TLanes Shifted(TLanes values)
        {
            TLanes quotient = TLanes.Divide(values, _scale);
            return TLanes.Add(TLanes.Min(TLanes.Max(quotient, _lowest), _highest), _magic);
        }
    }
}
