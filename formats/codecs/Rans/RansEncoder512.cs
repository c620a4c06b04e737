using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace ModelPack.Codecs;

/// <summary>The encoder in AVX-512.</summary>
internal static unsafe class RansEncoder512
{
    /// <summary>True where the loop can run.</summary>
    public static bool IsSupported => RansDecoder512.IsSupported && Avx512BW.VL.IsSupported;

    /// <summary>Encodes whole rows from the last to the first. Words are written downwards.</summary>
    /// <param name="states">128 states.</param>
    /// <param name="tables">Tables of <see cref="RansTable.BuildEncode"/>, one behind the other.</param>
    /// <param name="labels">The class of every block.</param>
    /// <param name="blockBits">log2 of the rows of a block.</param>
    /// <param name="entries">The entry of every symbol, from the first row on.</param>
    /// <param name="rows">How many.</param>
    /// <param name="word">The last word written; there is room for one more word for every symbol in front of it.</param>
    /// <returns>The last word written.</returns>
    /// <remarks>
    /// A vector holds 16 states, as in the decoder. Per vector: the states that are too large for the symbol's frequency, x + (256 - f &lt;&lt; 23) >= 2^31, give their lower halves, compressed, and are shifted; then x / f by
    /// two multiplications of 8 x 32 bits. scalar: <see cref="RansEncoder.Row"/>
    /// </remarks>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static ushort* Rows(uint* states, byte* tables, byte* labels, int blockBits, byte* entries, int rows, ushort* word)
    {
        Vector512<uint> x0 = Vector512.Load(states);
        Vector512<uint> x1 = Vector512.Load(states + 16);
        Vector512<uint> x2 = Vector512.Load(states + 32);
        Vector512<uint> x3 = Vector512.Load(states + 48);
        Vector512<uint> x4 = Vector512.Load(states + 64);
        Vector512<uint> x5 = Vector512.Load(states + 80);
        Vector512<uint> x6 = Vector512.Load(states + 96);
        Vector512<uint> x7 = Vector512.Load(states + 112);
        int row = rows;
        while (row > 0)
        {
            int block = (row - 1) >> blockBits;
            byte* table = tables + (RansTable.EncodeBytes * labels[block]);
            Vector512<uint> r0 = Vector512.Load((uint*)table);
            Vector512<uint> r1 = Vector512.Load((uint*)table + 16);
            Vector512<uint> i0 = Vector512.Load((uint*)(table + RansTable.Infos));
            Vector512<uint> i1 = Vector512.Load((uint*)(table + RansTable.Infos) + 16);
            for (int first = block << blockBits; row > first; row--)
            {
                Vector512<uint> e = Vector512.Load(entries + ((row - 1) * RansFormat.States) + 64).AsUInt32();
                word = Step(ref x7, e >>> 24, r0, r1, i0, i1, word);
                word = Step(ref x6, e >>> 16, r0, r1, i0, i1, word);
                word = Step(ref x5, e >>> 8, r0, r1, i0, i1, word);
                word = Step(ref x4, e, r0, r1, i0, i1, word);
                e = Vector512.Load(entries + ((row - 1) * RansFormat.States)).AsUInt32();
                word = Step(ref x3, e >>> 24, r0, r1, i0, i1, word);
                word = Step(ref x2, e >>> 16, r0, r1, i0, i1, word);
                word = Step(ref x1, e >>> 8, r0, r1, i0, i1, word);
                word = Step(ref x0, e, r0, r1, i0, i1, word);
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
        return word;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static ushort* Step(ref Vector512<uint> state, Vector512<uint> entry, Vector512<uint> r0, Vector512<uint> r1, Vector512<uint> i0, Vector512<uint> i1, ushort* word)
    {
        // The sign bits of "large" say which lanes give a word. The permutes look at 5 bits of an entry, so the symbols of other vectors above them do not matter.
        Vector512<uint> x = state;
        Vector512<uint> info = Avx512F.PermuteVar16x32x2(i0, entry, i1);
        Vector512<uint> reciprocal = Avx512F.PermuteVar16x32x2(r0, entry, r1);
        Vector512<uint> large = x + (info << 23);
        int count = BitOperations.PopCount((uint)large.ExtractMostSignificantBits());
        Vector256<ushort> words = Avx512F.ConvertToVector256UInt16(Avx512F.Compress(Vector512<uint>.Zero, large, x));
        word -= count;
        Avx512BW.VL.MaskStore(word, Vector256.LessThan(Vector256<ushort>.Indices, Vector256.Create((ushort)count)), words);
        x = Avx512F.BlendVariable(x, x >>> 16, large);

        Vector512<uint> twice = x + x;
        Vector512<ulong> even = Avx512F.Multiply(twice, reciprocal) >>> 32;
        Vector512<ulong> odd = Avx512F.Multiply((twice.AsUInt64() >>> 32).AsUInt32(), (reciprocal.AsUInt64() >>> 32).AsUInt32());
        Vector512<uint> high = Vector512.ConditionalSelect(Vector512.Create(0xffff_ffff_0000_0000).AsUInt32(), odd.AsUInt32(), even.AsUInt32());
        Vector512<uint> quotient = Avx512F.ShiftRightLogicalVariable(high, info >>> 24);
        state = x + ((info >>> 16) & Vector512.Create(0xffu)) + (quotient * (info & Vector512.Create(0xffu)));
        return word;
    }
}
