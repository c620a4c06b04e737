using System.Buffers.Binary;
using System.Numerics;
using System.Runtime.CompilerServices;

namespace ModelPack.Codecs;

/// <summary>
/// The loops that turn bit streams into symbols. They cannot fail on any bits: every window has a meaning because the code is complete. Whether a stream ended where it must is for the
/// binding to see. Nothing is read outside the block or written outside the symbols.
/// </summary>
/// <remarks>
/// Streams are decoded side by side, so that their chains of look-ups (shift, load, shift: about seven cycles each) overlap. A refill gives 56 bits, enough for five windows; a bit set below
/// them counts what was used.
/// </remarks>
internal static unsafe class HuffmanDecoder
{
    private const int Window = HuffmanCode.MaxBits;
    private const int Lookups = 5;

    /// <summary>Most bytes that one step of a stream moves on: 7 bits and five windows.</summary>
    private const int StepBytes = (7 + (Lookups * Window)) / 8;

    /// <summary>The reference, and the end of every stream: one symbol after the other, with every read inside the block.</summary>
    /// <param name="block">The encoded block.</param>
    /// <param name="single">Table of one symbol per window.</param>
    /// <param name="symbols">All symbols.</param>
    /// <param name="streams">Advanced to the end of every stream, or past its last bit.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Finish(ReadOnlySpan<byte> block, ReadOnlySpan<ushort> single, Span<byte> symbols, ref HuffmanStreams streams)
    {
        for (int s = 0; s < streams.Count; s++)
        {
            long bit = streams.Bit[s];
            long end = streams.EndBit[s];
            int at = streams.Symbol[s];
            for (; at < streams.EndSymbol[s] && bit < end; at++)
            {
                ushort entry = single[Peek(block, bit)];
                symbols[at] = (byte)(entry >> 8);
                bit += (byte)entry;
            }

            streams.Bit[s] = bit;
            streams.Symbol[s] = at;
        }
    }

    /// <summary>
    /// Eight streams, or one, from their start, one symbol per look-up, as far as no check is needed; <see cref="Finish"/> does the rest. For codes that fill most of a window.
    /// </summary>
    /// <remarks>
    /// scalar: entry = single[window]; *symbol++ = entry >> 8; bits &lt;&lt;= entry &amp; 63. All streams give the same number of symbols in a step. All eight go together: their bits fill the
    /// registers, where each symbol goes may come from the stack (1.85 symbols per ns; two groups of four: 1.7; AMD EPYC Zen 5, 2026-11-25).
    /// </remarks>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Singles(ReadOnlySpan<byte> block, ReadOnlySpan<ushort> single, Span<byte> symbols, ref HuffmanStreams streams)
    {
        fixed (byte* source = block)
        fixed (ushort* table = single)
        fixed (byte* target = symbols)
        fixed (HuffmanStreams* state = &streams)
        {
            if (streams.Count == HuffmanStreams.Most)
            {
                for (long steps = SafeSteps(state, block.Length, Lookups, 0); steps > 0; steps = SafeSteps(state, block.Length, Lookups, 0))
                {
                    EightSingles(source, table, target, state, steps);
                }
            }

            // The last stream may be shorter by up to seven symbols, and its end is the end of the block.
            for (int s = 0; s < streams.Count; s++)
            {
                for (long steps = SafeSteps(state, s, block.Length, Lookups, 0); steps > 0; steps = SafeSteps(state, s, block.Length, Lookups, 0))
                {
                    do
                    {
                        OneSingle(source, table, target, state->Bit + s, state->Symbol + s);
                    }
                    while (--steps > 0);
                }
            }
        }
    }

    /// <summary>Eight streams, up to six symbols per look-up, as far as no check is needed; <see cref="Finish"/> does the rest. For short codes: exponents.</summary>
    /// <remarks>
    /// scalar: entry = multi[window]; symbols[at..at + 6] = entry >> 8; at += entry >> 56; bits &lt;&lt;= entry &amp; 63. Eight bytes are stored, whatever their number: the
    /// next store of the stream covers what was too much, so a step needs that much room before the end of its stream. Four streams fill the registers; the two groups of four depend on
    /// nothing of each other, and an out-of-order core overlaps them.
    /// </remarks>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Multis(ReadOnlySpan<byte> block, ReadOnlySpan<ulong> multi, Span<byte> symbols, ref HuffmanStreams streams)
    {
        const int most = Lookups * HuffmanTable.MaxPerEntry;
        fixed (byte* source = block)
        fixed (ulong* table = multi)
        fixed (byte* target = symbols)
        fixed (HuffmanStreams* state = &streams)
        {
            for (long steps = SafeSteps(state, block.Length, most, 8); steps > 0; steps = SafeSteps(state, block.Length, most, 8))
            {
                do
                {
                    FourMultis(source, table, target, state->Bit, state->Symbol);
                    FourMultis(source, table, target, state->Bit + 4, state->Symbol + 4);
                }
                while (--steps > 0);
            }

            for (int s = 0; s < HuffmanStreams.Most; s++)
            {
                for (long steps = SafeSteps(state, s, block.Length, most, 8); steps > 0; steps = SafeSteps(state, s, block.Length, most, 8))
                {
                    do
                    {
                        OneMulti(source, table, target, state->Bit + s, state->Symbol + s);
                    }
                    while (--steps > 0);
                }
            }
        }
    }

    /// <summary>Steps that every stream can take with all its reads inside the block and all its writes before its last symbol.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static long SafeSteps(HuffmanStreams* state, int blockBytes, int symbolsPerStep, int slack)
    {
        long steps = long.MaxValue;
        for (int s = 0; s < HuffmanStreams.Most; s++)
        {
            steps = Math.Min(steps, SafeSteps(state, s, blockBytes, symbolsPerStep, slack));
        }

        return steps;
    }

    /// <summary>As the other, for one stream; not positive when there are none.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static long SafeSteps(HuffmanStreams* state, int s, int blockBytes, int symbolsPerStep, int slack) =>
        Math.Min(
            (blockBytes - 8 - (state->Bit[s] >> 3) + StepBytes) / StepBytes,
            (state->EndSymbol[s] - state->Symbol[s] - slack) / symbolsPerStep);

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void EightSingles(byte* source, ushort* table, byte* target, HuffmanStreams* state, long steps)
    {
        long* bit = state->Bit;
        byte* t0 = target + state->Symbol[0];
        byte* t1 = target + state->Symbol[1];
        byte* t2 = target + state->Symbol[2];
        byte* t3 = target + state->Symbol[3];
        byte* t4 = target + state->Symbol[4];
        byte* t5 = target + state->Symbol[5];
        byte* t6 = target + state->Symbol[6];
        byte* t7 = target + state->Symbol[7];
        nint done = 0;
        nint end = (nint)steps * Lookups;
        while (done < end)
        {
            ulong b0 = Refill(source, bit[0]);
            ulong b1 = Refill(source, bit[1]);
            ulong b2 = Refill(source, bit[2]);
            ulong b3 = Refill(source, bit[3]);
            ulong b4 = Refill(source, bit[4]);
            ulong b5 = Refill(source, bit[5]);
            ulong b6 = Refill(source, bit[6]);
            ulong b7 = Refill(source, bit[7]);
            for (nint last = done + Lookups; done < last; done++)
            {
                Single(table, ref b0, t0 + done);
                Single(table, ref b1, t1 + done);
                Single(table, ref b2, t2 + done);
                Single(table, ref b3, t3 + done);
                Single(table, ref b4, t4 + done);
                Single(table, ref b5, t5 + done);
                Single(table, ref b6, t6 + done);
                Single(table, ref b7, t7 + done);
            }

            Advance(bit, b0, b1, b2, b3);
            Advance(bit + 4, b4, b5, b6, b7);
        }

        for (int s = 0; s < HuffmanStreams.Most; s++)
        {
            state->Symbol[s] += (int)end;
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void FourMultis(byte* source, ulong* table, byte* target, long* bit, int* symbol)
    {
        ulong b0 = Refill(source, bit[0]);
        ulong b1 = Refill(source, bit[1]);
        ulong b2 = Refill(source, bit[2]);
        ulong b3 = Refill(source, bit[3]);
        byte* t0 = target + symbol[0];
        byte* t1 = target + symbol[1];
        byte* t2 = target + symbol[2];
        byte* t3 = target + symbol[3];
        Multi(table, ref t0, ref t1, ref t2, ref t3, ref b0, ref b1, ref b2, ref b3);
        Multi(table, ref t0, ref t1, ref t2, ref t3, ref b0, ref b1, ref b2, ref b3);
        Multi(table, ref t0, ref t1, ref t2, ref t3, ref b0, ref b1, ref b2, ref b3);
        Multi(table, ref t0, ref t1, ref t2, ref t3, ref b0, ref b1, ref b2, ref b3);
        Multi(table, ref t0, ref t1, ref t2, ref t3, ref b0, ref b1, ref b2, ref b3);
        symbol[0] = (int)(t0 - target);
        symbol[1] = (int)(t1 - target);
        symbol[2] = (int)(t2 - target);
        symbol[3] = (int)(t3 - target);
        Advance(bit, b0, b1, b2, b3);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Single(ushort* table, ref ulong bits, byte* symbol)
    {
        uint entry = table[bits >> (64 - Window)];
        bits <<= (int)entry;
        *symbol = (byte)(entry >> 8);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Multi(ulong* table, ref byte* t0, ref byte* t1, ref byte* t2, ref byte* t3, ref ulong b0, ref ulong b1, ref ulong b2, ref ulong b3)
    {
        ulong e0 = table[b0 >> (64 - Window)];
        ulong e1 = table[b1 >> (64 - Window)];
        ulong e2 = table[b2 >> (64 - Window)];
        ulong e3 = table[b3 >> (64 - Window)];
        b0 <<= (int)e0;
        b1 <<= (int)e1;
        b2 <<= (int)e2;
        b3 <<= (int)e3;
        *(ulong*)t0 = e0 >> 8;
        *(ulong*)t1 = e1 >> 8;
        *(ulong*)t2 = e2 >> 8;
        *(ulong*)t3 = e3 >> 8;
        t0 += e0 >> 56;
        t1 += e1 >> 56;
        t2 += e2 >> 56;
        t3 += e3 >> 56;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void OneSingle(byte* source, ushort* table, byte* target, long* bit, int* symbol)
    {
        ulong b = Refill(source, *bit);
        byte* t = target + *symbol;
        for (int i = 0; i < Lookups; i++)
        {
            Single(table, ref b, t + i);
        }

        *symbol += Lookups;
        *bit = (*bit & ~7L) + BitOperations.TrailingZeroCount(b);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void OneMulti(byte* source, ulong* table, byte* target, long* bit, int* symbol)
    {
        ulong b = Refill(source, *bit);
        byte* t = target + *symbol;
        for (int i = 0; i < Lookups; i++)
        {
            ulong e = table[b >> (64 - Window)];
            b <<= (int)e;
            *(ulong*)t = e >> 8;
            t += e >> 56;
        }

        *symbol = (int)(t - target);
        *bit = (*bit & ~7L) + BitOperations.TrailingZeroCount(b);
    }

    /// <summary>At least 56 bits from a position, highest first, and a set bit below all of the bits that were loaded: it moves up with every bit used.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static ulong Refill(byte* source, long bit) => (BinaryPrimitives.ReverseEndianness(*(ulong*)(source + (bit >> 3))) | 1) << (int)(bit & 7);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Advance(long* bit, ulong b0, ulong b1, ulong b2, ulong b3)
    {
        bit[0] = (bit[0] & ~7L) + BitOperations.TrailingZeroCount(b0);
        bit[1] = (bit[1] & ~7L) + BitOperations.TrailingZeroCount(b1);
        bit[2] = (bit[2] & ~7L) + BitOperations.TrailingZeroCount(b2);
        bit[3] = (bit[3] & ~7L) + BitOperations.TrailingZeroCount(b3);
    }

    /// <summary>One window; bits past the block are zero.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static int Peek(ReadOnlySpan<byte> block, long bit)
    {
        int at = (int)(bit >> 3);
        uint word = 0;
        for (int i = 0; i < 3; i++)
        {
            word = (word << 8) | (at + i < block.Length ? block[at + i] : 0u);
        }

        return (int)(word >> (24 - Window - (int)(bit & 7))) & (HuffmanTable.Entries - 1);
    }
}
