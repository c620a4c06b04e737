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

    /// <summary>Decodes the first blocks of a row and returns how many: 0 when the layout is not one of whole groups.</summary>
    public static int DecodeRow(ReadOnlySpan<byte> codes, ReadOnlySpan<byte> scales, ReadOnlySpan<byte> zeroPoints, in IntBlockLayout layout, Span<float> row, SimdTier tier)
    {
        bool bytewise = layout.Bits is 4 or 8;
        int blocks = layout.Block % 16 == 0 && (bytewise || Bmi2.X64.IsSupported) ? row.Length / layout.Block : 0;
        if (!bytewise)
        {
            blocks = Math.Min(blocks, Math.Max(codes.Length - Overread, 0) / layout.BlobBytes);
        }

        if (blocks > 0)
        {
            switch (layout.Bits)
            {
                case 2:
                    Decode<Bits2>(codes, scales, zeroPoints, layout, blocks, row, tier);
                    break;
                case 3:
                    Decode<Bits3>(codes, scales, zeroPoints, layout, blocks, row, tier);
                    break;
                case 4:
                    Decode<Bits4>(codes, scales, zeroPoints, layout, blocks, row, tier);
                    break;
                case 5:
                    Decode<Bits5>(codes, scales, zeroPoints, layout, blocks, row, tier);
                    break;
                case 6:
                    Decode<Bits6>(codes, scales, zeroPoints, layout, blocks, row, tier);
                    break;
                case 7:
                    Decode<Bits7>(codes, scales, zeroPoints, layout, blocks, row, tier);
                    break;
                default:
                    Decode<Bits8>(codes, scales, zeroPoints, layout, blocks, row, tier);
                    break;
            }
        }

        return blocks;
    }

    [SkipLocalsInit]
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Decode<TBits>(ReadOnlySpan<byte> codes, ReadOnlySpan<byte> scales, ReadOnlySpan<byte> zeroPoints, in IntBlockLayout layout, int blocks, Span<float> row, SimdTier tier)
        where TBits : struct, IBits
    {
        Span<float> factors = stackalloc float[Chunk];
        Span<float> zeros = stackalloc float[Chunk];
        zeros.Fill(layout.Offset);
        int scaleBytes = ScaleType.Bytes(layout.Scale);
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
            Decode<TBits>(
                ref Unsafe.Add(ref MemoryMarshal.GetReference(codes), (nint)first * layout.BlobBytes),
                factors[..count],
                zeros[..count],
                layout.Block,
                ref Unsafe.Add(ref MemoryMarshal.GetReference(row), (nint)first * layout.Block));
        }
    }

    /// <summary>Consecutive blocks: groups of 16 codes, one per byte, then per 32-bit lane; 2 x bits bytes per group.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Decode<TBits>(ref byte from, ReadOnlySpan<float> factors, ReadOnlySpan<float> zeros, int block, ref float to)
        where TBits : struct, IBits
    {
        for (int b = 0; b < factors.Length; b++)
        {
            TLanes scale = TLanes.Create(factors[b]);
            TLanes zero = TLanes.Create(zeros[b]);
            for (int i = 0; i < block; i += 16)
            {
                TLanes code = TLanes.IntToFloat(TLanes.FromBytes(Unpack<TBits>(ref from)));
                TLanes.Store(TLanes.Multiply(TLanes.Subtract(code, zero), scale), ref to);
                from = ref Unsafe.Add(ref from, 2 * TBits.Count);
                to = ref Unsafe.Add(ref to, 16);
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<byte> Unpack<TBits>(ref byte from)
        where TBits : struct, IBits
    {
        if (TBits.Count == 8)
        {
            return Vector128.LoadUnsafe(ref from);
        }

        if (TBits.Count == 4)
        {
            Vector128<ushort> bytes = Vector128.WidenLower(Vector128.CreateScalarUnsafe(Unsafe.ReadUnaligned<ulong>(ref from)).AsByte());
            return ((bytes | (bytes << 4)) & Vector128.Create((ushort)0x0F0F)).AsByte();
        }

        return TBits.Count == 2
            ? CodePacking.Unpack16Of2(Unsafe.ReadUnaligned<uint>(ref from))
            : CodePacking.Unpack16Wide(ref from, TBits.Count, CodePacking.Mask(TBits.Count));
    }
}
