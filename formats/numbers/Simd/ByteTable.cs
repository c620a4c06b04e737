using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace ModelPack.Numbers;

/// <summary>
/// Decoding of 8-bit codes through a table of 256 f32: value = table[code] x scale, one multiplication. With AVX-512 VBMI 64 codes at a time; otherwise one
/// after the other, which is as fast as the gather instructions.
/// </summary>
internal sealed partial class ByteTable
{
    private readonly float[] _values = new float[256];

    /// <summary>The table as four planes of 256 bytes, lowest bytes first.</summary>
    private readonly byte[] _planes = new byte[1024];

    /// <param name="values">256 values by code.</param>
    public ByteTable(ReadOnlySpan<float> values) => Fill(values);

    /// <summary>Replaces the table; nothing may decode meanwhile.</summary>
    public void Fill(ReadOnlySpan<float> values)
    {
        values[..256].CopyTo(_values);
        _bf16 = null;
        _f16 = null;
        for (int code = 0; code < 256; code++)
        {
            uint bits = BitConverter.SingleToUInt32Bits(_values[code]);
            for (int plane = 0; plane < 4; plane++)
            {
                _planes[(plane * 256) + code] = (byte)(bits >> (8 * plane));
            }
        }
    }

    /// <summary>The values by code.</summary>
    public ReadOnlySpan<float> Values => _values;

    /// <summary>Decodes without a scale.</summary>
    public void Decode(ReadOnlySpan<byte> codes, Span<float> values, SimdTier tier)
    {
        int done = tier == SimdTier.Vector512 && Avx512Vbmi.IsSupported ? Decode64(codes, values, scaled: false, 1f) : 0;
        ref float table = ref MemoryMarshal.GetArrayDataReference(_values);
        for (int i = done; i < values.Length; i++)
        {
            values[i] = Unsafe.Add(ref table, codes[i]);
        }
    }

    /// <summary>Decodes with a scale.</summary>
    public void Decode(ReadOnlySpan<byte> codes, float scale, Span<float> values, SimdTier tier)
    {
        int done = tier == SimdTier.Vector512 && Avx512Vbmi.IsSupported ? Decode64(codes, values, scaled: true, scale) : 0;
        ref float table = ref MemoryMarshal.GetArrayDataReference(_values);
        for (int i = done; i < values.Length; i++)
        {
            values[i] = Unsafe.Add(ref table, codes[i]) * scale;
        }
    }

    /// <summary>
    /// Whole groups of 64 codes; returns how many values were decoded. Per byte plane two 128-entry permutes and a choice by the code's top bit give
    /// 64 bytes; unpacking bytes, then words, within 128-bit lanes joins the planes. The codes are transposed as a 4 x 4 matrix of
    /// 32-bit groups beforehand, so that each joined register holds 16 consecutive values.
    /// </summary>
    private int Decode64(ReadOnlySpan<byte> codes, Span<float> values, bool scaled, float scale)
    {
        int count = values.Length & ~63;
        if (count == 0)
        {
            return 0;
        }

        ref byte from = ref MemoryMarshal.GetReference(codes[..count]);
        ref float to = ref MemoryMarshal.GetReference(values);
        ref byte planes = ref MemoryMarshal.GetArrayDataReference(_planes);
        Vector512<int> transpose = Vector512.Create(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
        Vector512<byte> a0 = Vector512.LoadUnsafe(ref planes), a1 = Vector512.LoadUnsafe(ref planes, 64), a2 = Vector512.LoadUnsafe(ref planes, 128), a3 = Vector512.LoadUnsafe(ref planes, 192);
        Vector512<byte> b0 = Vector512.LoadUnsafe(ref planes, 256), b1 = Vector512.LoadUnsafe(ref planes, 320), b2 = Vector512.LoadUnsafe(ref planes, 384), b3 = Vector512.LoadUnsafe(ref planes, 448);
        Vector512<byte> c0 = Vector512.LoadUnsafe(ref planes, 512), c1 = Vector512.LoadUnsafe(ref planes, 576), c2 = Vector512.LoadUnsafe(ref planes, 640), c3 = Vector512.LoadUnsafe(ref planes, 704);
        Vector512<byte> d0 = Vector512.LoadUnsafe(ref planes, 768), d1 = Vector512.LoadUnsafe(ref planes, 832), d2 = Vector512.LoadUnsafe(ref planes, 896), d3 = Vector512.LoadUnsafe(ref planes, 960);
        Vector512<float> factor = Vector512.Create(scale);
        for (nuint i = 0; i < (nuint)count; i += 64)
        {
            Vector512<byte> code = Avx512F.PermuteVar16x32(Vector512.LoadUnsafe(ref from, i).AsInt32(), transpose).AsByte();
            Vector512<byte> upper = Vector512.LessThan(code.AsSByte(), Vector512<sbyte>.Zero).AsByte();
            Vector512<byte> a = Vector512.ConditionalSelect(upper, Avx512Vbmi.PermuteVar64x8x2(a2, code, a3), Avx512Vbmi.PermuteVar64x8x2(a0, code, a1));
            Vector512<byte> b = Vector512.ConditionalSelect(upper, Avx512Vbmi.PermuteVar64x8x2(b2, code, b3), Avx512Vbmi.PermuteVar64x8x2(b0, code, b1));
            Vector512<byte> c = Vector512.ConditionalSelect(upper, Avx512Vbmi.PermuteVar64x8x2(c2, code, c3), Avx512Vbmi.PermuteVar64x8x2(c0, code, c1));
            Vector512<byte> d = Vector512.ConditionalSelect(upper, Avx512Vbmi.PermuteVar64x8x2(d2, code, d3), Avx512Vbmi.PermuteVar64x8x2(d0, code, d1));
            Vector512<ushort> abLow = Avx512BW.UnpackLow(a, b).AsUInt16(), abHigh = Avx512BW.UnpackHigh(a, b).AsUInt16();
            Vector512<ushort> cdLow = Avx512BW.UnpackLow(c, d).AsUInt16(), cdHigh = Avx512BW.UnpackHigh(c, d).AsUInt16();
            Vector512<float> v0 = Avx512BW.UnpackLow(abLow, cdLow).AsSingle();
            Vector512<float> v1 = Avx512BW.UnpackHigh(abLow, cdLow).AsSingle();
            Vector512<float> v2 = Avx512BW.UnpackLow(abHigh, cdHigh).AsSingle();
            Vector512<float> v3 = Avx512BW.UnpackHigh(abHigh, cdHigh).AsSingle();
            if (scaled)
            {
                v0 *= factor;
                v1 *= factor;
                v2 *= factor;
                v3 *= factor;
            }

            v0.StoreUnsafe(ref to, i);
            v1.StoreUnsafe(ref to, i + 16);
            v2.StoreUnsafe(ref to, i + 32);
            v3.StoreUnsafe(ref to, i + 48);
        }

        return count;
    }
}
