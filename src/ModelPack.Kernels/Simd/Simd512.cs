using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace ModelPack.Kernels;

/// <summary>Sixteen lanes; needs AVX-512 F, BW.</summary>
internal readonly unsafe struct Simd512(Vector512<byte> value) : ISimd<Simd512>
{
    private readonly Vector512<byte> _value = value;

    public static bool IsSupported => Avx512F.IsSupported && Avx512BW.IsSupported;

    public static int Count => 16;

    public static Simd512 Zero => new(Vector512<byte>.Zero);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd512 Load(void* source) => new(Vector512.Load((byte*)source));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store(Simd512 value, void* destination) => value._value.Store((byte*)destination);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd512 Broadcast(void* source) => new(Vector512.Create(*(float*)source).AsByte());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd512 Create(float value) => new(Vector512.Create(value).AsByte());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd512 Create(int value) => new(Vector512.Create(value).AsByte());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd512 WidenBytes(byte* source) => new(Avx512F.ConvertToVector512Int32(Vector128.Load(source)).AsByte());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd512 WidenWords(ushort* source) => new(Avx512F.ConvertToVector512Int32(Vector256.Load(source)).AsByte());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd512 And(Simd512 left, Simd512 right) => new(left._value & right._value);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd512 Or(Simd512 left, Simd512 right) => new(left._value | right._value);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd512 SelectBySign(Simd512 sign, Simd512 negative, Simd512 other) => new(Vector512.ConditionalSelect(Vector512.LessThan(sign._value.AsInt32(), Vector512<int>.Zero), negative._value.AsInt32(), other._value.AsInt32()).AsByte());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd512 ShiftRight(Simd512 value, int count) => new((value._value.AsInt32() >>> count).AsByte());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd512 ShiftLeft(Simd512 value, int count) => new((value._value.AsInt32() << count).AsByte());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd512 ToSingle(Simd512 integers) => new(Avx512F.ConvertToVector512Single(integers._value.AsInt32()).AsByte());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd512 Add(Simd512 left, Simd512 right) => new((left._value.AsSingle() + right._value.AsSingle()).AsByte());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd512 Subtract(Simd512 left, Simd512 right) => new((left._value.AsSingle() - right._value.AsSingle()).AsByte());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd512 Multiply(Simd512 left, Simd512 right) => new((left._value.AsSingle() * right._value.AsSingle()).AsByte());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd512 Divide(Simd512 left, Simd512 right) => new((left._value.AsSingle() / right._value.AsSingle()).AsByte());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd512 Min(Simd512 left, Simd512 right) => new((Vector512.MinNative(left._value.AsSingle(), right._value.AsSingle())).AsByte());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd512 Max(Simd512 left, Simd512 right) => new((Vector512.MaxNative(left._value.AsSingle(), right._value.AsSingle())).AsByte());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd512 MultiplyAdd(Simd512 left, Simd512 right, Simd512 addend) =>
        new(Avx512F.FusedMultiplyAdd(left._value.AsSingle(), right._value.AsSingle(), addend._value.AsSingle()).AsByte());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd512 MultiplyIntegers(Simd512 left, Simd512 right) => new((left._value.AsInt32() * right._value.AsInt32()).AsByte());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd512 AddIntegers(Simd512 left, Simd512 right) => new((left._value.AsInt32() + right._value.AsInt32()).AsByte());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd512 SubtractIntegers(Simd512 left, Simd512 right) => new((left._value.AsInt32() - right._value.AsInt32()).AsByte());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd512 Lookup16(float* table, Simd512 indices) => new(Avx512F.PermuteVar16x32(Vector512.Load(table), indices._value.AsInt32()).AsByte());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd512 Lookup(float* table, Simd512 indices) => new(Vector512.Create(
        Avx2.GatherVector256(table, indices._value.AsInt32().GetLower(), sizeof(float)), Avx2.GatherVector256(table, indices._value.AsInt32().GetUpper(), sizeof(float))).AsByte());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Pair64(float* table, Simd512 codes, out Simd512 a, out Simd512 b, out Simd512 c, out Simd512 d)
    {
        if (!Avx512Vbmi.IsSupported)
        {
            Gather(table, codes, out a, out b, out c, out d);
            return;
        }

        byte* planes = (byte*)(table + 256);
        Join(Avx512Vbmi.PermuteVar64x8(Vector512.Load(planes), codes._value), Avx512Vbmi.PermuteVar64x8(Vector512.Load(planes + 256), codes._value), out a, out b, out c, out d);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void PairSigned(float* table, Simd512 codes, out Simd512 a, out Simd512 b, out Simd512 c, out Simd512 d)
    {
        if (!Avx512Vbmi.IsSupported)
        {
            Gather(table, codes, out a, out b, out c, out d);
            return;
        }

        // Seven bits choose; the eighth is the sign, and the highest bit of a bf16.
        byte* planes = (byte*)(table + 256);
        Vector512<byte> high = Avx512Vbmi.PermuteVar64x8x2(Vector512.Load(planes), codes._value, Vector512.Load(planes + 64)) | (codes._value & Vector512.Create((byte)0x80));
        Vector512<byte> low = Avx512Vbmi.PermuteVar64x8x2(Vector512.Load(planes + 256), codes._value, Vector512.Load(planes + 320));
        Join(high, low, out a, out b, out c, out d);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Pair256(float* table, Simd512 codes, out Simd512 a, out Simd512 b, out Simd512 c, out Simd512 d)
    {
        if (!Avx512Vbmi.IsSupported)
        {
            Gather(table, codes, out a, out b, out c, out d);
            return;
        }

        byte* planes = (byte*)(table + 256);
        Join(Lookup256(planes, codes._value), Lookup256(planes + 256, codes._value), out a, out b, out c, out d);
    }

    /// <summary>table[byte] of 256 bytes: both halves by the lower seven bits, chosen between by the eighth.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<byte> Lookup256(byte* table, Vector512<byte> codes)
    {
        Vector512<byte> lower = Avx512Vbmi.PermuteVar64x8x2(Vector512.Load(table), codes, Vector512.Load(table + 64));
        Vector512<byte> upper = Avx512Vbmi.PermuteVar64x8x2(Vector512.Load(table + 128), codes, Vector512.Load(table + 192));
        return Vector512.ConditionalSelect(Vector512.LessThan(codes.AsSByte(), Vector512<sbyte>.Zero).AsByte(), upper, lower);
    }

    /// <summary>
    /// Upper and lower bytes of bf16 in paired order to f32: interleaved, a pair of words is two columns of one row, the first in the lower half of a lane.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Join(Vector512<byte> high, Vector512<byte> low, out Simd512 a, out Simd512 b, out Simd512 c, out Simd512 d)
    {
        Vector512<uint> first = Avx512BW.UnpackLow(low, high).AsUInt32();
        Vector512<uint> second = Avx512BW.UnpackHigh(low, high).AsUInt32();
        Vector512<uint> mask = Vector512.Create(0xFFFF0000);
        a = new((first << 16).AsByte());
        b = new((first & mask).AsByte());
        c = new((second << 16).AsByte());
        d = new((second & mask).AsByte());
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Gather(float* table, Simd512 codes, out Simd512 a, out Simd512 b, out Simd512 c, out Simd512 d)
    {
        // Back to the order of rows.
        Vector128<byte> order = Vector128.Create((byte)0, 1, 8, 9, 2, 3, 10, 11, 4, 5, 12, 13, 6, 7, 14, 15);
        Vector256<byte> twice = Vector256.Create(order, order);
        Vector512<int> rows = Avx512BW.Shuffle(codes._value, Vector512.Create(twice, twice)).AsInt32();
        Vector512<int> mask = Vector512.Create(0xFF);
        a = Lookup(table, new((rows & mask).AsByte()));
        b = Lookup(table, new(((rows >>> 8) & mask).AsByte()));
        c = Lookup(table, new(((rows >>> 16) & mask).AsByte()));
        d = Lookup(table, new((rows >>> 24).AsByte()));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd512 LookupBytes(Simd512 table, Simd512 indices) => new(Avx512Vbmi.IsSupported
        ? Avx512Vbmi.PermuteVar64x8(table._value, indices._value)
        : Avx512BW.Shuffle(table._value, indices._value & Vector512.Create((byte)15)));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd512 RepeatBytes(byte* table)
    {
        Vector256<byte> twice = Vector256.Create(Vector128.Load(table), Vector128.Load(table));
        return new(Vector512.Create(twice, twice));
    }

    /// <summary>.NET has no 512-bit instruction of four products.</summary>
    public static bool HasDot => false;

    public static Simd512 Dot(Simd512 accumulator, Simd512 codes, Simd512 activations) => throw new NotSupportedException();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd512 MultiplyBytes(Simd512 codes, Simd512 activations) => new(Avx512BW.MultiplyAddAdjacent(codes._value, activations._value.AsSByte()).AsByte());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd512 AddWords(Simd512 left, Simd512 right) => new((left._value.AsInt16() + right._value.AsInt16()).AsByte());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd512 ShiftRightWords(Simd512 value, int count) => new((value._value.AsUInt16() >>> count).AsByte());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd512 DotWords(Simd512 accumulator, Simd512 left, Simd512 right) =>
        new((accumulator._value.AsInt32() + Avx512BW.MultiplyAddAdjacent(left._value.AsInt16(), right._value.AsInt16())).AsByte());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd512 AddPairs(Simd512 accumulator, Simd512 words) => DotWords(accumulator, words, new(Vector512<short>.One.AsByte()));
}
