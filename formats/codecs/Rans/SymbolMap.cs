using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace ModelPack.Codecs;

/// <summary>Symbols to entries of a table, 256 bytes each.</summary>
internal static unsafe class SymbolMap
{
    /// <summary>Maps every symbol. scalar: entries[i] = map[symbols[i]]</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Apply(byte* map, byte* symbols, int count, byte* entries)
    {
        int i = 0;
        if (Avx512Vbmi.IsSupported)
        {
            Vector512<byte> t0 = Vector512.Load(map);
            Vector512<byte> t1 = Vector512.Load(map + 64);
            Vector512<byte> t2 = Vector512.Load(map + 128);
            Vector512<byte> t3 = Vector512.Load(map + 192);
            for (; i <= count - 64; i += 64)
            {
                Look(Vector512.Load(symbols + i), t0, t1, t2, t3).Store(entries + i);
            }
        }

        for (; i < count; i++)
        {
            entries[i] = map[symbols[i]];
        }
    }

    /// <summary>Maps every symbol and appends those that are mapped to <paramref name="escape"/> to the escapes, which need room for 64 more than there are.</summary>
    /// <returns>The end of the escapes.</returns>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static byte* Apply(byte* map, byte escape, byte* symbols, int count, byte* entries, byte* escapes)
    {
        int i = 0;
        if (Avx512Vbmi2.IsSupported)
        {
            Vector512<byte> mark = Vector512.Create(escape);
            Vector512<byte> t0 = Vector512.Load(map);
            Vector512<byte> t1 = Vector512.Load(map + 64);
            Vector512<byte> t2 = Vector512.Load(map + 128);
            Vector512<byte> t3 = Vector512.Load(map + 192);
            for (; i <= count - 64; i += 64)
            {
                Vector512<byte> symbol = Vector512.Load(symbols + i);
                Vector512<byte> entry = Look(symbol, t0, t1, t2, t3);
                entry.Store(entries + i);
                ulong escaped = Vector512.Equals(entry, mark).ExtractMostSignificantBits();
                if (escaped != 0)
                {
                    Avx512Vbmi2.Compress(Vector512<byte>.Zero, Vector512.Equals(entry, mark), symbol).Store(escapes);
                    escapes += BitOperations.PopCount(escaped);
                }
            }
        }

        for (; i < count; i++)
        {
            byte entry = map[symbols[i]];
            entries[i] = entry;
            if (entry == escape)
            {
                *escapes++ = symbols[i];
            }
        }

        return escapes;
    }

    /// <summary>Looks 64 bytes up in a table of 256, in four registers.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<byte> Look(Vector512<byte> symbol, Vector512<byte> t0, Vector512<byte> t1, Vector512<byte> t2, Vector512<byte> t3) =>
        Vector512.ConditionalSelect(
            Vector512.LessThan(symbol.AsSByte(), Vector512<sbyte>.Zero).AsByte(),
            Avx512Vbmi.PermuteVar64x8x2(t2, symbol, t3),
            Avx512Vbmi.PermuteVar64x8x2(t0, symbol, t1));
}
