using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace ModelPack.Numbers;

/// <summary>Decoding of 8-bit codes to 16-bit floats: the table holds the rounded values, so there is nothing left to round.</summary>
internal sealed partial class ByteTable
{
    // Made when first asked for; two threads may make the same one.
    private Narrow? _bf16;
    private Narrow? _f16;

    /// <summary>Decodes without a scale to BF16 or F16.</summary>
    public void DecodeNarrow(ReadOnlySpan<byte> codes, DType dtype, Span<ushort> values, SimdTier tier)
    {
        codes = codes[..values.Length];
        Narrow table = dtype == DType.BF16 ? _bf16 ??= new Narrow(_values, DType.BF16) : _f16 ??= new Narrow(_values, DType.F16);
        int done = tier == SimdTier.Vector512 && Avx512Vbmi.IsSupported ? table.Decode64(codes, values) : 0;
        ref ushort entries = ref MemoryMarshal.GetArrayDataReference(table.Values);
        for (int i = done; i < values.Length; i++)
        {
            values[i] = Unsafe.Add(ref entries, codes[i]);
        }
    }

    private sealed class Narrow
    {
        /// <summary>Lower bytes, then upper bytes.</summary>
        private readonly byte[] _planes = new byte[512];

        public Narrow(ReadOnlySpan<float> values, DType dtype)
        {
            Values = new ushort[256];
            NarrowDecoding.Narrow(values, dtype, MemoryMarshal.AsBytes(Values.AsSpan()), SimdTier.Scalar);
            for (int code = 0; code < 256; code++)
            {
                _planes[code] = (byte)Values[code];
                _planes[256 + code] = (byte)(Values[code] >> 8);
            }
        }

        public ushort[] Values { get; }

        /// <summary>
        /// Whole groups of 64 codes; returns how many values were decoded. As the f32 decoder with two planes; unpacking within 128-bit lanes gives codes 0-7 of every
        /// lane in one register and 8-15 in the other, so the 64-bit halves of the codes are ordered beforehand for both to come out consecutive.
        /// </summary>
        public int Decode64(ReadOnlySpan<byte> codes, Span<ushort> values)
        {
            int count = codes.Length & ~63;
            ref byte from = ref MemoryMarshal.GetReference(codes);
            ref ushort to = ref MemoryMarshal.GetReference(values);
            ref byte planes = ref MemoryMarshal.GetArrayDataReference(_planes);
            Vector512<long> order = Vector512.Create(0L, 4, 1, 5, 2, 6, 3, 7);
            Vector512<byte> a0 = Vector512.LoadUnsafe(ref planes), a1 = Vector512.LoadUnsafe(ref planes, 64), a2 = Vector512.LoadUnsafe(ref planes, 128), a3 = Vector512.LoadUnsafe(ref planes, 192);
            Vector512<byte> b0 = Vector512.LoadUnsafe(ref planes, 256), b1 = Vector512.LoadUnsafe(ref planes, 320), b2 = Vector512.LoadUnsafe(ref planes, 384), b3 = Vector512.LoadUnsafe(ref planes, 448);
            for (nuint i = 0; i < (nuint)count; i += 64)
            {
                Vector512<byte> code = Avx512F.PermuteVar8x64(Vector512.LoadUnsafe(ref from, i).AsInt64(), order).AsByte();
                Vector512<byte> upper = Vector512.LessThan(code.AsSByte(), Vector512<sbyte>.Zero).AsByte();
                Vector512<byte> a = Vector512.ConditionalSelect(upper, Avx512Vbmi.PermuteVar64x8x2(a2, code, a3), Avx512Vbmi.PermuteVar64x8x2(a0, code, a1));
                Vector512<byte> b = Vector512.ConditionalSelect(upper, Avx512Vbmi.PermuteVar64x8x2(b2, code, b3), Avx512Vbmi.PermuteVar64x8x2(b0, code, b1));
                Avx512BW.UnpackLow(a, b).AsUInt16().StoreUnsafe(ref to, i);
                Avx512BW.UnpackHigh(a, b).AsUInt16().StoreUnsafe(ref to, i + 32);
            }

            return count;
        }
    }
}
