using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace ModelPack.Numbers;

/// <summary>Groups of 16 codes of 1 to 8 bits to and from 2 x bits bytes, first code in the lowest bits.</summary>
internal static class CodePacking
{
    /// <summary>Packs 16 codes, one per byte, each below 2^bits, into exactly 2 x <paramref name="bits"/> bytes.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Pack16(Vector128<byte> codes, int bits, Span<byte> destination)
    {
        if (bits == 8)
        {
            codes.CopyTo(destination);
        }
        else if (bits == 4)
        {
            // Of every pair of bytes: low nibble of the first, low nibble of the second above it.
            Vector128<ushort> pairs = codes.AsUInt16();
            Vector128<byte> packed = Vector128.Narrow((pairs | (pairs >>> 4)) & Vector128.Create((ushort)0xFF), Vector128<ushort>.Zero);
            MemoryMarshal.Write(destination, packed.AsUInt64().ToScalar());
        }
        else
        {
            PackAny(codes.AsUInt64().ToScalar(), codes.AsUInt64().GetElement(1), bits, destination);
        }
    }

    /// <summary>As <see cref="Pack16"/>, without a check of the destination, of the low bits of every byte; widths other than 4 and 8 need BMI2.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store16<TBits>(Vector128<byte> codes, ref byte destination)
        where TBits : struct, IBits
    {
        if (TBits.Count == 8)
        {
            codes.StoreUnsafe(ref destination);
        }
        else if (TBits.Count != 4)
        {
            ulong low = Bmi2.X64.ParallelBitExtract(codes.AsUInt64().ToScalar(), Mask(TBits.Count));
            ulong high = Bmi2.X64.ParallelBitExtract(codes.AsUInt64().GetElement(1), Mask(TBits.Count));
            Write16<TBits>(low, high, ref destination);
        }
        else
        {
            Vector128<ushort> pairs = codes.AsUInt16();
            Vector128<byte> packed = Vector128.Narrow((pairs | (pairs >>> 4)) & Vector128.Create((ushort)0xFF), Vector128<ushort>.Zero);
            Unsafe.WriteUnaligned(ref destination, packed.AsUInt64().ToScalar());
        }
    }

    /// <summary>The inverse of <see cref="Pack16"/>; reads exactly 2 x <paramref name="bits"/> bytes.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<byte> Unpack16(ReadOnlySpan<byte> source, int bits)
    {
        if (bits == 8)
        {
            return Vector128.Create(source);
        }

        return bits == 4 ? Unpack16Of4(MemoryMarshal.Read<ulong>(source)) : UnpackAny(source, bits);
    }

    /// <summary>Sixteen codes of 4 bits, first in the lowest: every byte widened to 16 bits, then its high nibble put into the upper byte.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<byte> Unpack16Of4(ulong packed)
    {
        Vector128<ushort> bytes = Vector128.WidenLower(Vector128.CreateScalarUnsafe(packed).AsByte());
        return ((bytes | (bytes << 4)) & Vector128.Create((ushort)0x0F0F)).AsByte();
    }

    /// <summary>
    /// As <see cref="Unpack16"/> for any width by two bit deposits; reads 8 + <paramref name="bits"/> bytes, of which 2 x <paramref name="bits"/> count. Needs BMI2.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<byte> Unpack16Wide(ref readonly byte source, int bits, ulong mask)
    {
        ulong low = Unsafe.ReadUnaligned<ulong>(in source);
        ulong high = Unsafe.ReadUnaligned<ulong>(in Unsafe.Add(ref Unsafe.AsRef(in source), bits));
        return Vector128.Create(Bmi2.X64.ParallelBitDeposit(low, mask), Bmi2.X64.ParallelBitDeposit(high, mask)).AsByte();
    }

    /// <summary>Sixteen codes of 2 bits, first in the lowest.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<byte> Unpack16Of2(uint packed)
    {
        if (Bmi2.X64.IsSupported)
        {
            const ulong Mask = 0x0303030303030303;
            return Vector128.Create(Bmi2.X64.ParallelBitDeposit(packed, Mask), Bmi2.X64.ParallelBitDeposit(packed >> 16, Mask)).AsByte();
        }

        return Vector128.Create(Scatter(packed & 0xFFFF, 2), Scatter(packed >> 16, 2)).AsByte();
    }

    /// <summary>As <see cref="Pack16"/> for at most 4 bits: the bytes are the low ones of the result.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ulong Join16(Vector128<byte> codes, int bits)
    {
        if (bits == 4)
        {
            Vector128<ushort> pairs = codes.AsUInt16();
            return Vector128.Narrow((pairs | (pairs >>> 4)) & Vector128.Create((ushort)0xFF), Vector128<ushort>.Zero).AsUInt64().ToScalar();
        }

        return Gather(codes.AsUInt64().ToScalar(), bits) | (Gather(codes.AsUInt64().GetElement(1), bits) << (8 * bits));
    }

    /// <summary>Two words of 8 x bits bits as 2 x bits bytes, no more.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Write16<TBits>(ulong low, ulong high, ref byte destination)
        where TBits : struct, IBits
    {
        ulong first = low | (high << (8 * TBits.Count));
        if (TBits.Count == 2)
        {
            Unsafe.WriteUnaligned(ref destination, (uint)first);
        }
        else if (TBits.Count == 3)
        {
            Unsafe.WriteUnaligned(ref destination, (uint)first);
            Unsafe.WriteUnaligned(ref Unsafe.Add(ref destination, 4), (ushort)(first >> 32));
        }
        else
        {
            // The second store begins within the first, with the same bits where they meet.
            Unsafe.WriteUnaligned(ref destination, first);
            ref byte end = ref Unsafe.Add(ref destination, (2 * TBits.Count) - 8);
            Unsafe.WriteUnaligned(ref end, (high << (64 - (8 * TBits.Count))) | (low >> ((16 * TBits.Count) - 64)));
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void PackAny(ulong low, ulong high, int bits, Span<byte> destination)
    {
        if (Bmi2.X64.IsSupported && bits > 4)
        {
            PackWide(low, high, bits, ref MemoryMarshal.GetReference(destination[..(2 * bits)]));
        }
        else
        {
            PackSlowly(low, high, bits, destination);
        }
    }

    /// <summary>5 to 7 bits by two bit extractions and two stores; the second begins within the first, with the same bits where they meet.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void PackWide(ulong low, ulong high, int bits, ref byte destination)
    {
        ulong mask = Mask(bits);
        low = Bmi2.X64.ParallelBitExtract(low, mask);
        high = Bmi2.X64.ParallelBitExtract(high, mask);
        Unsafe.WriteUnaligned(ref destination, low | (high << (8 * bits)));
        Unsafe.WriteUnaligned(ref Unsafe.Add(ref destination, (2 * bits) - 8), (high << (64 - (8 * bits))) | (low >> ((16 * bits) - 64)));
    }

    private static void PackSlowly(ulong low, ulong high, int bits, Span<byte> destination)
    {
        UInt128 packed = Gather(low, bits) | ((UInt128)Gather(high, bits) << (8 * bits));
        MemoryMarshal.AsBytes(new ReadOnlySpan<UInt128>(in packed))[..(2 * bits)].CopyTo(destination);
    }

    private static Vector128<byte> UnpackAny(ReadOnlySpan<byte> source, int bits)
    {
        UInt128 packed = 0;
        source[..(2 * bits)].CopyTo(MemoryMarshal.AsBytes(new Span<UInt128>(ref packed)));
        return Vector128.Create(Scatter((ulong)packed, bits), Scatter((ulong)(packed >> (8 * bits)), bits)).AsByte();
    }

    /// <summary>The low <paramref name="bits"/> bits of eight bytes side by side.</summary>
    private static ulong Gather(ulong bytes, int bits)
    {
        if (Bmi2.X64.IsSupported)
        {
            return Bmi2.X64.ParallelBitExtract(bytes, Mask(bits));
        }

        ulong result = 0;
        for (int i = 0; i < 8; i++)
        {
            result |= ((bytes >> (8 * i)) & ((1ul << bits) - 1)) << (bits * i);
        }

        return result;
    }

    private static ulong Scatter(ulong packed, int bits)
    {
        if (Bmi2.X64.IsSupported)
        {
            return Bmi2.X64.ParallelBitDeposit(packed, Mask(bits));
        }

        ulong result = 0;
        for (int i = 0; i < 8; i++)
        {
            result |= ((packed >> (bits * i)) & ((1ul << bits) - 1)) << (8 * i);
        }

        return result;
    }

    /// <summary>The low <paramref name="bits"/> bits of every byte.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ulong Mask(int bits) => 0x0101010101010101 * ((1ul << bits) - 1);

    /// <summary>Sets code <paramref name="index"/> of a bit-packed row; its bits must still be zero.</summary>
    public static void Set(Span<byte> row, int index, int bits, int code)
    {
        long position = (long)index * bits;
        int at = (int)(position >> 3);
        int window = code << (int)(position & 7);
        row[at] |= (byte)window;
        if (window > 255)
        {
            row[at + 1] |= (byte)(window >> 8);
        }
    }

    /// <summary>Code <paramref name="index"/> of a bit-packed row.</summary>
    public static int Get(ReadOnlySpan<byte> row, int index, int bits)
    {
        long position = (long)index * bits;
        int at = (int)(position >> 3);
        int offset = (int)(position & 7);
        int window = row[at] | (offset + bits > 8 ? row[at + 1] << 8 : 0);
        return (window >> offset) & ((1 << bits) - 1);
    }
}
