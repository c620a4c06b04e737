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
    private const int WordRoom = (2 * RansFormat.States) + 32;

    /// <summary>Decodes whole rows as long as there is room to read in.</summary>
    /// <param name="states">128 states.</param>
    /// <param name="tables">Tables of <see cref="RansTable.TryBuildDecode"/>, one behind the other.</param>
    /// <param name="labels">The class of every block; as many as the rows need.</param>
    /// <param name="blockBits">log2 of the rows of a block.</param>
    /// <param name="escape">Entry of the escape.</param>
    /// <param name="cursor">Words and escapes.</param>
    /// <param name="row">The first row, counted from the first label.</param>
    /// <param name="endRow">The row behind the last.</param>
    /// <param name="output">Where <paramref name="row"/> begins.</param>
    /// <returns>The row behind the last that was decoded.</returns>
    /// <remarks>
    /// A vector holds 16 states. Per half row of four vectors the lowest bytes are joined to 64 slots, state 4 x lane + vector; two permutes of two registers find the entries of 64 slots, three permutes of one register
    /// frequency, first slot and symbol. Per vector: x = frequency * (x >> 8) + slot - first; lanes below the lower bound take x &lt;&lt; 16 | the next word, lanes in ascending order.
    /// scalar: <see cref="RansDecoder.TryRow"/>
    /// </remarks>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static int Rows(uint* states, byte* tables, byte* labels, int blockBits, int escape, ref RansCursor cursor, int row, int endRow, byte* output)
    {
        byte* word = cursor.Word;
        byte* lastWord = cursor.WordReadable - WordRoom;
        byte* escaped = cursor.Escape;
        byte* lastEscape = cursor.EscapeEnd;
        Vector512<byte> mark = Vector512.Create((byte)escape);
        Vector512<uint> bound = Vector512.Create(RansFormat.LowerBound);
        Vector512<uint> low8 = Vector512.Create(0xffu);
        Vector512<uint> low16 = Vector512.Create(0xffffu);
        Vector512<byte> second = Vector512.Create(0xffff_ff01u).AsByte() + LaneStarts();
        Vector512<byte> third = Vector512.Create(0xffff_ff02u).AsByte() + LaneStarts();
        Vector512<uint> x0 = Vector512.Load(states);
        Vector512<uint> x1 = Vector512.Load(states + 16);
        Vector512<uint> x2 = Vector512.Load(states + 32);
        Vector512<uint> x3 = Vector512.Load(states + 48);
        Vector512<uint> x4 = Vector512.Load(states + 64);
        Vector512<uint> x5 = Vector512.Load(states + 80);
        Vector512<uint> x6 = Vector512.Load(states + 96);
        Vector512<uint> x7 = Vector512.Load(states + 112);
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

                Vector512<byte> slot = Join(x0, x1, x2, x3, low8, low16);
                Vector512<byte> entry = Entries(slot, t0, t1, t2, t3);
                Vector512<byte> symbol = Avx512Vbmi.PermuteVar64x8(symbols, entry);
                Vector512<uint> f = Avx512Vbmi.PermuteVar64x8(frequencies, entry).AsUInt32();
                Vector512<uint> o = (slot - Avx512Vbmi.PermuteVar64x8(firsts, entry)).AsUInt32();
                ulong escapes = Vector512.Equals(entry, mark).ExtractMostSignificantBits();
                if (escapes != 0)
                {
                    symbol = Avx512Vbmi2.Expand(symbol, Vector512.Equals(entry, mark), Vector512.Load(escaped));
                    escaped += BitOperations.PopCount(escapes);
                }

                symbol.Store(output);
                x0 = Next(x0, f & low8, o & low8);
                Vector512<uint> low = x0 - bound;
                x0 = Refill(x0, low, word);
                word += 2 * BitOperations.PopCount((uint)low.ExtractMostSignificantBits());
                x1 = Next(x1, Spread(f, second), Spread(o, second));
                low = x1 - bound;
                x1 = Refill(x1, low, word);
                word += 2 * BitOperations.PopCount((uint)low.ExtractMostSignificantBits());
                x2 = Next(x2, Spread(f, third), Spread(o, third));
                low = x2 - bound;
                x2 = Refill(x2, low, word);
                word += 2 * BitOperations.PopCount((uint)low.ExtractMostSignificantBits());
                x3 = Next(x3, f >>> 24, o >>> 24);
                low = x3 - bound;
                x3 = Refill(x3, low, word);
                word += 2 * BitOperations.PopCount((uint)low.ExtractMostSignificantBits());

                slot = Join(x4, x5, x6, x7, low8, low16);
                entry = Entries(slot, t0, t1, t2, t3);
                symbol = Avx512Vbmi.PermuteVar64x8(symbols, entry);
                f = Avx512Vbmi.PermuteVar64x8(frequencies, entry).AsUInt32();
                o = (slot - Avx512Vbmi.PermuteVar64x8(firsts, entry)).AsUInt32();
                escapes = Vector512.Equals(entry, mark).ExtractMostSignificantBits();
                if (escapes != 0 && escaped <= lastEscape)
                {
                    symbol = Avx512Vbmi2.Expand(symbol, Vector512.Equals(entry, mark), Vector512.Load(escaped));
                    escaped += BitOperations.PopCount(escapes);
                }

                symbol.Store(output + 64);
                output += RansFormat.States;
                x4 = Next(x4, f & low8, o & low8);
                low = x4 - bound;
                x4 = Refill(x4, low, word);
                word += 2 * BitOperations.PopCount((uint)low.ExtractMostSignificantBits());
                x5 = Next(x5, Spread(f, second), Spread(o, second));
                low = x5 - bound;
                x5 = Refill(x5, low, word);
                word += 2 * BitOperations.PopCount((uint)low.ExtractMostSignificantBits());
                x6 = Next(x6, Spread(f, third), Spread(o, third));
                low = x6 - bound;
                x6 = Refill(x6, low, word);
                word += 2 * BitOperations.PopCount((uint)low.ExtractMostSignificantBits());
                x7 = Next(x7, f >>> 24, o >>> 24);
                low = x7 - bound;
                x7 = Refill(x7, low, word);
                word += 2 * BitOperations.PopCount((uint)low.ExtractMostSignificantBits());
            }
        }

        x0.Store(states);
        x1.Store(states + 16);
        x2.Store(states + 32);
        x3.Store(states + 48);
        x4.Store(states + 64);
        x5.Store(states + 80);
        x6.Store(states + 96);
        x7.Store(states + 112);
        cursor.Word = word;
        cursor.Escape = escaped;
        return row;
    }

    /// <summary>0, 4, 8, 12 in the lowest byte of the lanes of every 128 bits, what a shuffle of bytes counts from; 0 elsewhere.</summary>
    private static Vector512<byte> LaneStarts() => Vector512.Create(Vector256.Create(Vector128.Create(0u, 4, 8, 12))).AsByte();

    /// <summary>One byte of every lane, the others 0: indices of 128 and more give 0.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<uint> Spread(Vector512<uint> x, Vector512<byte> indices) => Avx512BW.Shuffle(x.AsByte(), indices).AsUInt32();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<byte> Join(Vector512<uint> a, Vector512<uint> b, Vector512<uint> c, Vector512<uint> d, Vector512<uint> low8, Vector512<uint> low16)
    {
        Vector512<uint> ab = Vector512.ConditionalSelect(low8, a, b << 8);
        Vector512<uint> cd = Vector512.ConditionalSelect(low8, c, d << 8);
        return Vector512.ConditionalSelect(low16, ab, cd << 16).AsByte();
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<byte> Entries(Vector512<byte> slot, Vector512<byte> t0, Vector512<byte> t1, Vector512<byte> t2, Vector512<byte> t3) =>
        Vector512.ConditionalSelect(
            Vector512.LessThan(slot.AsSByte(), Vector512<sbyte>.Zero).AsByte(),
            Avx512Vbmi.PermuteVar64x8x2(t2, slot, t3),
            Avx512Vbmi.PermuteVar64x8x2(t0, slot, t1));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<uint> Next(Vector512<uint> x, Vector512<uint> frequency, Vector512<uint> offset) => ((x >>> 8) * frequency) + offset;

    /// <summary>The sign bits of <paramref name="low"/> say which lanes take a word.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<uint> Refill(Vector512<uint> x, Vector512<uint> low, byte* word)
    {
        Vector512<uint> words = Avx512F.Expand(Vector512<uint>.Zero, low, Avx512F.ConvertToVector512UInt32(Vector256.Load((ushort*)word)));
        return Avx512F.BlendVariable(x, (x << 16) | words, low);
    }
}
