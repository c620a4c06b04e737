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
                TLanes v = TLanes.Load(in MemoryMarshal.GetReference(rest));
                v = map.Divides ? TLanes.Divide(v, factor) : TLanes.Multiply(v, factor);
                PackRest(TLanes.LowBytes(_element.Encode(v)), bits, to[at..]);
            }
        }

        return -1;
    }

    public override void DecodeRow(ReadOnlySpan<byte> codes, ReadOnlySpan<byte> scales, in BlockFloatLayout layout, Span<float> row)
    {
        BlockFloatLayout local = layout;
        int bits = local.Element.Bits;
        for (int start = 0, b = 0; start < row.Length; start += local.Block, b++)
        {
            Span<float> values = row.Slice(start, Math.Min(local.Block, row.Length - start));
            DecodeBlock(codes[(int)((long)start * bits / 8)..], bits, BlockMap.Read(scales, b, local.Scale), values);
        }
    }

    [SkipLocalsInit]
    private void DecodeBlock(ReadOnlySpan<byte> codes, int bits, float scale, Span<float> values)
    {
        TLanes factor = TLanes.Create(scale);
        ref float to = ref MemoryMarshal.GetReference(values);
        int i = 0;
        int at = 0;
        if (bits is not (4 or 8) && Bmi2.X64.IsSupported)
        {
            ulong mask = CodePacking.Mask(bits);
            ref byte from = ref MemoryMarshal.GetReference(codes);
            for (; i + 16 <= values.Length && at + 8 + bits <= codes.Length; i += 16, at += 2 * bits)
            {
                TLanes code = TLanes.FromBytes(CodePacking.Unpack16Wide(in Unsafe.Add(ref from, at), bits, mask));
                TLanes.Store(TLanes.Multiply(_element.Decode(code), factor), ref Unsafe.Add(ref to, i));
            }
        }

        for (; i + 16 <= values.Length; i += 16, at += 2 * bits)
        {
            TLanes code = TLanes.FromBytes(CodePacking.Unpack16(codes.Slice(at, 2 * bits), bits));
            TLanes.Store(TLanes.Multiply(_element.Decode(code), factor), ref Unsafe.Add(ref to, i));
        }

        if (i < values.Length)
        {
            Span<byte> packed = stackalloc byte[16];
            Span<float> decoded = stackalloc float[16];
            packed.Clear();
            codes[at..Math.Min(codes.Length, at + (2 * bits))].CopyTo(packed);
            TLanes code = TLanes.FromBytes(CodePacking.Unpack16(packed[..(2 * bits)], bits));
            TLanes.Store(TLanes.Multiply(_element.Decode(code), factor), ref MemoryMarshal.GetReference(decoded));
            decoded[..(values.Length - i)].CopyTo(values[i..]);
        }
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

    /// <summary>The last, incomplete group of a row; padding codes are those of zero, so that padding bits are 0.</summary>
    private static void PackRest(Vector128<byte> codes, int bits, Span<byte> destination)
    {
        Span<byte> packed = stackalloc byte[16];
        CodePacking.Pack16(codes, bits, packed[..(2 * bits)]);
        packed[..destination.Length].CopyTo(destination);
    }
}
