using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace ModelPack.Codecs;

/// <summary>Moves between symbols and the highest one or two bytes of elements, and between those bytes and elements of a byte or less. Nothing here can fail.</summary>
internal static unsafe class TopKernel
{
    /// <summary>symbols[i] = bytes[i] >> bits</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void ShiftDown(byte* bytes, int bits, int count, byte* symbols)
    {
        int i = 0;
        for (; i <= count - 64; i += 64)
        {
            (Vector512.Load(bytes + i) >>> bits).Store(symbols + i);
        }

        for (; i < count; i++)
        {
            symbols[i] = (byte)(bytes[i] >> bits);
        }
    }

    /// <summary>symbols[i] = ((high[i] &lt;&lt; 8 | low[i]) >> bits) - first, the lowest 8 bits</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void ShiftDown(byte* high, byte* low, int bits, int first, int count, byte* symbols)
    {
        int i = 0;
        Vector512<ushort> start = Vector512.Create((ushort)first);
        Vector512<ushort> mask = Vector512.Create((ushort)0xff);
        for (; i <= count - 64; i += 64)
        {
            (Vector512<ushort> h0, Vector512<ushort> h1) = Vector512.Widen(Vector512.Load(high + i));
            (Vector512<ushort> l0, Vector512<ushort> l1) = Vector512.Widen(Vector512.Load(low + i));
            Vector512.Narrow(((((h0 << 8) | l0) >>> bits) - start) & mask, ((((h1 << 8) | l1) >>> bits) - start) & mask).Store(symbols + i);
        }

        for (; i < count; i++)
        {
            symbols[i] = (byte)((((high[i] << 8) | low[i]) >> bits) - first);
        }
    }

    /// <summary>high[i] = (symbols[i] + first &lt;&lt; bits) >> 8, the lowest 8 bits; low[i] = symbols[i] + first. 64 more than <paramref name="count"/> may be read and written.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void AddFirst(byte* symbols, int first, int bits, int count, byte* high, byte* low)
    {
        Vector512<ushort> start = Vector512.Create((ushort)first);
        Vector512<byte> startLow = Vector512.Create((byte)first);
        for (int i = 0; i < count; i += 64)
        {
            Vector512<byte> s = Vector512.Load(symbols + i);
            (Vector512<ushort> s0, Vector512<ushort> s1) = Vector512.Widen(s);
            Vector512.Narrow(((s0 + start) << bits) >>> 8, ((s1 + start) << bits) >>> 8).Store(high + i);
            (s + startLow).Store(low + i);
        }
    }

    /// <summary>values[i] = values[i] &lt;&lt; bits | low[i], where low[i] is below 2^bits</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void PutBelow(byte* low, int bits, int count, byte* values)
    {
        int i = 0;
        for (; i <= count - 64; i += 64)
        {
            ((Vector512.Load(values + i) << bits) | Vector512.Load(low + i)).Store(values + i);
        }

        for (; i < count; i++)
        {
            values[i] = (byte)((values[i] << bits) | low[i]);
        }
    }

    /// <summary>Keeps the lowest bits of every byte.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void KeepLow(byte* values, int bits, int count)
    {
        int i = 0;
        var mask = (byte)((1 << bits) - 1);
        for (; i <= count - 64; i += 64)
        {
            (Vector512.Load(values + i) & Vector512.Create(mask)).Store(values + i);
        }

        for (; i < count; i++)
        {
            values[i] &= mask;
        }
    }

    /// <summary>Bytes to zig-zag: d = x - center as a signed number, y = 2 d or, below 0, -2 d - 1.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void ToZigZag(byte* bytes, byte center, int count, byte* zigZag)
    {
        int i = 0;
        Vector512<byte> c = Vector512.Create(center);
        for (; i <= count - 64; i += 64)
        {
            Vector512<byte> d = Vector512.Load(bytes + i) - c;
            ((d + d) ^ Vector512.LessThan(d.AsSByte(), Vector512<sbyte>.Zero).AsByte()).Store(zigZag + i);
        }

        for (; i < count; i++)
        {
            int d = (sbyte)(bytes[i] - center);
            zigZag[i] = (byte)((d << 1) ^ (d >> 7));
        }
    }

    /// <summary>The inverse of <see cref="ToZigZag"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void FromZigZag(byte* zigZag, byte center, int count, byte* bytes)
    {
        int i = 0;
        for (; i <= count - 64; i += 64)
        {
            FromZigZag(Vector512.Load(zigZag + i), center).Store(bytes + i);
        }

        for (; i < count; i++)
        {
            bytes[i] = (byte)(((zigZag[i] >> 1) ^ -(zigZag[i] & 1)) + center);
        }
    }

    /// <summary>The same for 64 bytes.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<byte> FromZigZag(Vector512<byte> zigZag, byte center) =>
        ((zigZag >>> 1) ^ (Vector512<byte>.Zero - (zigZag & Vector512<byte>.One))) + Vector512.Create(center);

    /// <summary><see cref="SignMove.Down(ulong)"/> of every byte.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void SignDown(byte* bytes, SignMove move, int count, byte* moved)
    {
        int i = 0;
        for (; i <= count - 64; i += 64)
        {
            move.Down(Vector512.Load(bytes + i)).Store(moved + i);
        }

        for (; i < count; i++)
        {
            moved[i] = (byte)move.Down(bytes[i]);
        }
    }

    /// <summary><see cref="SignMove.Up(ulong)"/> of every byte.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void SignUp(byte* moved, SignMove move, int count, byte* bytes)
    {
        int i = 0;
        for (; i <= count - 64; i += 64)
        {
            move.Up(Vector512.Load(moved + i)).Store(bytes + i);
        }

        for (; i < count; i++)
        {
            bytes[i] = (byte)move.Up(moved[i]);
        }
    }

    /// <summary>Bytes to halves, the lower first.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void ToNibbles(byte* bytes, int count, byte* nibbles)
    {
        int i = 0;
        Vector512<ushort> mask = Vector512.Create((ushort)0x0f0f);
        for (; i <= count - 64; i += 64)
        {
            (Vector512<ushort> b0, Vector512<ushort> b1) = Vector512.Widen(Vector512.Load(bytes + i));
            ((b0 | (b0 << 4)) & mask).AsByte().Store(nibbles + (2 * i));
            ((b1 | (b1 << 4)) & mask).AsByte().Store(nibbles + (2 * i) + 64);
        }

        for (; i < count; i++)
        {
            nibbles[2 * i] = (byte)(bytes[i] & 0xf);
            nibbles[(2 * i) + 1] = (byte)(bytes[i] >> 4);
        }
    }

    /// <summary>The inverse of <see cref="ToNibbles"/>: <paramref name="count"/> bytes; the upper halves of nibbles are ignored.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void FromNibbles(byte* nibbles, int count, byte* bytes)
    {
        int i = 0;
        Vector512<ushort> low = Vector512.Create((ushort)0x0f);
        Vector512<ushort> high = Vector512.Create((ushort)0xf0);
        for (; i <= count - 64; i += 64)
        {
            Vector512<ushort> n0 = Vector512.Load(nibbles + (2 * i)).AsUInt16();
            Vector512<ushort> n1 = Vector512.Load(nibbles + (2 * i) + 64).AsUInt16();
            Vector512.Narrow((n0 & low) | ((n0 >>> 4) & high), (n1 & low) | ((n1 >>> 4) & high)).Store(bytes + i);
        }

        for (; i < count; i++)
        {
            bytes[i] = (byte)((nibbles[2 * i] & 0xf) | (nibbles[(2 * i) + 1] << 4));
        }
    }
}
