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

    private Vector512<int> Ints
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => _value.AsInt32();
    }

    private Vector512<float> Floats
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => _value.AsSingle();
    }

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
    public static Simd512 ShiftRight(Simd512 value, int count) => new((value.Ints >>> count).AsByte());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd512 ShiftLeft(Simd512 value, int count) => new((value.Ints << count).AsByte());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd512 ToSingle(Simd512 integers) => new(Avx512F.ConvertToVector512Single(integers.Ints).AsByte());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd512 Add(Simd512 left, Simd512 right) => new((left.Floats + right.Floats).AsByte());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd512 Subtract(Simd512 left, Simd512 right) => new((left.Floats - right.Floats).AsByte());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd512 Multiply(Simd512 left, Simd512 right) => new((left.Floats * right.Floats).AsByte());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd512 MultiplyAdd(Simd512 left, Simd512 right, Simd512 addend) =>
        new(Avx512F.FusedMultiplyAdd(left.Floats, right.Floats, addend.Floats).AsByte());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd512 MultiplyIntegers(Simd512 left, Simd512 right) => new((left.Ints * right.Ints).AsByte());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd512 AddIntegers(Simd512 left, Simd512 right) => new((left.Ints + right.Ints).AsByte());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd512 SubtractIntegers(Simd512 left, Simd512 right) => new((left.Ints - right.Ints).AsByte());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd512 Lookup16(float* table, Simd512 indices) => new(Avx512F.PermuteVar16x32(Vector512.Load(table), indices.Ints).AsByte());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd512 Lookup(float* table, Simd512 indices) => new(Vector512.Create(
        Avx2.GatherVector256(table, indices.Ints.GetLower(), sizeof(float)), Avx2.GatherVector256(table, indices.Ints.GetUpper(), sizeof(float))).AsByte());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd512 LookupBytes(Simd512 table, Simd512 indices) => new(Avx512BW.Shuffle(table._value, indices._value));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd512 RepeatBytes(byte* table)
    {
        Vector256<byte> twice = Vector256.Create(Vector128.Load(table), Vector128.Load(table));
        return new(Vector512.Create(twice, twice));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd512 Dot(Simd512 accumulator, Simd512 codes, Simd512 activations)
    {
        // No 512-bit instruction of four products: codes to 16 bits, even and odd bytes apart, so that nothing saturates.
        Vector512<short> even = (codes._value.AsUInt16() & Vector512.Create((ushort)0xFF)).AsInt16();
        Vector512<short> odd = (codes._value.AsUInt16() >>> 8).AsInt16();
        Vector512<short> pairs = activations._value.AsInt16();
        return new((accumulator.Ints + Avx512BW.MultiplyAddAdjacent(even, (pairs << 8) >> 8) + Avx512BW.MultiplyAddAdjacent(odd, pairs >> 8)).AsByte());
    }
}
