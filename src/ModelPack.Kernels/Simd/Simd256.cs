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
    public static Simd256 SelectBySign(Simd256 sign, Simd256 negative, Simd256 other) => new(Avx.BlendVariable(other._value.AsSingle(), negative._value.AsSingle(), sign._value.AsSingle()).AsByte());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd256 ShiftRight(Simd256 value, int count) => new((value._value.AsInt32() >>> count).AsByte());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd256 ShiftLeft(Simd256 value, int count) => new((value._value.AsInt32() << count).AsByte());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd256 ToSingle(Simd256 integers) => new(Avx.ConvertToVector256Single(integers._value.AsInt32()).AsByte());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd256 Add(Simd256 left, Simd256 right) => new((left._value.AsSingle() + right._value.AsSingle()).AsByte());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd256 Subtract(Simd256 left, Simd256 right) => new((left._value.AsSingle() - right._value.AsSingle()).AsByte());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd256 Multiply(Simd256 left, Simd256 right) => new((left._value.AsSingle() * right._value.AsSingle()).AsByte());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd256 Divide(Simd256 left, Simd256 right) => new((left._value.AsSingle() / right._value.AsSingle()).AsByte());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd256 Min(Simd256 left, Simd256 right) => new((Vector256.MinNative(left._value.AsSingle(), right._value.AsSingle())).AsByte());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd256 Max(Simd256 left, Simd256 right) => new((Vector256.MaxNative(left._value.AsSingle(), right._value.AsSingle())).AsByte());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd256 MultiplyAdd(Simd256 left, Simd256 right, Simd256 addend) => new(Fma.MultiplyAdd(left._value.AsSingle(), right._value.AsSingle(), addend._value.AsSingle()).AsByte());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd256 MultiplyIntegers(Simd256 left, Simd256 right) => new((left._value.AsInt32() * right._value.AsInt32()).AsByte());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd256 AddIntegers(Simd256 left, Simd256 right) => new((left._value.AsInt32() + right._value.AsInt32()).AsByte());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd256 SubtractIntegers(Simd256 left, Simd256 right) => new((left._value.AsInt32() - right._value.AsInt32()).AsByte());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd256 Lookup16(float* table, Simd256 indices)
    {
        // Both halves of the table; bit 3, moved to the sign, chooses between them.
        Vector256<float> low = Avx2.PermuteVar8x32(Vector256.Load(table), indices._value.AsInt32());
        Vector256<float> high = Avx2.PermuteVar8x32(Vector256.Load(table + 8), indices._value.AsInt32());
        return new(Avx.BlendVariable(low, high, (indices._value.AsInt32() << 28).AsSingle()).AsByte());
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd256 Lookup(float* table, Simd256 indices) => new(Avx2.GatherVector256(table, indices._value.AsInt32(), sizeof(float)).AsByte());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Pair64(float* table, Simd256 codes, out Simd256 a, out Simd256 b, out Simd256 c, out Simd256 d) => Pair256(table, codes, out a, out b, out c, out d);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void PairSigned(float* table, Simd256 codes, out Simd256 a, out Simd256 b, out Simd256 c, out Simd256 d) => Pair256(table, codes, out a, out b, out c, out d);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Pair256(float* table, Simd256 codes, out Simd256 a, out Simd256 b, out Simd256 c, out Simd256 d)
    {
        // Back to the order of rows.
        Vector128<byte> order = Vector128.Create((byte)0, 1, 8, 9, 2, 3, 10, 11, 4, 5, 12, 13, 6, 7, 14, 15);
        Vector256<int> rows = Avx2.Shuffle(codes._value, Vector256.Create(order, order)).AsInt32();
        Vector256<int> mask = Vector256.Create(0xFF);
        a = Lookup(table, new((rows & mask).AsByte()));
        b = Lookup(table, new(((rows >>> 8) & mask).AsByte()));
        c = Lookup(table, new(((rows >>> 16) & mask).AsByte()));
        d = Lookup(table, new((rows >>> 24).AsByte()));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd256 LookupBytes(Simd256 table, Simd256 indices) => new(Avx2.Shuffle(table._value, indices._value & Vector256.Create((byte)15)));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd256 RepeatBytes(byte* table) => new(Vector256.Create(Vector128.Load(table), Vector128.Load(table)));

    public static bool HasDot => AvxVnni.IsSupported;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd256 Dot(Simd256 accumulator, Simd256 codes, Simd256 activations)
    {
        if (AvxVnni.IsSupported)
        {
            return new(AvxVnni.MultiplyWideningAndAdd(accumulator._value.AsInt32(), codes._value, activations._value.AsSByte()).AsByte());
        }

        // Even and odd bytes apart: for tests on machines without the instruction.
        Vector256<short> pairs = activations._value.AsInt16();
        Simd256 even = DotWords(accumulator, new(codes._value & Vector256.Create((ushort)0xFF).AsByte()), new(((pairs << 8) >> 8).AsByte()));
        return DotWords(even, ShiftRightWords(codes, 8), new((pairs >> 8).AsByte()));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd256 MultiplyBytes(Simd256 codes, Simd256 activations) => new(Avx2.MultiplyAddAdjacent(codes._value, activations._value.AsSByte()).AsByte());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd256 AddWords(Simd256 left, Simd256 right) => new((left._value.AsInt16() + right._value.AsInt16()).AsByte());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd256 ShiftRightWords(Simd256 value, int count) => new((value._value.AsUInt16() >>> count).AsByte());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd256 DotWords(Simd256 accumulator, Simd256 left, Simd256 right) =>
        new((accumulator._value.AsInt32() + Avx2.MultiplyAddAdjacent(left._value.AsInt16(), right._value.AsInt16())).AsByte());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd256 AddPairs(Simd256 accumulator, Simd256 words) => DotWords(accumulator, words, new(Vector256<short>.One.AsByte()));
}
