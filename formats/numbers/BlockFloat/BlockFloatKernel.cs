using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace ModelPack.Numbers;

/// <summary>
/// Rows over 16 lanes. Encoding takes two passes over a block, which stays in the first-level cache: the largest magnitude as integers (NaN and infinity come out largest), then
/// scale, round, pack 16 codes at a time. Blocks start at multiples of 16 values, so groups of 16 codes start at whole bytes; the last group of a row is padded with zeros in a buffer.
/// </summary>
internal sealed class BlockFloatKernel<TLanes, TElement>(TElement element) : BlockFloatRows
    where TLanes : struct, ILanes16<TLanes>
    where TElement : struct, IElement<TLanes>
{
    private const int ScaleChunk = 256;

    private readonly TElement _element = element;

    [SkipLocalsInit]
    public override int EncodeRow(ReadOnlySpan<float> row, in BlockFloatLayout layout, Span<byte> codes, Span<byte> scales)
    {
        if (layout.Scale == BlockScaleType.None)
        {
            EncodeUnscaled(row, layout, codes);
            return -1;
        }

        BlockFloatLayout local = layout;
        int bits = local.Element.Bits;
        Span<float> rest = stackalloc float[16];
        TLanes magnitudeMask = TLanes.CreateInt(0x7FFFFFFF);
        for (int start = 0, b = 0; start < row.Length; start += local.Block, b++)
        {
            ReadOnlySpan<float> values = row.Slice(start, Math.Min(local.Block, row.Length - start));
            ref float x = ref MemoryMarshal.GetReference(values);
            TLanes magnitudes = default;
            int i = 0;
            for (; i + 16 <= values.Length; i += 16)
            {
                magnitudes = TLanes.MaxInt(magnitudes, TLanes.And(TLanes.Load(ref Unsafe.Add(ref x, i)), magnitudeMask));
            }

            if (i < values.Length)
            {
                rest.Clear();
                values[i..].CopyTo(rest);
                magnitudes = TLanes.MaxInt(magnitudes, TLanes.And(TLanes.Load(in MemoryMarshal.GetReference(rest)), magnitudeMask));
            }

            if (!BlockMap.Choose(TLanes.MaxIntAcross(magnitudes), local, scales, b, out BlockMap map))
            {
                return start;
            }

            Span<byte> to = codes.Slice((int)((long)start * bits / 8), (int)((((long)values.Length * bits) + 7) / 8));
            if (map.Value == 0)
            {
                to.Clear();
                continue;
            }

            TLanes factor = TLanes.Create(map.Value);
            int at = 0;
            for (i = 0; i + 16 <= values.Length; i += 16, at += 2 * bits)
            {
                TLanes v = TLanes.Load(ref Unsafe.Add(ref x, i));
                v = map.Divides ? TLanes.Divide(v, factor) : TLanes.Multiply(v, factor);
                CodePacking.Pack16(TLanes.LowBytes(_element.Encode(v)), bits, to.Slice(at, 2 * bits));
            }

            if (i < values.Length)
            {
                EncodeRest(rest, map, bits, to[at..]);
            }
        }

        return -1;
    }

    public override void DecodeRow(ReadOnlySpan<byte> codes, ReadOnlySpan<byte> scales, in BlockFloatLayout layout, Span<float> row)
    {
        int bits = layout.Element.Bits;
        int done = bits switch
        {
            8 => DecodeGroups<UnpackBytes>(codes, scales, layout, row[..(row.Length & ~15)]),
            4 => DecodeGroups<UnpackNibbles>(codes, scales, layout, row[..(row.Length & ~15)]),
            _ => DecodeGroups<UnpackWide>(codes, scales, layout, row[..WideGroups(row.Length, bits, codes.Length)]),
        };
        for (; done < row.Length; done += 16)
        {
            Span<float> group = row.Slice(done, Math.Min(16, row.Length - done));
            DecodeRest(codes.Slice((int)((long)done * bits / 8), ((group.Length * bits) + 7) / 8), bits, BlockMap.Read(scales, done / layout.Block, layout.Scale), group);
        }
    }

    /// <summary>How many values of a row can be read 16 at a time together with 8 - <paramref name="bits"/> bytes after them.</summary>
    private static int WideGroups(int length, int bits, int codeBytes) =>
        Bmi2.X64.IsSupported && codeBytes >= 8 + bits ? Math.Min(length & ~15, (((codeBytes - 8 - bits) / (2 * bits)) + 1) * 16) : 0;

    /// <summary>Whole groups; returns how many values. One place only where elements are decoded, so that all of it is inlined. Scales are widened many at a time.</summary>
    /// <remarks>Not compiled again with a profile: where the process did so, decoding of 8-bit elements lost a quarter of its speed.</remarks>
    [SkipLocalsInit]
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private int DecodeGroups<TUnpacking>(ReadOnlySpan<byte> codes, ReadOnlySpan<byte> scales, in BlockFloatLayout layout, Span<float> values)
        where TUnpacking : struct, IUnpacking
    {
        TElement element = _element;
        Span<float> factors = stackalloc float[ScaleChunk];
        int bits = layout.Element.Bits;
        int block = layout.Block;
        ulong mask = CodePacking.Mask(bits);
        ref byte from = ref MemoryMarshal.GetReference(codes);
        ref float to = ref MemoryMarshal.GetReference(values);
        int i = 0;
        for (int first = 0; i < values.Length; first += ScaleChunk)
        {
            int count = (int)Math.Min(ScaleChunk, ((long)values.Length - i + block - 1) / block);
            BlockMap.Read<TLanes>(scales, first, layout.Scale, factors[..count]);
            foreach (float scale in factors[..count])
            {
                TLanes factor = TLanes.Create(scale);
                int end = (int)Math.Min((long)i + block, values.Length);
                for (; i < end; i += 16)
                {
                    TLanes code = TLanes.FromBytes(TUnpacking.Read(in from, bits, mask));
                    TLanes.Store(TLanes.Multiply(element.Decode(code), factor), ref Unsafe.Add(ref to, i));
                    from = ref Unsafe.Add(ref from, 2 * bits);
                }
            }
        }

        return i;
    }

    /// <summary>One group, complete or not.</summary>
    [SkipLocalsInit]
    private void DecodeRest(ReadOnlySpan<byte> codes, int bits, float scale, Span<float> values)
    {
        Span<byte> packed = stackalloc byte[16];
        Span<float> decoded = stackalloc float[16];
        packed.Clear();
        codes.CopyTo(packed);
        TLanes code = TLanes.FromBytes(CodePacking.Unpack16(packed[..(2 * bits)], bits));
        TLanes.Store(TLanes.Multiply(_element.Decode(code), TLanes.Create(scale)), ref MemoryMarshal.GetReference(decoded));
        decoded[..values.Length].CopyTo(values);
    }

    [SkipLocalsInit]
    private void EncodeUnscaled(ReadOnlySpan<float> row, in BlockFloatLayout layout, Span<byte> codes)
    {
        int bits = layout.Element.Bits;
        ref float x = ref MemoryMarshal.GetReference(row);
        int i = 0;
        int at = 0;
        for (; i + 16 <= row.Length; i += 16, at += 2 * bits)
        {
            CodePacking.Pack16(TLanes.LowBytes(_element.EncodeWithNan(TLanes.Load(ref Unsafe.Add(ref x, i)))), bits, codes.Slice(at, 2 * bits));
        }

        if (i < row.Length)
        {
            Span<float> rest = stackalloc float[16];
            rest.Clear();
            row[i..].CopyTo(rest);
            PackRest(TLanes.LowBytes(_element.EncodeWithNan(TLanes.Load(in MemoryMarshal.GetReference(rest)))), bits, codes[at..]);
        }
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private void EncodeRest(ReadOnlySpan<float> rest, BlockMap map, int bits, Span<byte> destination)
    {
        TLanes v = TLanes.Load(in MemoryMarshal.GetReference(rest));
        TLanes factor = TLanes.Create(map.Value);
        v = map.Divides ? TLanes.Divide(v, factor) : TLanes.Multiply(v, factor);
        PackRest(TLanes.LowBytes(_element.Encode(v)), bits, destination);
    }

    /// <summary>The last, incomplete group of a row; padding codes are those of zero, so that padding bits are 0.</summary>
    private static void PackRest(Vector128<byte> codes, int bits, Span<byte> destination)
    {
        Span<byte> packed = stackalloc byte[16];
        CodePacking.Pack16(codes, bits, packed[..(2 * bits)]);
        packed[..destination.Length].CopyTo(destination);
    }
}
