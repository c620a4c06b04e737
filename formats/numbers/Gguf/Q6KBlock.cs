using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace ModelPack.Numbers;

/// <summary>Q6_K: 256 values in 16 sub-blocks of 16; low nibbles in 128 bytes, high bit pairs in 64, signed 8-bit scales in 16, f16 d at the end.</summary>
internal readonly struct Q6KBlock : IGgufBlock
{
    private const float LeastGroup = 1e-15f;

    public static int Values => 256;

    public static int Bytes => 210;

    public static bool EncodeReference(ReadOnlySpan<float> values, Span<byte> block)
    {
        Span<float> scales = stackalloc float[16];
        Span<byte> codes = stackalloc byte[256];
        float maxScale = 0;
        for (int j = 0; j < 16; j++)
        {
            scales[j] = KQuantSearch.SymmetricScale(values.Slice(16 * j, 16), 32, codes.Slice(16 * j, 16));
            if (!float.IsFinite(scales[j]))
            {
                return false; // x^2 overflowed.
            }

            maxScale = Math.Abs(scales[j]) > Math.Abs(maxScale) ? scales[j] : maxScale;
        }

        if (Math.Abs(maxScale) < LeastGroup)
        {
            return true;
        }

        float inverse = -128f / maxScale;
        bool fits = GgufHalf.TryWrite(block[208..], 1 / inverse);
        for (int j = 0; j < 16; j++)
        {
            sbyte scale = (sbyte)Math.Clamp(GgufHalf.Nearest(inverse * scales[j]), -128, 127);
            block[192 + j] = (byte)scale;
            float d = GgufHalf.Read(block[208..]) * scale;
            if (d == 0)
            {
                continue;
            }

            for (int l = 0; l < 16; l++)
            {
                codes[(16 * j) + l] = (byte)(Math.Clamp(GgufHalf.Nearest(values[(16 * j) + l] / d), -32, 31) + 32);
            }
        }

        Pack(codes, block);
        return fits;
    }

    [SkipLocalsInit]
    public static bool Encode<TLanes>(ReadOnlySpan<float> values, Span<byte> blocks)
        where TLanes : struct, ILanes16<TLanes>
    {
        Span<float> transposed = AlignedScratch.Of(stackalloc float[256 + AlignedScratch.Slack]);
        Span<float> powers = AlignedScratch.Of(stackalloc float[512 + AlignedScratch.Slack]);
        Span<float> scales = stackalloc float[16];
        Span<float> inverses = stackalloc float[16];
        Span<byte> codes = stackalloc byte[256];
        KQuantLanes<TLanes>.Transpose(values, 16, transposed);
        KQuantLanes<TLanes>.SymmetricScales(transposed, powers, 16, 32, scales, inverses);
        float maxScale = 0;
        foreach (float scale in scales)
        {
            if (!float.IsFinite(scale))
            {
                return false; // x^2 overflowed.
            }

            maxScale = Math.Abs(scale) > Math.Abs(maxScale) ? scale : maxScale;
        }

        if (Math.Abs(maxScale) < LeastGroup)
        {
            return true;
        }

        float inverse = -128f / maxScale;
        bool fits = GgufHalf.TryWrite(blocks[208..], 1 / inverse);
        float unit = GgufHalf.Read(blocks[208..]);
        for (int j = 0; j < 16; j++)
        {
            sbyte scale = (sbyte)Math.Clamp(GgufHalf.Nearest(inverse * scales[j]), -128, 127);
            blocks[192 + j] = (byte)scale;
            scales[j] = unit * scale;
        }

        Quantize<TLanes>(values, scales, inverses, codes);
        Pack(codes, blocks);
        return fits;
    }

    /// <summary>Codes under the rounded scales; a scale that was rounded to 0 leaves those of the search.</summary>
    private static void Quantize<TLanes>(ReadOnlySpan<float> values, ReadOnlySpan<float> scales, ReadOnlySpan<float> inverses, Span<byte> codes)
        where TLanes : struct, ILanes16<TLanes>
    {
        ref float x = ref MemoryMarshal.GetReference(values[..256]);
        ref byte to = ref MemoryMarshal.GetReference(codes[..256]);
        TLanes offset = TLanes.CreateInt(32);
        for (int j = 0; j < 16; j++)
        {
            float d = scales[j];
            TLanes group = TLanes.Load(in Unsafe.Add(ref x, 16 * j));
            TLanes quotient = d == 0 ? TLanes.Multiply(group, TLanes.Create(inverses[j])) : TLanes.Divide(group, TLanes.Create(d));
            TLanes code = TLanes.AddInt(GgufLanes<TLanes>.Clamp(GgufLanes<TLanes>.Nearest(quotient), -32, 31), offset);
            TLanes.LowBytes(d == 0 && inverses[j] == 0 ? default : code).StoreUnsafe(ref to, (nuint)(16 * j));
        }
    }

    /// <summary>256 codes of 6 bits to low nibbles and high pairs.</summary>
    private static void Pack(ReadOnlySpan<byte> codes, Span<byte> block)
    {
        Vector128<byte> nibble = Vector128.Create((byte)15);
        ref byte from = ref MemoryMarshal.GetReference(codes[..256]);
        ref byte to = ref MemoryMarshal.GetReference(block[..192]);
        for (int n = 0; n < 2; n++)
        {
            for (int l = 0; l < 32; l += 16)
            {
                nuint at = (nuint)((128 * n) + l);
                Vector128<byte> a = Vector128.LoadUnsafe(ref from, at);
                Vector128<byte> b = Vector128.LoadUnsafe(ref from, at + 32);
                Vector128<byte> c = Vector128.LoadUnsafe(ref from, at + 64);
                Vector128<byte> d = Vector128.LoadUnsafe(ref from, at + 96);
                ((a & nibble) | (c << 4)).StoreUnsafe(ref to, (nuint)((64 * n) + l));
                ((b & nibble) | (d << 4)).StoreUnsafe(ref to, (nuint)((64 * n) + 32 + l));
                ((a >>> 4) | ((b >>> 4) << 2) | ((c >>> 4) << 4) | ((d >>> 4) << 6)).StoreUnsafe(ref to, (nuint)(128 + (32 * n) + l));
            }
        }
    }

    public static void DecodeReference(ReadOnlySpan<byte> block, Span<float> values)
    {
        float d = GgufHalf.Read(block[208..]);
        for (int i = 0; i < 256; i++)
        {
            int n = i / 128;
            int part = i % 128 / 32;
            int l = i % 32;
            int low = (block[(64 * n) + (part % 2 * 32) + l] >> (part / 2 * 4)) & 15;
            int high = (block[128 + (32 * n) + l] >> (2 * part)) & 3;
            float scale = d * (sbyte)block[192 + (i / 16)];
            values[i] = scale * ((low | (high << 4)) - 32);
        }
    }

    public static void Decode<TLanes>(ReadOnlySpan<byte> block, Span<float> values)
        where TLanes : struct, ILanes16<TLanes>
    {
        float d = GgufHalf.Read(block[208..]);
        Vector128<byte> nibble = Vector128.Create((byte)15);
        Vector128<byte> pair = Vector128.Create((byte)0x30);
        TLanes offset = TLanes.CreateInt(32);
        ref float to = ref MemoryMarshal.GetReference(values);
        for (int n = 0; n < 2; n++)
        {
            for (int l = 0; l < 32; l += 16)
            {
                Vector128<byte> a = Vector128.Create<byte>(block.Slice((64 * n) + l, 16));
                Vector128<byte> b = Vector128.Create<byte>(block.Slice((64 * n) + 32 + l, 16));
                Vector128<byte> high = Vector128.Create<byte>(block.Slice(128 + (32 * n) + l, 16));
                ReadOnlySpan<byte> scales = block[(192 + (8 * n) + (l / 16))..];
                ref float at = ref Unsafe.Add(ref to, (128 * n) + l);
                Store<TLanes>((a & nibble) | ((high << 4) & pair), d * (sbyte)scales[0], offset, ref at);
                Store<TLanes>((b & nibble) | ((high << 2) & pair), d * (sbyte)scales[2], offset, ref Unsafe.Add(ref at, 32));
                Store<TLanes>((a >>> 4) | (high & pair), d * (sbyte)scales[4], offset, ref Unsafe.Add(ref at, 64));
                Store<TLanes>((b >>> 4) | ((high >>> 2) & pair), d * (sbyte)scales[6], offset, ref Unsafe.Add(ref at, 96));
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Store<TLanes>(Vector128<byte> codes, float scale, TLanes offset, ref float to)
        where TLanes : struct, ILanes16<TLanes> =>
        TLanes.Store(TLanes.Multiply(TLanes.Create(scale), TLanes.IntToFloat(TLanes.SubtractInt(TLanes.FromBytes(codes), offset))), ref to);
}
