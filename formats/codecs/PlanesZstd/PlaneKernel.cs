using System.Numerics;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace ModelPack.Codecs;

/// <summary>
/// Splits elements of 2, 4 or 8 bytes into byte planes and puts them together again. Plane p holds byte p (0 = least significant) of every
/// element. With <c>rotate</c> every element is first rotated left by one bit, which moves the sign to the lowest bit and, for bf16 and f32, makes the highest
/// byte exactly the exponent. Lengths are checked by the caller: element bytes = width x elements, planes = width x elements.
/// </summary>
internal static class PlaneKernel
{
    /// <summary>Elements to planes. Plane p starts at p x <paramref name="elements"/> of <paramref name="planes"/>.</summary>
    public static void Split(ReadOnlySpan<byte> raw, int width, bool rotate, int elements, Span<byte> planes)
    {
        int done = 0;
        if (Vector128.IsHardwareAccelerated && width == 2)
        {
            done = Split2(raw, rotate, elements, planes);
        }
        else if (Vector128.IsHardwareAccelerated && width == 4)
        {
            done = Split4(raw, rotate, elements, planes);
        }

        SplitScalar(raw, width, rotate, elements, planes, done);
    }

    /// <summary>Planes to 2-byte elements; the inverse of <see cref="Split"/>, over planes that may lie anywhere.</summary>
    public static void Merge2(ReadOnlySpan<byte> p0, ReadOnlySpan<byte> p1, bool rotate, int elements, Span<byte> raw)
    {
        int i = 0;
        if (Vector128.IsHardwareAccelerated)
        {
            // 16 elements: two byte vectors widen to four u16 vectors, high << 8 | low, then rotate right by one.
            ref byte a = ref MemoryMarshal.GetReference(p0);
            ref byte b = ref MemoryMarshal.GetReference(p1);
            ref ushort o = ref MemoryMarshal.GetReference(MemoryMarshal.Cast<byte, ushort>(raw));
            for (; i <= elements - 16; i += 16)
            {
                (Vector128<ushort> l0, Vector128<ushort> l1) = Vector128.Widen(Vector128.LoadUnsafe(ref a, (nuint)i));
                (Vector128<ushort> h0, Vector128<ushort> h1) = Vector128.Widen(Vector128.LoadUnsafe(ref b, (nuint)i));
                Vector128<ushort> x0 = (h0 << 8) | l0;
                Vector128<ushort> x1 = (h1 << 8) | l1;
                if (rotate)
                {
                    x0 = (x0 >>> 1) | (x0 << 15);
                    x1 = (x1 >>> 1) | (x1 << 15);
                }

                x0.StoreUnsafe(ref o, (nuint)i);
                x1.StoreUnsafe(ref o, (nuint)(i + 8));
            }
        }

        Span<ushort> target = MemoryMarshal.Cast<byte, ushort>(raw);
        for (; i < elements; i++)
        {
            var x = (ushort)((p1[i] << 8) | p0[i]);
            target[i] = rotate ? (ushort)((x >>> 1) | (x << 15)) : x;
        }
    }

    /// <summary>As <see cref="Merge2"/> for 4-byte elements.</summary>
    public static void Merge4(ReadOnlySpan<byte> p0, ReadOnlySpan<byte> p1, ReadOnlySpan<byte> p2, ReadOnlySpan<byte> p3, bool rotate, int elements, Span<byte> raw)
    {
        int i = 0;
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
                StoreHalves((b0 << 8) | a0, (d0 << 8) | c0, rotate, ref o, i);
                StoreHalves((b1 << 8) | a1, (d1 << 8) | c1, rotate, ref o, i + 8);
            }
        }

        Span<uint> target = MemoryMarshal.Cast<byte, uint>(raw);
        for (; i < elements; i++)
        {
            uint x = p0[i] | ((uint)p1[i] << 8) | ((uint)p2[i] << 16) | ((uint)p3[i] << 24);
            target[i] = rotate ? BitOperations.RotateRight(x, 1) : x;
        }
    }

    /// <summary>As <see cref="Merge2"/> for 8-byte elements, from planes that follow each other.</summary>
    public static void Merge8(ReadOnlySpan<byte> planes, bool rotate, int elements, Span<byte> raw)
    {
        Span<ulong> target = MemoryMarshal.Cast<byte, ulong>(raw);
        for (int i = 0; i < elements; i++)
        {
            ulong x = 0;
            for (int p = 0; p < 8; p++)
            {
                x |= (ulong)planes[(p * elements) + i] << (8 * p);
            }

            target[i] = rotate ? BitOperations.RotateRight(x, 1) : x;
        }
    }

    /// <summary>The reference for every width, and the tail of the fast loops.</summary>
    internal static void SplitScalar(ReadOnlySpan<byte> raw, int width, bool rotate, int elements, Span<byte> planes, int start)
    {
        int bits = width * 8;
        for (int i = start; i < elements; i++)
        {
            ulong x = 0;
            for (int p = 0; p < width; p++)
            {
                x |= (ulong)raw[(i * width) + p] << (8 * p);
            }

            x = rotate ? (x << 1) | (x >>> (bits - 1)) : x;
            for (int p = 0; p < width; p++)
            {
                planes[(p * elements) + i] = (byte)(x >>> (8 * p));
            }
        }
    }

    private static void StoreHalves(Vector128<ushort> low, Vector128<ushort> high, bool rotate, ref uint target, int index)
    {
        (Vector128<uint> l0, Vector128<uint> l1) = Vector128.Widen(low);
        (Vector128<uint> h0, Vector128<uint> h1) = Vector128.Widen(high);
        Vector128<uint> x0 = (h0 << 16) | l0;
        Vector128<uint> x1 = (h1 << 16) | l1;
        if (rotate)
        {
            x0 = (x0 >>> 1) | (x0 << 31);
            x1 = (x1 >>> 1) | (x1 << 31);
        }

        x0.StoreUnsafe(ref target, (nuint)index);
        x1.StoreUnsafe(ref target, (nuint)(index + 4));
    }

    private static int Split2(ReadOnlySpan<byte> raw, bool rotate, int elements, Span<byte> planes)
    {
        ref ushort source = ref MemoryMarshal.GetReference(MemoryMarshal.Cast<byte, ushort>(raw));
        ref byte low = ref MemoryMarshal.GetReference(planes);
        ref byte high = ref MemoryMarshal.GetReference(planes[elements..]);
        int i = 0;
        for (; i <= elements - 16; i += 16)
        {
            Vector128<ushort> x0 = Vector128.LoadUnsafe(ref source, (nuint)i);
            Vector128<ushort> x1 = Vector128.LoadUnsafe(ref source, (nuint)(i + 8));
            if (rotate)
            {
                x0 = (x0 << 1) | (x0 >>> 15);
                x1 = (x1 << 1) | (x1 >>> 15);
            }

            Vector128.Narrow(x0, x1).StoreUnsafe(ref low, (nuint)i);
            Vector128.Narrow(x0 >>> 8, x1 >>> 8).StoreUnsafe(ref high, (nuint)i);
        }

        return i;
    }

    private static int Split4(ReadOnlySpan<byte> raw, bool rotate, int elements, Span<byte> planes)
    {
        ref uint source = ref MemoryMarshal.GetReference(MemoryMarshal.Cast<byte, uint>(raw));
        ref byte p = ref MemoryMarshal.GetReference(planes);
        var stride = (nuint)elements;
        int i = 0;
        for (; i <= elements - 16; i += 16)
        {
            Vector128<uint> x0 = Load(ref source, i, rotate);
            Vector128<uint> x1 = Load(ref source, i + 4, rotate);
            Vector128<uint> x2 = Load(ref source, i + 8, rotate);
            Vector128<uint> x3 = Load(ref source, i + 12, rotate);
            Vector128<ushort> lowA = Vector128.Narrow(x0, x1);
            Vector128<ushort> lowB = Vector128.Narrow(x2, x3);
            Vector128<ushort> highA = Vector128.Narrow(x0 >>> 16, x1 >>> 16);
            Vector128<ushort> highB = Vector128.Narrow(x2 >>> 16, x3 >>> 16);
            Vector128.Narrow(lowA, lowB).StoreUnsafe(ref p, (nuint)i);
            Vector128.Narrow(lowA >>> 8, lowB >>> 8).StoreUnsafe(ref p, stride + (nuint)i);
            Vector128.Narrow(highA, highB).StoreUnsafe(ref p, (2 * stride) + (nuint)i);
            Vector128.Narrow(highA >>> 8, highB >>> 8).StoreUnsafe(ref p, (3 * stride) + (nuint)i);
        }

        return i;
    }

    private static Vector128<uint> Load(ref uint source, int index, bool rotate)
    {
        Vector128<uint> x = Vector128.LoadUnsafe(ref source, (nuint)index);
        return rotate ? (x << 1) | (x >>> 31) : x;
    }
}
