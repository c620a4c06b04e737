using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace ModelPack.Numbers;

/// <summary>
/// Palettes of up to 16 entries over 16 lanes. Encoding finds the number of thresholds below a key in four steps of halving, one 16-entry permute each. Decoding spreads the
/// codes of a group with two 32-bit words (8 codes each, at most 32 bits) and a shift per lane, then looks them up with one permute. Groups of 16 codes are 2 x bits bytes; the last,
/// partial group of a row goes through scratch memory.
/// </summary>
internal static class PaletteKernel<TLanes>
    where TLanes : struct, ILanes16<TLanes>
{
    [SkipLocalsInit]
    public static void EncodeRow(ReadOnlySpan<float> row, Palette palette, Span<byte> codes)
    {
        int bits = palette.Bits;
        var search = new Search(palette);
        ref float x = ref MemoryMarshal.GetReference(row);
        ref byte to = ref MemoryMarshal.GetReference(codes);
        int i = 0;
        int at = 0;
        for (; i + 16 <= row.Length; i += 16, at += 2 * bits)
        {
            Vector128<byte> found = search.Find(TLanes.Load(ref Unsafe.Add(ref x, i)));
            if (at + sizeof(ulong) <= codes.Length)
            {
                // What is written beyond the group is overwritten by the next one.
                Unsafe.WriteUnaligned(ref Unsafe.Add(ref to, at), CodePacking.Join16(found, bits));
            }
            else
            {
                Write(CodePacking.Join16(found, bits), codes.Slice(at, 2 * bits));
            }
        }

        if (i < row.Length)
        {
            Span<float> values = stackalloc float[16];
            values.Clear();
            row[i..].CopyTo(values);
            Span<byte> found = stackalloc byte[16];
            search.Find(TLanes.Load(ref MemoryMarshal.GetReference(values))).CopyTo(found);
            found[(row.Length - i)..].Clear();
            Write(CodePacking.Join16(Vector128.Create<byte>(found), bits), codes[at..]);
        }
    }

    [SkipLocalsInit]
    public static void DecodeRow(ReadOnlySpan<byte> codes, Palette palette, Span<float> row)
    {
        int bits = palette.Bits;
        Span<int> counts = stackalloc int[16];
        Span<int> uppers = stackalloc int[16];
        for (int lane = 0; lane < 16; lane++)
        {
            counts[lane] = (lane & 7) * bits;
            uppers[lane] = lane < 8 ? 0 : -1;
        }

        TLanes shifts = Lanes(counts);
        TLanes upper = Lanes(uppers);
        TLanes mask = TLanes.CreateInt((1 << bits) - 1);
        TLanes table = TLanes.Load(ref MemoryMarshal.GetReference(palette.Values));
        ref byte from = ref MemoryMarshal.GetReference(codes);
        ref float to = ref MemoryMarshal.GetReference(row);
        int i = 0;
        int at = 0;
        for (; i + 16 <= row.Length && at + bits + sizeof(int) <= codes.Length; i += 16, at += 2 * bits)
        {
            int low = Unsafe.ReadUnaligned<int>(ref Unsafe.Add(ref from, at));
            int high = Unsafe.ReadUnaligned<int>(ref Unsafe.Add(ref from, at + bits));
            TLanes words = TLanes.Select(upper, TLanes.CreateInt(high), TLanes.CreateInt(low));
            TLanes.Store(TLanes.Lookup16(table, TLanes.And(TLanes.ShiftRightEach(words, shifts), mask)), ref Unsafe.Add(ref to, i));
        }

        PaletteReference.DecodeRow(codes[at..], palette, row[i..]);
    }

    private static TLanes Lanes(ReadOnlySpan<int> values) => TLanes.Load(ref MemoryMarshal.GetReference(MemoryMarshal.Cast<int, float>(values)));

    private static void Write(ulong packed, Span<byte> codes) => MemoryMarshal.AsBytes(new ReadOnlySpan<ulong>(in packed))[..codes.Length].CopyTo(codes);

    /// <summary>The thresholds in lanes.</summary>
    private readonly struct Search(Palette palette)
    {
        private readonly TLanes _thresholds = Lanes(palette.Thresholds[..16]);
        private readonly TLanes _middle = TLanes.CreateInt(palette.Thresholds[7]);
        private readonly TLanes _largest = TLanes.CreateInt(0x7FFFFFFF);
        private readonly TLanes _one = TLanes.CreateInt(1);
        private readonly TLanes _two = TLanes.CreateInt(2);
        private readonly TLanes _three = TLanes.CreateInt(3);
        private readonly TLanes _four = TLanes.CreateInt(4);
        private readonly TLanes _eight = TLanes.CreateInt(8);

        /// <summary>Codes of 16 values, built from the highest bit down.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public Vector128<byte> Find(TLanes values)
        {
            TLanes keys = FloatKey.Of(values, default, _largest);
            TLanes code = TLanes.And(TLanes.GreaterInt(keys, _middle), _eight);
            code = Step(keys, code, _four, _three);
            code = Step(keys, code, _two, _one);
            return TLanes.LowBytes(TLanes.AddInt(code, TLanes.And(TLanes.GreaterInt(keys, TLanes.Lookup16(_thresholds, code)), _one)));
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private TLanes Step(TLanes keys, TLanes code, TLanes bit, TLanes before) =>
            TLanes.AddInt(code, TLanes.And(TLanes.GreaterInt(keys, TLanes.Lookup16(_thresholds, TLanes.AddInt(code, before))), bit));
    }
}
