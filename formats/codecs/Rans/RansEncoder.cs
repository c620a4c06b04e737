using System.Runtime.CompilerServices;

namespace ModelPack.Codecs;

/// <summary>The encoder without vectors: the reference, and the part of a row at the end of every block.</summary>
internal static unsafe class RansEncoder
{
    /// <summary>Encodes the first symbols of one row, from the last to the first. Words are written downwards.</summary>
    /// <param name="states">128 states.</param>
    /// <param name="table">A table of <see cref="RansTable.BuildEncode"/>.</param>
    /// <param name="entries">The entry of every symbol of the row; none with frequency 0.</param>
    /// <param name="symbols">Symbols of the row, 1 to 128.</param>
    /// <param name="word">The last word written; there is room for one more word for every symbol in front of it.</param>
    /// <returns>The last word written.</returns>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static ushort* Row(uint* states, byte* table, byte* entries, int symbols, ushort* word)
    {
        uint* infos = (uint*)(table + RansTable.Infos);
        uint* reciprocals = (uint*)table;
        for (int s = RansFormat.States - 1; s >= 0; s--)
        {
            int position = RansFormat.Position(s);
            if (position >= symbols)
            {
                continue;
            }

            // x in [f * 2^7, f * 2^23) goes to (x / f) * 256 + x mod f + first = x + first + (x / f) * (256 - f), which is in [2^15, 2^31).
            uint info = infos[entries[position]];
            uint x = states[s];
            if (x >= (RansFormat.LowerBound << 16) - (info << 23))
            {
                *--word = (ushort)x;
                x >>= 16;
            }

            uint quotient = (uint)((2UL * x * reciprocals[entries[position]]) >> 32) >> (int)(info >> 24);
            states[s] = x + ((info >> 16) & 0xff) + (quotient * (info & 0xff));
        }

        return word;
    }
}
