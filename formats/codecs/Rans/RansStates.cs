using System.Buffers.Binary;
using System.Numerics;
using System.Runtime.CompilerServices;

namespace ModelPack.Codecs;

/// <summary>
/// How states are written: a nibble for the position of the highest set bit, then the bits below it. And what they carry: the encoder may begin with 15 bits of other data in every state instead of zeros, which
/// the decoder finds in its last states.
/// </summary>
internal static unsafe class RansStates
{
    /// <summary>Bytes of other data that the states can carry.</summary>
    public const int TailBytes = RansFormat.States * FreeBits / 8;

    /// <summary>Most bytes of written states.</summary>
    public const int MaxBytes = NibbleBytes + (RansFormat.States * (FreeBits + 15) / 8);

    private const int NibbleBytes = RansFormat.States / 2;

    /// <summary>Bits of a state below its lower bound.</summary>
    private const int FreeBits = 15;

    /// <summary>The states that an encoder begins with.</summary>
    /// <param name="tail">Nothing, or <see cref="TailBytes"/> bytes.</param>
    /// <param name="states">128 states.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Begin(ReadOnlySpan<byte> tail, uint* states)
    {
        for (int s = 0; s < RansFormat.States; s++)
        {
            states[s] = RansFormat.LowerBound | (tail.IsEmpty ? 0 : Bits(tail, s * FreeBits, FreeBits));
        }
    }

    /// <summary>Checks the states that a decoder ends with and takes out what they carry.</summary>
    /// <param name="states">128 states.</param>
    /// <param name="tail">Nothing, or room for <see cref="TailBytes"/> bytes.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static bool TryEnd(uint* states, Span<byte> tail)
    {
        tail.Clear();
        uint differs = 0;
        for (int s = 0; s < RansFormat.States; s++)
        {
            differs |= tail.IsEmpty ? states[s] ^ RansFormat.LowerBound : (states[s] >> FreeBits) ^ 1;
            if (!tail.IsEmpty)
            {
                Put(tail, s * FreeBits, states[s] & (RansFormat.LowerBound - 1));
            }
        }

        return differs == 0;
    }

    /// <summary>Writes states into at least <see cref="MaxBytes"/> bytes.</summary>
    /// <returns>Bytes written.</returns>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static int Write(uint* states, Span<byte> destination)
    {
        destination[..MaxBytes].Clear();
        int bit = 8 * NibbleBytes;
        for (int s = 0; s < RansFormat.States; s++)
        {
            int bits = BitOperations.Log2(states[s]);
            destination[s >> 1] |= (byte)((bits - FreeBits) << (4 * (s & 1)));
            Put(destination, bit, states[s] ^ (1u << bits));
            bit += bits;
        }

        return (bit + 7) / 8;
    }

    /// <summary>Reads states; false when they are cut off or unused bits are set.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static bool TryRead(ReadOnlySpan<byte> source, uint* states, out int read)
    {
        read = 0;
        if (source.Length < NibbleBytes)
        {
            return false;
        }

        int bit = 8 * NibbleBytes;
        for (int s = 0; s < RansFormat.States; s++)
        {
            int bits = FreeBits + ((source[s >> 1] >> (4 * (s & 1))) & 0xf);
            if (bit + bits > 8 * source.Length)
            {
                return false;
            }

            states[s] = (1u << bits) | Bits(source, bit, bits);
            bit += bits;
        }

        read = (bit + 7) / 8;
        return (bit & 7) == 0 || source[read - 1] >> (bit & 7) == 0;
    }

    /// <summary>Up to 30 bits, the lowest first.</summary>
    private static uint Bits(ReadOnlySpan<byte> bytes, int bit, int count)
    {
        ulong x = 0;
        ReadOnlySpan<byte> here = bytes[(bit >> 3)..];
        if (here.Length >= sizeof(ulong))
        {
            x = BinaryPrimitives.ReadUInt64LittleEndian(here);
        }
        else
        {
            for (int i = 0; i < here.Length; i++)
            {
                x |= (ulong)here[i] << (8 * i);
            }
        }

        return (uint)(x >> (bit & 7)) & ((1u << count) - 1);
    }

    private static void Put(Span<byte> bytes, int bit, uint value)
    {
        ulong x = (ulong)value << (bit & 7);
        Span<byte> here = bytes[(bit >> 3)..];
        if (here.Length >= sizeof(ulong))
        {
            BinaryPrimitives.WriteUInt64LittleEndian(here, BinaryPrimitives.ReadUInt64LittleEndian(here) | x);
            return;
        }

        for (int i = 0; x != 0; i++, x >>= 8)
        {
            here[i] |= (byte)x;
        }
    }
}
