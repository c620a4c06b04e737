using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace ModelPack.Numbers;

/// <summary>
/// Decoding of whole blocks of whole groups of 16 values, the width of codes known to the JIT: value = (code - zero point) x scale, all as f32, which is exact up to the multiplication, so integer
/// and floating-point zero points are one case. Scales and zero points are read 256 at a time. The last block of a row may be left to the general kernel, which does not read beyond it.
/// </summary>
internal static class IntBlockDecodeKernel<TLanes>
    where TLanes : struct, ILanes16<TLanes>
{
    private const int Chunk = 256;

    /// <summary>Bytes read beyond a group.</summary>
    private const int Overread = 8;

    /// <summary>Decodes the first blocks of a row of packed codes and returns how many: 0 when the layout is not one of whole groups.</summary>
    public static int DecodeRow(ReadOnlySpan<byte> codes, ReadOnlySpan<byte> scales, ReadOnlySpan<byte> zeroPoints, in IntBlockLayout layout, Span<float> row, SimdTier tier)
    {
        bool bytewise = layout.Bits is 4 or 8;
        int blocks = layout.Block % 16 == 0 && (bytewise || Bmi2.X64.IsSupported) ? row.Length / layout.Block : 0;
        if (!bytewise)
        {
            blocks = Math.Min(blocks, Math.Max(codes.Length - Overread, 0) / layout.BlobBytes);
        }

        DecodeBlocks<PackedCodes>(codes, scales, zeroPoints, layout, blocks, row, tier);
        return blocks;
    }

    /// <summary>As <see cref="DecodeRow"/> for codes in bit planes, of which nothing is read beyond a block.</summary>
    public static int DecodePlanes(ReadOnlySpan<byte> codes, ReadOnlySpan<byte> scales, ReadOnlySpan<byte> zeroPoints, in IntBlockLayout layout, Span<float> row, SimdTier tier)
    {
        int blocks = layout.Block % 16 == 0 ? row.Length / layout.Block : 0;
        DecodeBlocks<PlaneCodes>(codes, scales, zeroPoints, layout, blocks, row, tier);
        return blocks;
    }

    private static void DecodeBlocks<TCodes>(ReadOnlySpan<byte> codes, ReadOnlySpan<byte> scales, ReadOnlySpan<byte> zeroPoints, in IntBlockLayout layout, int blocks, Span<float> row, SimdTier tier)
        where TCodes : struct, ICodeLayout
    {
        if (blocks == 0)
        {
            return;
        }

        switch (layout.Bits)
        {
            case 2:
                Decode<TCodes, Bits2>(codes, scales, zeroPoints, layout, blocks, row, tier);
                break;
            case 3:
                Decode<TCodes, Bits3>(codes, scales, zeroPoints, layout, blocks, row, tier);
                break;
            case 4:
                Decode<TCodes, Bits4>(codes, scales, zeroPoints, layout, blocks, row, tier);
                break;
            case 5:
                Decode<TCodes, Bits5>(codes, scales, zeroPoints, layout, blocks, row, tier);
                break;
            case 6:
                Decode<TCodes, Bits6>(codes, scales, zeroPoints, layout, blocks, row, tier);
                break;
            case 7:
                Decode<TCodes, Bits7>(codes, scales, zeroPoints, layout, blocks, row, tier);
                break;
            default:
                Decode<TCodes, Bits8>(codes, scales, zeroPoints, layout, blocks, row, tier);
                break;
        }
    }

    [SkipLocalsInit]
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Decode<TCodes, TBits>(ReadOnlySpan<byte> codes, ReadOnlySpan<byte> scales, ReadOnlySpan<byte> zeroPoints, in IntBlockLayout layout, int blocks, Span<float> row, SimdTier tier)
        where TCodes : struct, ICodeLayout
        where TBits : struct, IBits
    {
        Span<float> factors = stackalloc float[Chunk];
        Span<float> zeros = stackalloc float[Chunk];
        zeros.Fill(layout.Offset);
        int scaleBytes = ScaleType.Bytes(layout.Scale);
        int blobBytes = TCodes.BlobBytes(layout.Block, TBits.Count);
        for (int first = 0; first < blocks; first += Chunk)
        {
            int count = Math.Min(Chunk, blocks - first);
            ScaleType.Read(scales[(first * scaleBytes)..], layout.Scale, factors[..count], tier);
            if (layout.FloatZero)
            {
                ScaleType.Read(zeroPoints[(first * scaleBytes)..], layout.Scale, zeros[..count], tier);
            }
            else if (!layout.Symmetric)
            {
                for (int b = 0; b < count; b++)
                {
                    zeros[b] = CodePacking.Get(zeroPoints, first + b, TBits.Count);
                }
            }

            // Bounds were fixed by the caller: blocks x block values, blocks x blob bytes and what is read beyond.
            Decode<TCodes, TBits>(
                ref Unsafe.Add(ref MemoryMarshal.GetReference(codes), (nint)first * blobBytes),
                factors[..count],
                zeros[..count],
                layout.Block,
                ref Unsafe.Add(ref MemoryMarshal.GetReference(row), (nint)first * layout.Block));
        }
    }

    /// <summary>Consecutive blocks: groups of 16 codes, one per byte, then per 32-bit lane; of bit planes two groups at once where registers are wide enough.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Decode<TCodes, TBits>(ref byte blob, ReadOnlySpan<float> factors, ReadOnlySpan<float> zeros, int block, ref float to)
        where TCodes : struct, ICodeLayout
        where TBits : struct, IBits
    {
        int blobBytes = TCodes.BlobBytes(block, TBits.Count);
        nint planeBytes = blobBytes / TBits.Count;
        bool pairs = typeof(TCodes) == typeof(PlaneCodes) && typeof(TLanes) != typeof(Lanes128) && Avx2.IsSupported;
        for (int b = 0; b < factors.Length; b++)
        {
            TLanes scale = TLanes.Create(factors[b]);
            TLanes zero = TLanes.Create(zeros[b]);
            nint i = 0;
            if (pairs)
            {
                for (; i + 32 <= block; i += 32)
                {
                    Vector256<byte> codes = PlaneCodes.Load32<TBits>(ref blob, i, planeBytes);
                    Store(codes.GetLower(), zero, scale, ref Unsafe.Add(ref to, i));
                    Store(codes.GetUpper(), zero, scale, ref Unsafe.Add(ref to, i + 16));
                }
            }

            for (; i < block; i += 16)
            {
                Store(TCodes.Load16<TBits>(ref blob, i, planeBytes), zero, scale, ref Unsafe.Add(ref to, i));
            }

            blob = ref Unsafe.Add(ref blob, blobBytes);
            to = ref Unsafe.Add(ref to, block);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Store(Vector128<byte> codes, TLanes zero, TLanes scale, ref float to) =>
        TLanes.Store(TLanes.Multiply(TLanes.Subtract(TLanes.IntToFloat(TLanes.FromBytes(codes)), zero), scale), ref to);
}
