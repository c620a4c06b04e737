using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace ModelPack.Codecs;

/// <summary>
/// Look-up tables of one class. For decoders, <see cref="DecodeBytes"/>: the entry of every slot, then for every entry frequency, first slot and symbol (64 bytes each, of which 32 are used).
/// For encoders, <see cref="EncodeBytes"/>: per entry a reciprocal and an information word.
/// </summary>
internal static unsafe class RansTable
{
    public const int Frequencies = RansFormat.Slots;
    public const int Firsts = Frequencies + 64;
    public const int Symbols = Firsts + 64;
    public const int DecodeBytes = Symbols + 64;

    /// <summary>Bytes of a table of <see cref="BuildSlots"/>.</summary>
    public const int SlotBytes = RansFormat.Slots * sizeof(uint);

    /// <summary>Marks the escape in an entry of <see cref="BuildSlots"/>.</summary>
    public const uint EscapeMark = 1u << 24;

    public const int Infos = RansFormat.MaxEntries * sizeof(uint);
    public const int EncodeBytes = 2 * Infos;

    /// <summary>Makes the tables of a decoder; false when the frequencies do not add up.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static bool TryBuildDecode(ReadOnlySpan<byte> frequencies, ReadOnlySpan<byte> symbols, Span<byte> table)
    {
        // Entries are written in whole vectors; what is too much goes under the next ones, and behind the slots under what follows.
        int slot = 0;
        ref byte slots = ref MemoryMarshal.GetReference(table[..DecodeBytes]);
        for (int e = 0; e < frequencies.Length; e++)
        {
            int end = slot + frequencies[e];
            if (end > RansFormat.Slots)
            {
                return false;
            }

            Vector512<byte> entry = Vector512.Create((byte)e);
            for (; slot < end; slot += Vector512<byte>.Count)
            {
                entry.StoreUnsafe(ref slots, (nuint)slot);
            }

            slot = end;
        }

        Span<byte> entries = table[Frequencies..DecodeBytes];
        entries.Clear();
        frequencies.CopyTo(entries);
        symbols.CopyTo(entries[(Symbols - Frequencies)..]);
        int first = 0;
        for (int e = 0; e < frequencies.Length; e++)
        {
            entries[Firsts - Frequencies + e] = (byte)first;
            first += frequencies[e];
        }

        return slot == RansFormat.Slots;
    }

    /// <summary>
    /// From the table of <see cref="TryBuildDecode"/> one word per slot for the loop without vectors: frequency, slot less first slot, symbol, from the lowest byte on, and the
    /// escape's mark.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void BuildSlots(byte* table, int escape, uint* slots)
    {
        for (uint s = 0; s < RansFormat.Slots; s++)
        {
            byte e = table[s];
            slots[s] = table[Frequencies + e] | ((s - table[Firsts + e]) << 8) | ((uint)table[Symbols + e] << 16) | (e == escape ? EscapeMark : 0);
        }
    }

    /// <summary>
    /// Makes the tables of an encoder. For a state x below 2^31 and a frequency f &gt; 0, x / f is the upper half of 2 x times the reciprocal, shifted right by k: the reciprocal is ceil(2^(31+k) / f), 2^k the
    /// first power of two not below f (Alverson, 1991). The information word: 256 - f in bits 0 to 7, the first slot in 16 to 23, k from 24 on.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void BuildEncode(ReadOnlySpan<byte> frequencies, byte* table)
    {
        uint* reciprocals = (uint*)table;
        uint* infos = (uint*)(table + Infos);
        uint first = 0;
        for (int e = 0; e < RansFormat.MaxEntries; e++)
        {
            uint f = e < frequencies.Length ? frequencies[e] : 0u;
            int k = f < 2 ? 0 : System.Numerics.BitOperations.Log2(f - 1) + 1;
            reciprocals[e] = f == 0 ? 0 : (uint)(((1UL << (31 + k)) + f - 1) / f);
            infos[e] = f == 0 ? 0 : (RansFormat.Slots - f) | (first << 16) | ((uint)k << 24);
            first += f;
        }
    }
}
