using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace ModelPack.Numbers;

/// <summary>
/// Codebook coding of one row over 16 lanes. 4 bits: the rank of a value is found in four steps, each comparing it with the threshold that halves what is left
/// (one 16-entry permute per step); two codes per byte, the first in the high nibble. 8 bits: lanes scale, <see cref="Codebook.Encode8"/> searches. Equal to <see cref="CodebookReference"/> line by line.
/// </summary>
internal static class CodebookKernel<TLanes>
    where TLanes : struct, ILanes16<TLanes>
{
    /// <summary>Returns -1, or a position in the first block that holds a NaN or infinity.</summary>
    [SkipLocalsInit]
    public static int EncodeRow(ReadOnlySpan<float> row, int block, Codebook book, Span<byte> codes, Span<float> scales, SimdTier tier)
    {
        Span<float> scratch = stackalloc float[16];
        TLanes magnitudeMask = TLanes.CreateInt(0x7FFFFFFF);
        var search = new Search4(book);
        for (int b = 0; b < scales.Length; b++)
        {
            int start = b * block;
            ReadOnlySpan<float> values = row.Slice(start, Math.Min(block, row.Length - start));
            int whole = values.Length & ~15;
            ref float x = ref MemoryMarshal.GetReference(values);
            TLanes magnitudes = default;
            for (int i = 0; i < whole; i += 16)
            {
                magnitudes = TLanes.MaxInt(magnitudes, TLanes.And(TLanes.Load(ref Unsafe.Add(ref x, i)), magnitudeMask));
            }

            if (whole < values.Length)
            {
                scratch.Clear();
                values[whole..].CopyTo(scratch);
                magnitudes = TLanes.MaxInt(magnitudes, TLanes.And(TLanes.Load(ref MemoryMarshal.GetReference(scratch)), magnitudeMask));
            }

            int bits = TLanes.MaxIntAcross(magnitudes);
            if (bits >= 0x7F800000)
            {
                return start;
            }

            BlockDivisor divisor = BlockDivisor.Of(BitConverter.Int32BitsToSingle(bits), values.Length == block);
            scales[b] = divisor.Stored;
            if (book.Bits == 4)
            {
                Encode4(values, scratch, divisor, search, codes.Slice(start / 2, (values.Length + 1) / 2));
            }
            else
            {
                Encode8(values, scratch, divisor, book, codes.Slice(start, values.Length), tier);
            }
        }

        return -1;
    }

    /// <summary>Groups of 16 values to 8 bytes; the partial group at the end is in <paramref name="rest"/>, padded with zeros.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Encode4(ReadOnlySpan<float> values, ReadOnlySpan<float> rest, BlockDivisor divisor, in Search4 search, Span<byte> codes)
    {
        ref float x = ref MemoryMarshal.GetReference(values);
        ref byte to = ref MemoryMarshal.GetReference(codes);
        TLanes factor = TLanes.Create(divisor.Value);
        int i = 0;
        for (; i + 16 <= values.Length; i += 16)
        {
            TLanes v = TLanes.Load(ref Unsafe.Add(ref x, i));
            v = divisor.IsFactor ? TLanes.Multiply(v, factor) : TLanes.Divide(v, factor);
            Unsafe.WriteUnaligned(ref Unsafe.Add(ref to, i / 2), Pack(search.Find(v)));
        }

        if (i < values.Length)
        {
            TLanes v = TLanes.Load(ref MemoryMarshal.GetReference(rest));
            v = divisor.IsFactor ? TLanes.Multiply(v, factor) : TLanes.Divide(v, factor);
            ulong packed = Pack(search.Find(v));
            MemoryMarshal.AsBytes(new ReadOnlySpan<ulong>(in packed))[..(codes.Length - (i / 2))].CopyTo(codes[(i / 2)..]);
        }
    }

    [SkipLocalsInit]
    private static void Encode8(ReadOnlySpan<float> values, ReadOnlySpan<float> rest, BlockDivisor divisor, Codebook book, Span<byte> codes, SimdTier tier)
    {
        TLanes factor = TLanes.Create(divisor.Value);
        Span<float> scaled = stackalloc float[64];
        ref float x = ref MemoryMarshal.GetReference(values);
        ref float to = ref MemoryMarshal.GetReference(scaled);
        int whole = values.Length & ~15;
        for (int first = 0; first < values.Length; first += 64)
        {
            int count = Math.Min(64, values.Length - first);
            for (int i = 0; i < count; i += 16)
            {
                TLanes v = TLanes.Load(in first + i < whole ? ref Unsafe.Add(ref x, first + i) : ref MemoryMarshal.GetReference(rest));
                v = divisor.IsFactor ? TLanes.Multiply(v, factor) : TLanes.Divide(v, factor);
                TLanes.Store(v, ref Unsafe.Add(ref to, i));
            }

            book.Encode8(scaled[..count], codes[first..], tier);
        }
    }

    [SkipLocalsInit]
    public static void DecodeRow4(ReadOnlySpan<byte> codes, int block, Codebook book, ReadOnlySpan<float> scales, Span<float> row)
    {
        TLanes table = TLanes.Load(ref MemoryMarshal.GetArrayDataReference(book.Values));
        Span<float> group = stackalloc float[16];
        for (int b = 0; b < scales.Length; b++)
        {
            int start = b * block;
            Span<float> values = row.Slice(start, Math.Min(block, row.Length - start));
            ReadOnlySpan<byte> packed = codes.Slice(start / 2, (values.Length + 1) / 2);
            TLanes scale = TLanes.Create(scales[b]);
            ref float to = ref MemoryMarshal.GetReference(values);
            ref byte from = ref MemoryMarshal.GetReference(packed);
            int i = 0;
            for (; i + 16 <= values.Length; i += 16)
            {
                TLanes index = Unpack(Unsafe.ReadUnaligned<ulong>(ref Unsafe.Add(ref from, i / 2)));
                TLanes.Store(TLanes.Multiply(TLanes.Lookup16(table, index), scale), ref Unsafe.Add(ref to, i));
            }

            if (i < values.Length)
            {
                ulong last = 0;
                packed[(i / 2)..].CopyTo(MemoryMarshal.AsBytes(new Span<ulong>(ref last)));
                TLanes.Store(TLanes.Multiply(TLanes.Lookup16(table, Unpack(last)), scale), ref group[0]);
                group[..(values.Length - i)].CopyTo(values[i..]);
            }
        }
    }

    /// <summary>Eight bytes of sixteen codes, one per byte; the even ones become high nibbles.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static ulong Pack(TLanes codes)
    {
        Vector128<ushort> pairs = TLanes.LowBytes(codes).AsUInt16();
        Vector128<ushort> joined = ((pairs << 4) | (pairs >>> 8)) & Vector128.Create((ushort)0xFF);
        return Vector128.Narrow(joined, Vector128<ushort>.Zero).AsUInt64().ToScalar();
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static TLanes Unpack(ulong packed)
    {
        Vector128<ushort> bytes = Vector128.WidenLower(Vector128.CreateScalarUnsafe(packed).AsByte());
        return TLanes.FromBytes((((bytes >>> 4) | (bytes << 8)) & Vector128.Create((ushort)0x0F0F)).AsByte());
    }

    /// <summary>The thresholds of a 16-entry codebook in lanes.</summary>
    private readonly struct Search4
    {
        private readonly TLanes _thresholds;
        private readonly TLanes _codes;
        private readonly TLanes _one;
        private readonly TLanes _two;
        private readonly TLanes _four;
        private readonly TLanes _middle;

        public Search4(Codebook book)
        {
            if (book.Bits != 4)
            {
                return;
            }

            Span<int> codes = stackalloc int[16];
            for (int rank = 0; rank < book.Codes.Length; rank++)
            {
                codes[rank] = book.Codes[rank];
            }

            _thresholds = TLanes.Load(in MemoryMarshal.GetReference(book.Thresholds));
            _codes = TLanes.Load(in MemoryMarshal.GetReference(MemoryMarshal.Cast<int, float>(codes)));
            _one = TLanes.CreateInt(1);
            _two = TLanes.CreateInt(2);
            _four = TLanes.CreateInt(4);
            _middle = TLanes.Create(book.Thresholds[7]);
        }

        /// <summary>Codes of 16 values: the rank is built from its highest bit down.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public TLanes Find(TLanes values)
        {
            TLanes rank = TLanes.And(TLanes.GreaterFloat(values, _middle), TLanes.CreateInt(8));
            rank = Step(values, rank, _four, TLanes.CreateInt(3));
            rank = Step(values, rank, _two, _one);
            rank = TLanes.AddInt(rank, TLanes.And(TLanes.GreaterFloat(values, TLanes.Lookup16(_thresholds, rank)), _one));
            return TLanes.Lookup16(_codes, rank);
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private TLanes Step(TLanes values, TLanes rank, TLanes bit, TLanes before) =>
            TLanes.AddInt(rank, TLanes.And(TLanes.GreaterFloat(values, TLanes.Lookup16(_thresholds, TLanes.AddInt(rank, before))), bit));
    }
}
