using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace ModelPack.Codecs;

/// <summary>The decoder in AVX-512 with VBMI2: tables and 128 states stay in registers.</summary>
internal static unsafe class RansDecoder512
{
    /// <summary>True where the loop can run.</summary>
    public static bool IsSupported => Avx512Vbmi2.IsSupported && Avx512BW.IsSupported;

    /// <summary>Bytes of words that must be readable for a row: all that it may take, and one vector behind.</summary>
    private const int WordRoom = (2 * RansFormat.States) + 64;

    /// <summary>Decodes whole rows as long as there is room to read in.</summary>
    /// <param name="states">128 states.</param>
    /// <param name="tables">Tables of <see cref="RansTable.TryBuildDecode"/>, one behind the other.</param>
    /// <param name="labels">The class of every block; as many as the rows need.</param>
    /// <param name="blockBits">log2 of the rows of a block.</param>
    /// <param name="escape">Entry of the escape.</param>
    /// <param name="cursor">Words and escapes.</param>
    /// <param name="row">The first row, counted from the first label.</param>
    /// <param name="endRow">The row behind the last.</param>
    /// <param name="sink">Takes the symbols from <paramref name="row"/> on, counted from 0.</param>
    /// <returns>The row behind the last that was decoded.</returns>
    /// <remarks>
    /// Vectors hold the lower or the upper 16 bits of 32 states: those of vectors v and v + 1 of the scalar order, 16 each, so that words enter in its order. Per half row the lowest bytes are joined to 64 slots; two permutes of
    /// two registers find the entries of 64 slots, permutes of one register frequency, first slot and symbol. Per 32 states, with x = 2^16 hi + lo: f (x >> 8) + slot - first is
    /// f (lo >> 8) + slot - first, below 2^16, plus 2^8 f hi, whose lower and upper 16 bits are the two halves of a product; lanes below the lower bound move lo to hi and take the next word, in ascending order.
    /// scalar: <see cref="RansDecoder.TryRow"/>
    /// </remarks>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static int Rows<TSink>(uint* states, byte* tables, byte* labels, int blockBits, int escape, ref RansCursor cursor, int row, int endRow, TSink sink)
        where TSink : struct, IRansSink
    {
        byte* word = cursor.Word;
        byte* lastWord = cursor.WordReadable - WordRoom;
        byte* escaped = cursor.Escape;
        byte* lastEscape = cursor.EscapeEnd;
        Vector512<byte> mark = Vector512.Create((byte)escape);
        Vector512<byte> order = Order();
        Vector512<ushort> lo0 = Lower(states, 0);
        Vector512<ushort> hi0 = Lower(states, 16);
        Vector512<ushort> lo1 = Lower(states + 32, 0);
        Vector512<ushort> hi1 = Lower(states + 32, 16);
        Vector512<ushort> lo2 = Lower(states + 64, 0);
        Vector512<ushort> hi2 = Lower(states + 64, 16);
        Vector512<ushort> lo3 = Lower(states + 96, 0);
        Vector512<ushort> hi3 = Lower(states + 96, 16);
        nint at = 0;
        while (row < endRow)
        {
            byte* table = tables + (RansTable.DecodeBytes * labels[row >> blockBits]);
            int blockEnd = Math.Min(endRow, ((row >> blockBits) + 1) << blockBits);
            Vector512<byte> t0 = Vector512.Load(table);
            Vector512<byte> t1 = Vector512.Load(table + 64);
            Vector512<byte> t2 = Vector512.Load(table + 128);
            Vector512<byte> t3 = Vector512.Load(table + 192);
            Vector512<byte> frequencies = Vector512.Load(table + RansTable.Frequencies);
            Vector512<byte> firsts = Vector512.Load(table + RansTable.Firsts);
            Vector512<byte> symbols = Vector512.Load(table + RansTable.Symbols);
            for (; row < blockEnd; row++)
            {
                if (word > lastWord || escaped > lastEscape)
                {
                    endRow = row;
                    break;
                }

                Vector512<byte> slot = Join(lo0, lo1);
                Vector512<byte> entry = SymbolMap.Look(slot, t0, t1, t2, t3);
                Vector512<ushort> f = Avx512Vbmi.PermuteVar64x8(frequencies, entry).AsUInt16();
                Vector512<ushort> o = (slot - Avx512Vbmi.PermuteVar64x8(firsts, entry)).AsUInt16();
                entry = Avx512Vbmi.PermuteVar64x8(entry, order);
                Vector512<byte> symbol = Avx512Vbmi.PermuteVar64x8(symbols, entry);
                Vector512<byte> escapes = Vector512.Equals(entry, mark);
                symbol = Avx512Vbmi2.Expand(symbol, escapes, Vector512.Load(escaped));
                escaped += BitOperations.PopCount(escapes.ExtractMostSignificantBits());

                sink.Put(symbol, at);
                word = Next(ref lo0, ref hi0, f & Low, f << 8, o & Low, word);
                word = Next(ref lo1, ref hi1, f >>> 8, f & High, o >>> 8, word);

                slot = Join(lo2, lo3);
                entry = SymbolMap.Look(slot, t0, t1, t2, t3);
                f = Avx512Vbmi.PermuteVar64x8(frequencies, entry).AsUInt16();
                o = (slot - Avx512Vbmi.PermuteVar64x8(firsts, entry)).AsUInt16();
                entry = Avx512Vbmi.PermuteVar64x8(entry, order);
                symbol = Avx512Vbmi.PermuteVar64x8(symbols, entry);
                escapes = Vector512.Equals(entry, mark);
                symbol = Avx512Vbmi2.Expand(symbol, escapes, Vector512.Load(escaped));
                escaped += BitOperations.PopCount(escapes.ExtractMostSignificantBits());

                sink.Put(symbol, at + 64);
                at += RansFormat.States;
                word = Next(ref lo2, ref hi2, f & Low, f << 8, o & Low, word);
                word = Next(ref lo3, ref hi3, f >>> 8, f & High, o >>> 8, word);
            }
        }

        Unite(lo0, hi0, states);
        Unite(lo1, hi1, states + 32);
        Unite(lo2, hi2, states + 64);
        Unite(lo3, hi3, states + 96);
        cursor.Word = word;
        cursor.Escape = escaped;
        return row;
    }

    private static Vector512<ushort> Low => Vector512.Create((ushort)0xff);

    private static Vector512<ushort> High => Vector512.Create((ushort)0xff00);

    /// <summary>Where the byte of symbol 4 x lane + vector stands in joined slots: lanes of vectors 0 and 1 in even bytes, of 2 and 3 in odd ones.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<byte> Order()
    {
        Vector512<uint> lane = Vector512<uint>.Indices * 2;
        return (lane | ((lane + Vector512.Create(32u)) << 8) | ((lane + Vector512.Create(1u)) << 16) | ((lane + Vector512.Create(33u)) << 24)).AsByte();
    }

    /// <summary>The lower 16 bits of 32 states that were moved down.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<ushort> Lower(uint* states, int shift) => Vector512.Create(
        Avx512F.ConvertToVector256UInt16(Vector512.Load(states) >>> shift),
        Avx512F.ConvertToVector256UInt16(Vector512.Load(states + 16) >>> shift));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Unite(Vector512<ushort> low, Vector512<ushort> high, uint* states)
    {
        (Avx512F.ConvertToVector512UInt32(low.GetLower()) | (Avx512F.ConvertToVector512UInt32(high.GetLower()) << 16)).Store(states);
        (Avx512F.ConvertToVector512UInt32(low.GetUpper()) | (Avx512F.ConvertToVector512UInt32(high.GetUpper()) << 16)).Store(states + 16);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<byte> Join(Vector512<ushort> a, Vector512<ushort> b) => Vector512.ConditionalSelect(Low, a, b << 8).AsByte();

    /// <summary>The next value of 32 states.</summary>
    /// <param name="low">The lower halves.</param>
    /// <param name="high">The upper halves.</param>
    /// <param name="frequency">Of every state's entry.</param>
    /// <param name="scaled">The same, times 256.</param>
    /// <param name="offset">Slot - first slot of the entry.</param>
    /// <param name="word">The next word.</param>
    /// <returns>The first word that they did not take.</returns>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static byte* Next(ref Vector512<ushort> low, ref Vector512<ushort> high, Vector512<ushort> frequency, Vector512<ushort> scaled, Vector512<ushort> offset, byte* word)
    {
        Vector512<ushort> small = ((low >>> 8) * frequency) + offset;
        Vector512<ushort> lo = (scaled * high) + small;
        Vector512<ushort> hi = Avx512BW.MultiplyHigh(scaled, high);
        hi = Vector512.ConditionalSelect(Vector512.LessThan(lo, small), hi + Vector512<ushort>.One, hi);
        Vector512<ushort> below = Vector512.Equals(hi | (lo & Vector512.Create((ushort)0x8000)), Vector512<ushort>.Zero);
        high = Avx512BW.BlendVariable(hi, lo, below);
        low = Avx512Vbmi2.Expand(lo, below, Vector512.Load((ushort*)word));
        return word + (2 * (nint)(uint)BitOperations.PopCount((uint)below.ExtractMostSignificantBits()));
    }
}
