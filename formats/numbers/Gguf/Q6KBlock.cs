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

    public static bool Encode(ReadOnlySpan<float> values, Span<byte> block)
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

        for (int n = 0; n < 2; n++)
        {
            for (int l = 0; l < 32; l++)
            {
                int a = codes[(128 * n) + l];
                int b = codes[(128 * n) + 32 + l];
                int c = codes[(128 * n) + 64 + l];
                int d = codes[(128 * n) + 96 + l];
                block[(64 * n) + l] = (byte)((a & 15) | ((c & 15) << 4));
                block[(64 * n) + 32 + l] = (byte)((b & 15) | ((d & 15) << 4));
                block[128 + (32 * n) + l] = (byte)((a >> 4) | ((b >> 4) << 2) | ((c >> 4) << 4) | ((d >> 4) << 6));
            }
        }

        return fits;
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
