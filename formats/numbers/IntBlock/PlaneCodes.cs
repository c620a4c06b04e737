using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace ModelPack.Numbers;

/// <summary>
/// Bit planes: plane p holds bit p of every code. Every plane's word is copied to all bytes, of which each keeps the bit that is its own; bytes where it is set are -1, and doubling
/// the sum of the planes above before subtracting that makes the code, highest plane first.
/// </summary>
internal readonly struct PlaneCodes : ICodeLayout
{
    private const ulong Diagonal = 0x8040201008040201;

    public static int BlobBytes(int block, int bits) => (int)BitPlanes.BlobBytes(block, bits);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<byte> Load16<TBits>(ref byte blob, nint first, nint planeBytes)
        where TBits : struct, IBits
    {
        ref byte plane = ref Unsafe.Add(ref blob, first >> 3);
        Vector128<byte> codes = default;
        if (TBits.Count > 7)
        {
            codes = Add16(codes, ref Unsafe.Add(ref plane, 7 * planeBytes));
        }

        if (TBits.Count > 6)
        {
            codes = Add16(codes, ref Unsafe.Add(ref plane, 6 * planeBytes));
        }

        if (TBits.Count > 5)
        {
            codes = Add16(codes, ref Unsafe.Add(ref plane, 5 * planeBytes));
        }

        if (TBits.Count > 4)
        {
            codes = Add16(codes, ref Unsafe.Add(ref plane, 4 * planeBytes));
        }

        if (TBits.Count > 3)
        {
            codes = Add16(codes, ref Unsafe.Add(ref plane, 3 * planeBytes));
        }

        if (TBits.Count > 2)
        {
            codes = Add16(codes, ref Unsafe.Add(ref plane, 2 * planeBytes));
        }

        return Add16(Add16(codes, ref Unsafe.Add(ref plane, planeBytes)), ref plane);
    }

    /// <summary>As <see cref="Load16"/> for 32 codes, whose bits of a plane are one 32-bit word. Needs AVX2.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<byte> Load32<TBits>(ref byte blob, nint first, nint planeBytes)
        where TBits : struct, IBits
    {
        ref byte plane = ref Unsafe.Add(ref blob, first >> 3);
        Vector256<byte> codes = default;
        if (TBits.Count > 7)
        {
            codes = Add32(codes, ref Unsafe.Add(ref plane, 7 * planeBytes));
        }

        if (TBits.Count > 6)
        {
            codes = Add32(codes, ref Unsafe.Add(ref plane, 6 * planeBytes));
        }

        if (TBits.Count > 5)
        {
            codes = Add32(codes, ref Unsafe.Add(ref plane, 5 * planeBytes));
        }

        if (TBits.Count > 4)
        {
            codes = Add32(codes, ref Unsafe.Add(ref plane, 4 * planeBytes));
        }

        if (TBits.Count > 3)
        {
            codes = Add32(codes, ref Unsafe.Add(ref plane, 3 * planeBytes));
        }

        if (TBits.Count > 2)
        {
            codes = Add32(codes, ref Unsafe.Add(ref plane, 2 * planeBytes));
        }

        return Add32(Add32(codes, ref Unsafe.Add(ref plane, planeBytes)), ref plane);
    }

    /// <summary>Of every plane the bit wanted becomes the highest of its byte; what crosses from byte to byte stays below it.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store16<TBits>(Vector128<byte> codes, ref byte blob, nint first, nint planeBytes)
        where TBits : struct, IBits
    {
        ref byte plane = ref Unsafe.Add(ref blob, first >> 3);
        Vector128<ushort> words = codes.AsUInt16();
        for (int p = 0; p < TBits.Count; p++)
        {
            Unsafe.WriteUnaligned(ref plane, (ushort)(words << (7 - p)).AsByte().ExtractMostSignificantBits());
            plane = ref Unsafe.Add(ref plane, planeBytes);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<byte> Add16(Vector128<byte> higher, ref byte plane)
    {
        Vector128<byte> word = Vector128.Create(Unsafe.ReadUnaligned<ushort>(ref plane)).AsByte();
        Vector128<byte> bit = Vector128.Create(Diagonal).AsByte();
        Vector128<byte> spread = Vector128.Shuffle(word, Vector128.Create((byte)0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1));
        return higher + higher - Vector128.Equals(spread & bit, bit);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<byte> Add32(Vector256<byte> higher, ref byte plane)
    {
        // Shuffles stay within 128 bits; each half has the whole word.
        Vector256<byte> word = Vector256.Create(Unsafe.ReadUnaligned<uint>(ref plane)).AsByte();
        Vector256<byte> bit = Vector256.Create(Diagonal).AsByte();
        Vector256<byte> order = Vector256.Create((byte)0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3);
        return higher + higher - Vector256.Equals(Avx2.Shuffle(word, order) & bit, bit);
    }
}
