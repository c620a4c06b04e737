using System.Numerics;
using System.Runtime.CompilerServices;

namespace ModelPack.Codecs;

/// <summary>The decoder without vectors: the reference, and the end of every block; whole rows go to AVX2 where there is that and not AVX-512.</summary>
internal static unsafe class RansDecoder
{
    /// <summary>Decodes the first <paramref name="symbols"/> symbols of one row, 1 to 128.</summary>
    /// <param name="states">128 states; those behind the symbols stay.</param>
    /// <param name="slots">A table of <see cref="RansTable.BuildSlots"/>.</param>
    /// <param name="cursor">Words and escapes.</param>
    /// <param name="symbols">Symbols of the row.</param>
    /// <param name="output">Room for them.</param>
    /// <param name="fast">False to use the reference loops alone.</param>
    /// <returns>False when words or escapes do not suffice.</returns>
    public static bool TryRow(uint* states, uint* slots, ref RansCursor cursor, int symbols, byte* output, bool fast) =>
        symbols != RansFormat.States || cursor.WordEnd - cursor.Word < 2 * RansFormat.States
            ? TryPart(states, slots, ref cursor, symbols, output)
            : fast && RansDecoder256.IsSupported ? TryVectors(states, slots, ref cursor, output) : TryWhole(states, slots, ref cursor, output);

    private static bool TryVectors(uint* states, uint* slots, ref RansCursor cursor, byte* output)
    {
        RansDecoder256.Row(states, slots, ref cursor.Word, output, out ulong low, out ulong high);
        return (low | high) == 0 || (TryEscapes(low, ref cursor, output) && TryEscapes(high, ref cursor, output + 64));
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static bool TryWhole(uint* states, uint* slots, ref RansCursor cursor, byte* output)
    {
        // There is a word for every state, so nothing is checked, and the pointer moves without a branch.
        byte* word = cursor.Word;
        for (int half = 0; half < RansFormat.States; half += 64)
        {
            ulong escapes = 0;
            for (int j = 0; j < 4; j++)
            {
                uint* x = states + half + (16 * j);
                byte* to = output + half + j;
                for (int i = 0; i < 16; i++)
                {
                    uint state = x[i];
                    uint slot = slots[(byte)state];
                    to[4 * i] = (byte)(slot >> 16);
                    escapes |= (ulong)(slot >> 24) << ((4 * i) + j);
                    state = ((slot & 0xff) * (state >> 8)) + ((slot >> 8) & 0xff);
                    uint refilled = (state << 16) | Unsafe.ReadUnaligned<ushort>(word);
                    nint take = state < RansFormat.LowerBound ? 2 : 0;
                    x[i] = take != 0 ? refilled : state;
                    word += take;
                }
            }

            if (escapes != 0 && !TryEscapes(escapes, ref cursor, output + half))
            {
                return false;
            }
        }

        cursor.Word = word;
        return true;
    }

    private static bool TryPart(uint* states, uint* slots, ref RansCursor cursor, int symbols, byte* output)
    {
        for (int half = 0; half < symbols; half += 64)
        {
            ulong escapes = 0;
            for (int s = half; s < half + 64; s++)
            {
                int position = RansFormat.Position(s);
                if (position >= symbols)
                {
                    continue;
                }

                uint slot = slots[(byte)states[s]];
                output[position] = (byte)(slot >> 16);
                escapes |= (ulong)(slot >> 24) << (position - half);
                uint state = ((slot & 0xff) * (states[s] >> 8)) + ((slot >> 8) & 0xff);
                if (state < RansFormat.LowerBound)
                {
                    if (cursor.Word >= cursor.WordEnd)
                    {
                        return false;
                    }

                    state = (state << 16) | Unsafe.ReadUnaligned<ushort>(cursor.Word);
                    cursor.Word += sizeof(ushort);
                }

                states[s] = state;
            }

            if (!TryEscapes(escapes, ref cursor, output + half))
            {
                return false;
            }
        }

        return true;
    }

    /// <summary>Puts escaped symbols where the bits of the mask are set.</summary>
    private static bool TryEscapes(ulong mask, ref RansCursor cursor, byte* output)
    {
        if (BitOperations.PopCount(mask) > cursor.EscapeEnd - cursor.Escape)
        {
            return false;
        }

        for (; mask != 0; mask &= mask - 1)
        {
            output[BitOperations.TrailingZeroCount(mask)] = *cursor.Escape++;
        }

        return true;
    }
}
