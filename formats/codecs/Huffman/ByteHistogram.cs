using System.Runtime.CompilerServices;

namespace ModelPack.Codecs;

/// <summary>Counts bytes; nothing here can fail.</summary>
internal static unsafe class ByteHistogram
{
    private const int Symbols = 256;
    private const int Tables = 8;

    /// <summary>Adds the number of occurrences of every byte value to <paramref name="counts"/> (256 of them).</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Add(ReadOnlySpan<byte> bytes, Span<uint> counts)
    {
        // Eight tables, one per byte of a 64-bit load: a run of one value would otherwise wait for its own last increment.
        // scalar: counts[b]++
        int i = 0;
        if (bytes.Length >= 4 * Symbols)
        {
            uint* tables = stackalloc uint[Tables * Symbols];
            new Span<uint>(tables, Tables * Symbols).Clear();
            fixed (byte* source = bytes)
            {
                byte* at = source;
                for (byte* last = source + bytes.Length - 8; at <= last; at += 8)
                {
                    ulong x = *(ulong*)at;
                    tables[(nuint)(byte)x]++;
                    (tables + Symbols)[(nuint)(byte)(x >> 8)]++;
                    (tables + (2 * Symbols))[(nuint)(byte)(x >> 16)]++;
                    (tables + (3 * Symbols))[(nuint)(byte)(x >> 24)]++;
                    (tables + (4 * Symbols))[(nuint)(byte)(x >> 32)]++;
                    (tables + (5 * Symbols))[(nuint)(byte)(x >> 40)]++;
                    (tables + (6 * Symbols))[(nuint)(byte)(x >> 48)]++;
                    (tables + (7 * Symbols))[(nuint)(x >> 56)]++;
                }

                i = (int)(at - source);
            }

            for (int s = 0; s < Symbols; s++)
            {
                for (int t = 0; t < Tables; t++)
                {
                    counts[s] += tables[(t * Symbols) + s];
                }
            }
        }

        for (; i < bytes.Length; i++)
        {
            counts[bytes[i]]++;
        }
    }
}
