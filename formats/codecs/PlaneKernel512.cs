using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace ModelPack.Codecs;

/// <summary>The loops of <see cref="PlaneKernel"/> for 2 and 4-byte elements in vectors of 512 bits. Each returns the elements done.</summary>
internal static unsafe class PlaneKernel512
{
    public static bool IsSupported => Avx512BW.IsSupported;

    /// <summary>32 elements: the sign moves down, the lower bytes are taken, then the upper ones.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static int Split2(ReadOnlySpan<byte> raw, SignMove move, int elements, Span<byte> planes)
    {
        ref ushort source = ref MemoryMarshal.GetReference(MemoryMarshal.Cast<byte, ushort>(raw));
        ref byte p = ref MemoryMarshal.GetReference(planes);
        var stride = (nuint)elements;
        int i = 0;
        for (; i <= elements - 32; i += 32)
        {
            Vector512<ushort> x = move.Down(Vector512.LoadUnsafe(ref source, (nuint)i));
            Avx512BW.ConvertToVector256Byte(x).StoreUnsafe(ref p, (nuint)i);
            Avx512BW.ConvertToVector256Byte(x >>> 8).StoreUnsafe(ref p, stride + (nuint)i);
        }

        return i;
    }

    /// <summary>16 elements: the sign moves down, then byte after byte is taken.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static int Split4(ReadOnlySpan<byte> raw, SignMove move, int elements, Span<byte> planes)
    {
        ref uint source = ref MemoryMarshal.GetReference(MemoryMarshal.Cast<byte, uint>(raw));
        ref byte p = ref MemoryMarshal.GetReference(planes);
        var stride = (nuint)elements;
        int i = 0;
        for (; i <= elements - 16; i += 16)
        {
            Vector512<uint> x = move.Down(Vector512.LoadUnsafe(ref source, (nuint)i));
            Avx512F.ConvertToVector128Byte(x).StoreUnsafe(ref p, (nuint)i);
            Avx512F.ConvertToVector128Byte(x >>> 8).StoreUnsafe(ref p, stride + (nuint)i);
            Avx512F.ConvertToVector128Byte(x >>> 16).StoreUnsafe(ref p, (2 * stride) + (nuint)i);
            Avx512F.ConvertToVector128Byte(x >>> 24).StoreUnsafe(ref p, (3 * stride) + (nuint)i);
        }

        return i;
    }

    /// <summary>32 elements: bytes widen to u16, high &lt;&lt; 8 | low, the sign moves up.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static int Merge2(ReadOnlySpan<byte> p0, ReadOnlySpan<byte> p1, SignMove move, int elements, Span<byte> raw)
    {
        ref byte a = ref MemoryMarshal.GetReference(p0);
        ref byte b = ref MemoryMarshal.GetReference(p1);
        ref ushort o = ref MemoryMarshal.GetReference(MemoryMarshal.Cast<byte, ushort>(raw));
        int i = 0;
        if (move.SwapsHighestBits && Avx512Vbmi.IsSupported)
        {
            fixed (byte* low = p0, high = p1, target = raw)
            {
                for (; i <= elements - 64; i += 64)
                {
                    MergePairs(Vector512.Load(low + i), Vector512.Load(high + i), target + (2 * i));
                }
            }
        }

        for (; i <= elements - 32; i += 32)
        {
            Vector512<ushort> low = Avx512BW.ConvertToVector512UInt16(Vector256.LoadUnsafe(ref a, (nuint)i));
            Vector512<ushort> high = Avx512BW.ConvertToVector512UInt16(Vector256.LoadUnsafe(ref b, (nuint)i));
            move.Up((high << 8) | low).StoreUnsafe(ref o, (nuint)i);
        }

        return i;
    }

    /// <summary>64 elements of bf16: the planes exchange bit 7 and the high one moves down, both on whole planes of bytes; two permutes interleave.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void MergePairs(Vector512<byte> low, Vector512<byte> high, byte* raw)
    {
        var top = Vector512.Create((byte)0x80);
        Vector512<byte> newHigh = Vector512.ConditionalSelect(top, low, (high.AsUInt16() >>> 1).AsByte());
        Vector512<byte> newLow = Vector512.ConditionalSelect(top, (high.AsUInt16() << 7).AsByte(), low);
        Avx512Vbmi.PermuteVar64x8x2(newLow, Interleave(0), newHigh).Store(raw);
        Avx512Vbmi.PermuteVar64x8x2(newLow, Interleave(32), newHigh).Store(raw + 64);
    }

    /// <summary>16 elements: bytes widen to u32 and are joined, the sign moves up.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static int Merge4(ReadOnlySpan<byte> p0, ReadOnlySpan<byte> p1, ReadOnlySpan<byte> p2, ReadOnlySpan<byte> p3, SignMove move, int elements, Span<byte> raw)
    {
        ref byte a = ref MemoryMarshal.GetReference(p0);
        ref byte b = ref MemoryMarshal.GetReference(p1);
        ref byte c = ref MemoryMarshal.GetReference(p2);
        ref byte d = ref MemoryMarshal.GetReference(p3);
        ref uint o = ref MemoryMarshal.GetReference(MemoryMarshal.Cast<byte, uint>(raw));
        int i = 0;
        for (; i <= elements - 16; i += 16)
        {
            Vector512<uint> x = Avx512F.ConvertToVector512UInt32(Vector128.LoadUnsafe(ref a, (nuint)i));
            x |= Avx512F.ConvertToVector512UInt32(Vector128.LoadUnsafe(ref b, (nuint)i)) << 8;
            x |= Avx512F.ConvertToVector512UInt32(Vector128.LoadUnsafe(ref c, (nuint)i)) << 16;
            x |= Avx512F.ConvertToVector512UInt32(Vector128.LoadUnsafe(ref d, (nuint)i)) << 24;
            move.Up(x).StoreUnsafe(ref o, (nuint)i);
        }

        return i;
    }

    /// <summary>Byte <paramref name="start"/> of the first operand, the same of the second, the next of the first, and so on.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<byte> Interleave(int start)
    {
        Vector512<ushort> index = Vector512<ushort>.Indices + Vector512.Create((ushort)start);
        return (index | ((index + Vector512.Create((ushort)64)) << 8)).AsByte();
    }
}
