using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace ModelPack.Kernels;

/// <summary>Eight lanes; needs AVX2 and FMA.</summary>
internal readonly unsafe struct Simd256(Vector256<byte> value) : ISimd<Simd256>
{
    private readonly Vector256<byte> _value = value;

    public static bool IsSupported => Avx2.IsSupported && Fma.IsSupported;

    public static int Count => 8;

    public static Simd256 Zero => new(Vector256<byte>.Zero);

    private Vector256<int> Ints
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => _value.AsInt32();
    }

    private Vector256<float> Floats
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => _value.AsSingle();
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd256 Load(void* source) => new(Vector256.Load((byte*)source));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store(Simd256 value, void* destination) => value._value.Store((byte*)destination);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd256 Broadcast(void* source) => new(Vector256.Create(*(float*)source).AsByte());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd256 Create(float value) => new(Vector256.Create(value).AsByte());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd256 Create(int value) => new(Vector256.Create(value).AsByte());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd256 WidenBytes(byte* source) => new(Avx2.ConvertToVector256Int32(Vector128.CreateScalarUnsafe(*(ulong*)source).AsByte()).AsByte());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd256 WidenWords(ushort* source) => new(Avx2.ConvertToVector256Int32(Vector128.Load(source)).AsByte());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd256 And(Simd256 left, Simd256 right) => new(left._value & right._value);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd256 Or(Simd256 left, Simd256 right) => new(left._value | right._value);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd256 ShiftRight(Simd256 value, int count) => new((value.Ints >>> count).AsByte());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd256 ShiftLeft(Simd256 value, int count) => new((value.Ints << count).AsByte());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd256 ToSingle(Simd256 integers) => new(Avx.ConvertToVector256Single(integers.Ints).AsByte());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd256 Add(Simd256 left, Simd256 right) => new((left.Floats + right.Floats).AsByte());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd256 Subtract(Simd256 left, Simd256 right) => new((left.Floats - right.Floats).AsByte());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd256 Multiply(Simd256 left, Simd256 right) => new((left.Floats * right.Floats).AsByte());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd256 MultiplyAdd(Simd256 left, Simd256 right, Simd256 addend) => new(Fma.MultiplyAdd(left.Floats, right.Floats, addend.Floats).AsByte());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd256 MultiplyIntegers(Simd256 left, Simd256 right) => new((left.Ints * right.Ints).AsByte());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd256 AddIntegers(Simd256 left, Simd256 right) => new((left.Ints + right.Ints).AsByte());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd256 SubtractIntegers(Simd256 left, Simd256 right) => new((left.Ints - right.Ints).AsByte());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd256 Lookup16(float* table, Simd256 indices)
    {
        // Both halves of the table; bit 3, moved to the sign, chooses between them.
        Vector256<float> low = Avx2.PermuteVar8x32(Vector256.Load(table), indices.Ints);
        Vector256<float> high = Avx2.PermuteVar8x32(Vector256.Load(table + 8), indices.Ints);
        return new(Avx.BlendVariable(low, high, (indices.Ints << 28).AsSingle()).AsByte());
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd256 Lookup(float* table, Simd256 indices) => new(Avx2.GatherVector256(table, indices.Ints, sizeof(float)).AsByte());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd256 LookupBytes(Simd256 table, Simd256 indices) => new(Avx2.Shuffle(table._value, indices._value));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd256 RepeatBytes(byte* table) => new(Vector256.Create(Vector128.Load(table), Vector128.Load(table)));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd256 Dot(Simd256 accumulator, Simd256 codes, Simd256 activations)
    {
        if (AvxVnni.IsSupported)
        {
            return new(AvxVnni.MultiplyWideningAndAdd(accumulator.Ints, codes._value, activations._value.AsSByte()).AsByte());
        }

        // Codes to 16 bits, even and odd bytes apart, so that nothing saturates.
        Vector256<short> even = (codes._value.AsUInt16() & Vector256.Create((ushort)0xFF)).AsInt16();
        Vector256<short> odd = (codes._value.AsUInt16() >>> 8).AsInt16();
        Vector256<short> pairs = activations._value.AsInt16();
        return new((accumulator.Ints + Avx2.MultiplyAddAdjacent(even, (pairs << 8) >> 8) + Avx2.MultiplyAddAdjacent(odd, pairs >> 8)).AsByte());
    }
}
