using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace ModelPack.Codecs;

/// <summary>The loops of <see cref="PlaneKernel"/> that merge 2 and 4-byte elements in vectors of 512 bits. Each returns the elements done.</summary>
internal static class PlaneKernel512
{
    public static bool IsSupported => Avx512BW.IsSupported;

    /// <summary>32 elements: bytes widen to u16, high &lt;&lt; 8 | low, the sign moves up.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static int Merge2(ReadOnlySpan<byte> p0, ReadOnlySpan<byte> p1, SignMove move, int elements, Span<byte> raw)
    {
        ref byte a = ref MemoryMarshal.GetReference(p0);
        ref byte b = ref MemoryMarshal.GetReference(p1);
        ref ushort o = ref MemoryMarshal.GetReference(MemoryMarshal.Cast<byte, ushort>(raw));
        int i = 0;
        for (; i <= elements - 32; i += 32)
        {
            Vector512<ushort> low = Avx512BW.ConvertToVector512UInt16(Vector256.LoadUnsafe(ref a, (nuint)i));
            Vector512<ushort> high = Avx512BW.ConvertToVector512UInt16(Vector256.LoadUnsafe(ref b, (nuint)i));
            move.Up((high << 8) | low).StoreUnsafe(ref o, (nuint)i);
        }

        return i;
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
}
