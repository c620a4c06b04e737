using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace ModelPack.Codecs;

/// <summary>
/// Splits elements of 2, 4 or 8 bytes into byte planes and puts them together again. Plane p holds byte p (0 = least significant) of every
/// element, after a <see cref="SignMove"/> that makes the highest byte of floating-point words begin with the exponent. Lengths are checked by the caller: element
/// bytes = width x elements, planes = width x elements.
/// </summary>
internal static class PlaneKernel
{
    /// <summary>Elements to planes. Plane p starts at p x <paramref name="elements"/> of <paramref name="planes"/>.</summary>
    public static void Split(ReadOnlySpan<byte> raw, int width, SignMove move, int elements, Span<byte> planes)
    {
        int done = 0;
        if (Vector128.IsHardwareAccelerated && width == 2)
        {
            done = PlaneKernel512.IsSupported ? PlaneKernel512.Split2(raw, move, elements, planes) : Split2(raw, move, elements, planes);
        }
        else if (Vector128.IsHardwareAccelerated && width == 4)
        {
            done = PlaneKernel512.IsSupported ? PlaneKernel512.Split4(raw, move, elements, planes) : Split4(raw, move, elements, planes);
        }
        else if (Vector128.IsHardwareAccelerated && width == 8)
        {
            done = Split8(raw, move, elements, planes);
        }

        SplitScalar(raw, width, move, elements, planes, done);
    }

    /// <summary>The inverse of <see cref="Split"/>, over planes that follow each other.</summary>
    public static void Merge(ReadOnlySpan<byte> planes, int width, SignMove move, int elements, Span<byte> raw)
    {
        switch (width)
        {
            case 2:
                Merge2(planes[..elements], planes[elements..], move, elements, raw);
                break;
            case 4:
                Merge4(planes[..elements], planes[elements..], planes[(2 * elements)..], planes[(3 * elements)..], move, elements, raw);
                break;
            default:
                Merge8(planes, move, elements, raw);
                break;
        }
    }

    /// <summary>Planes to 2-byte elements; the inverse of <see cref="Split"/>, over planes that may lie anywhere.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Merge2(ReadOnlySpan<byte> p0, ReadOnlySpan<byte> p1, SignMove move, int elements, Span<byte> raw)
    {
        int i = PlaneKernel512.IsSupported ? PlaneKernel512.Merge2(p0, p1, move, elements, raw) : 0;
        if (Vector128.IsHardwareAccelerated)
        {
            // 16 elements: two byte vectors widen to four u16 vectors, high << 8 | low, then the sign moves up.
            ref byte a = ref MemoryMarshal.GetReference(p0);
            ref byte b = ref MemoryMarshal.GetReference(p1);
            ref ushort o = ref MemoryMarshal.GetReference(MemoryMarshal.Cast<byte, ushort>(raw));
            for (; i <= elements - 16; i += 16)
            {
                (Vector128<ushort> l0, Vector128<ushort> l1) = Vector128.Widen(Vector128.LoadUnsafe(ref a, (nuint)i));
                (Vector128<ushort> h0, Vector128<ushort> h1) = Vector128.Widen(Vector128.LoadUnsafe(ref b, (nuint)i));
                move.Up((h0 << 8) | l0).StoreUnsafe(ref o, (nuint)i);
                move.Up((h1 << 8) | l1).StoreUnsafe(ref o, (nuint)(i + 8));
            }
        }

        Span<ushort> target = MemoryMarshal.Cast<byte, ushort>(raw);
        for (; i < elements; i++)
        {
            target[i] = (ushort)move.Up((ulong)((p1[i] << 8) | p0[i]));
        }
    }

    /// <summary>As <see cref="Merge2"/> for 4-byte elements.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Merge4(ReadOnlySpan<byte> p0, ReadOnlySpan<byte> p1, ReadOnlySpan<byte> p2, ReadOnlySpan<byte> p3, SignMove move, int elements, Span<byte> raw)
    {
        int i = PlaneKernel512.IsSupported ? PlaneKernel512.Merge4(p0, p1, p2, p3, move, elements, raw) : 0;
        if (Vector128.IsHardwareAccelerated)
        {
            ref byte a = ref MemoryMarshal.GetReference(p0);
            ref byte b = ref MemoryMarshal.GetReference(p1);
            ref byte c = ref MemoryMarshal.GetReference(p2);
            ref byte d = ref MemoryMarshal.GetReference(p3);
            ref uint o = ref MemoryMarshal.GetReference(MemoryMarshal.Cast<byte, uint>(raw));
            for (; i <= elements - 16; i += 16)
            {
                (Vector128<ushort> a0, Vector128<ushort> a1) = Vector128.Widen(Vector128.LoadUnsafe(ref a, (nuint)i));
                (Vector128<ushort> b0, Vector128<ushort> b1) = Vector128.Widen(Vector128.LoadUnsafe(ref b, (nuint)i));
                (Vector128<ushort> c0, Vector128<ushort> c1) = Vector128.Widen(Vector128.LoadUnsafe(ref c, (nuint)i));
                (Vector128<ushort> d0, Vector128<ushort> d1) = Vector128.Widen(Vector128.LoadUnsafe(ref d, (nuint)i));
                StoreHalves((b0 << 8) | a0, (d0 << 8) | c0, move, ref o, i);
                StoreHalves((b1 << 8) | a1, (d1 << 8) | c1, move, ref o, i + 8);
            }
        }

        Span<uint> target = MemoryMarshal.Cast<byte, uint>(raw);
        for (; i < elements; i++)
        {
            target[i] = (uint)move.Up(p0[i] | ((uint)p1[i] << 8) | ((uint)p2[i] << 16) | ((uint)p3[i] << 24));
        }
    }

    /// <summary>As <see cref="Merge2"/> for 8-byte elements, from planes that follow each other.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Merge8(ReadOnlySpan<byte> planes, SignMove move, int elements, Span<byte> raw)
    {
        int i = 0;
        if (Vector128.IsHardwareAccelerated)
        {
            // 8 elements: pairs of planes join to u16, pairs of those to u32, the low and the high halves to u64.
            ref byte p = ref MemoryMarshal.GetReference(planes);
            ref ulong o = ref MemoryMarshal.GetReference(MemoryMarshal.Cast<byte, ulong>(raw));
            for (; i <= elements - 8; i += 8)
            {
                (Vector128<uint> low0, Vector128<uint> low1) = JoinFour(ref p, elements, i);
                (Vector128<uint> high0, Vector128<uint> high1) = JoinFour(ref Unsafe.Add(ref p, 4 * (nint)elements), elements, i);
                StoreHalves(low0, high0, move, ref o, i);
                StoreHalves(low1, high1, move, ref o, i + 4);
            }
        }

        Span<ulong> target = MemoryMarshal.Cast<byte, ulong>(raw);
        for (; i < elements; i++)
        {
            ulong x = 0;
            for (int p = 0; p < 8; p++)
            {
                x |= (ulong)planes[(p * elements) + i] << (8 * p);
            }

            target[i] = move.Up(x);
        }
    }

    /// <summary>The reference for every width, and the tail of the fast loops.</summary>
    internal static void SplitScalar(ReadOnlySpan<byte> raw, int width, SignMove move, int elements, Span<byte> planes, int start)
    {
        for (int i = start; i < elements; i++)
        {
            ulong x = 0;
            for (int p = 0; p < width; p++)
            {
                x |= (ulong)raw[(i * width) + p] << (8 * p);
            }

            x = move.Down(x);
            for (int p = 0; p < width; p++)
            {
                planes[(p * elements) + i] = (byte)(x >>> (8 * p));
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void StoreHalves(Vector128<ushort> low, Vector128<ushort> high, SignMove move, ref uint target, int index)
    {
        (Vector128<uint> l0, Vector128<uint> l1) = Vector128.Widen(low);
        (Vector128<uint> h0, Vector128<uint> h1) = Vector128.Widen(high);
        move.Up((h0 << 16) | l0).StoreUnsafe(ref target, (nuint)index);
        move.Up((h1 << 16) | l1).StoreUnsafe(ref target, (nuint)(index + 4));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void StoreHalves(Vector128<uint> low, Vector128<uint> high, SignMove move, ref ulong target, int index)
    {
        (Vector128<ulong> l0, Vector128<ulong> l1) = Vector128.Widen(low);
        (Vector128<ulong> h0, Vector128<ulong> h1) = Vector128.Widen(high);
        move.Up((h0 << 32) | l0).StoreUnsafe(ref target, (nuint)index);
        move.Up((h1 << 32) | l1).StoreUnsafe(ref target, (nuint)(index + 2));
    }

    /// <summary>Elements <paramref name="index"/> to index + 7 of four planes that follow each other, joined to u32.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static (Vector128<uint> First, Vector128<uint> Last) JoinFour(ref byte planes, int elements, int index)
    {
        Vector128<ushort> low = LoadEight(ref planes, index) | (LoadEight(ref planes, elements + (nint)index) << 8);
        Vector128<ushort> high = LoadEight(ref planes, (2 * (nint)elements) + index) | (LoadEight(ref planes, (3 * (nint)elements) + index) << 8);
        (Vector128<uint> l0, Vector128<uint> l1) = Vector128.Widen(low);
        (Vector128<uint> h0, Vector128<uint> h1) = Vector128.Widen(high);
        return ((h0 << 16) | l0, (h1 << 16) | l1);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<ushort> LoadEight(ref byte plane, nint index) =>
        Vector128.WidenLower(Vector128.CreateScalarUnsafe(Unsafe.ReadUnaligned<ulong>(ref Unsafe.Add(ref plane, index))).AsByte());

    private static int Split2(ReadOnlySpan<byte> raw, SignMove move, int elements, Span<byte> planes)
    {
        ref ushort source = ref MemoryMarshal.GetReference(MemoryMarshal.Cast<byte, ushort>(raw));
        ref byte low = ref MemoryMarshal.GetReference(planes);
        ref byte high = ref MemoryMarshal.GetReference(planes[elements..]);
        int i = 0;
        for (; i <= elements - 16; i += 16)
        {
            Vector128<ushort> x0 = move.Down(Vector128.LoadUnsafe(ref source, (nuint)i));
            Vector128<ushort> x1 = move.Down(Vector128.LoadUnsafe(ref source, (nuint)(i + 8)));
            Vector128.Narrow(x0, x1).StoreUnsafe(ref low, (nuint)i);
            Vector128.Narrow(x0 >>> 8, x1 >>> 8).StoreUnsafe(ref high, (nuint)i);
        }

        return i;
    }

    private static int Split4(ReadOnlySpan<byte> raw, SignMove move, int elements, Span<byte> planes)
    {
        ref uint source = ref MemoryMarshal.GetReference(MemoryMarshal.Cast<byte, uint>(raw));
        ref byte p = ref MemoryMarshal.GetReference(planes);
        var stride = (nuint)elements;
        int i = 0;
        for (; i <= elements - 16; i += 16)
        {
            Vector128<uint> x0 = move.Down(Vector128.LoadUnsafe(ref source, (nuint)i));
            Vector128<uint> x1 = move.Down(Vector128.LoadUnsafe(ref source, (nuint)(i + 4)));
            Vector128<uint> x2 = move.Down(Vector128.LoadUnsafe(ref source, (nuint)(i + 8)));
            Vector128<uint> x3 = move.Down(Vector128.LoadUnsafe(ref source, (nuint)(i + 12)));
            StoreQuarters(x0, x1, x2, x3, ref p, stride, (nuint)i);
        }

        return i;
    }

    private static int Split8(ReadOnlySpan<byte> raw, SignMove move, int elements, Span<byte> planes)
    {
        ref ulong source = ref MemoryMarshal.GetReference(MemoryMarshal.Cast<byte, ulong>(raw));
        ref byte p = ref MemoryMarshal.GetReference(planes);
        var stride = (nuint)elements;
        int i = 0;
        for (; i <= elements - 16; i += 16)
        {
            (Vector128<uint> l0, Vector128<uint> h0) = LoadHalves(ref source, i, move);
            (Vector128<uint> l1, Vector128<uint> h1) = LoadHalves(ref source, i + 4, move);
            (Vector128<uint> l2, Vector128<uint> h2) = LoadHalves(ref source, i + 8, move);
            (Vector128<uint> l3, Vector128<uint> h3) = LoadHalves(ref source, i + 12, move);
            StoreQuarters(l0, l1, l2, l3, ref p, stride, (nuint)i);
            StoreQuarters(h0, h1, h2, h3, ref p, stride, (4 * stride) + (nuint)i);
        }

        return i;
    }

    /// <summary>16 words to four planes.</summary>
    private static void StoreQuarters(Vector128<uint> x0, Vector128<uint> x1, Vector128<uint> x2, Vector128<uint> x3, ref byte planes, nuint stride, nuint index)
    {
        Vector128<ushort> lowA = Vector128.Narrow(x0, x1);
        Vector128<ushort> lowB = Vector128.Narrow(x2, x3);
        Vector128<ushort> highA = Vector128.Narrow(x0 >>> 16, x1 >>> 16);
        Vector128<ushort> highB = Vector128.Narrow(x2 >>> 16, x3 >>> 16);
        Vector128.Narrow(lowA, lowB).StoreUnsafe(ref planes, index);
        Vector128.Narrow(lowA >>> 8, lowB >>> 8).StoreUnsafe(ref planes, stride + index);
        Vector128.Narrow(highA, highB).StoreUnsafe(ref planes, (2 * stride) + index);
        Vector128.Narrow(highA >>> 8, highB >>> 8).StoreUnsafe(ref planes, (3 * stride) + index);
    }

    private static (Vector128<uint> Low, Vector128<uint> High) LoadHalves(ref ulong source, int index, SignMove move)
    {
        Vector128<ulong> x0 = move.Down(Vector128.LoadUnsafe(ref source, (nuint)index));
        Vector128<ulong> x1 = move.Down(Vector128.LoadUnsafe(ref source, (nuint)(index + 2)));
        return (Vector128.Narrow(x0, x1), Vector128.Narrow(x0 >>> 32, x1 >>> 32));
    }
}
