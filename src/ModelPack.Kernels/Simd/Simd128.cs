using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace ModelPack.Kernels;

/// <summary>Four lanes by portable operations only: Arm64, older x86, and plain code where nothing is accelerated.</summary>
internal readonly unsafe struct Simd128(Vector128<byte> value) : ISimd<Simd128>
{
    private readonly Vector128<byte> _value = value;

    public static int Count => 4;

    public static Simd128 Zero => new(Vector128<byte>.Zero);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd128 Load(void* source) => new(Vector128.Load((byte*)source));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store(Simd128 value, void* destination) => value._value.Store((byte*)destination);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd128 Broadcast(void* source) => new(Vector128.Create(*(float*)source).AsByte());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd128 Create(float value) => new(Vector128.Create(value).AsByte());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd128 Create(int value) => new(Vector128.Create(value).AsByte());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd128 WidenBytes(byte* source) => new(Vector128.Create((int)source[0], source[1], source[2], source[3]).AsByte());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd128 WidenWords(ushort* source) => new(Vector128.Create((int)source[0], source[1], source[2], source[3]).AsByte());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd128 And(Simd128 left, Simd128 right) => new(left._value & right._value);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd128 Or(Simd128 left, Simd128 right) => new(left._value | right._value);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd128 SelectBySign(Simd128 sign, Simd128 negative, Simd128 other) => new(Vector128.ConditionalSelect(sign._value.AsInt32() >> 31, negative._value.AsInt32(), other._value.AsInt32()).AsByte());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd128 ShiftRight(Simd128 value, int count) => new((value._value.AsInt32() >>> count).AsByte());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd128 ShiftLeft(Simd128 value, int count) => new((value._value.AsInt32() << count).AsByte());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd128 ToSingle(Simd128 integers) => new(Vector128.ConvertToSingle(integers._value.AsInt32()).AsByte());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd128 Add(Simd128 left, Simd128 right) => new((left._value.AsSingle() + right._value.AsSingle()).AsByte());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd128 Subtract(Simd128 left, Simd128 right) => new((left._value.AsSingle() - right._value.AsSingle()).AsByte());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd128 Multiply(Simd128 left, Simd128 right) => new((left._value.AsSingle() * right._value.AsSingle()).AsByte());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd128 Divide(Simd128 left, Simd128 right) => new((left._value.AsSingle() / right._value.AsSingle()).AsByte());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd128 Min(Simd128 left, Simd128 right) => new((Vector128.MinNative(left._value.AsSingle(), right._value.AsSingle())).AsByte());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd128 Max(Simd128 left, Simd128 right) => new((Vector128.MaxNative(left._value.AsSingle(), right._value.AsSingle())).AsByte());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd128 MultiplyAdd(Simd128 left, Simd128 right, Simd128 addend) => new(Vector128.MultiplyAddEstimate(left._value.AsSingle(), right._value.AsSingle(), addend._value.AsSingle()).AsByte());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd128 MultiplyIntegers(Simd128 left, Simd128 right) => new((left._value.AsInt32() * right._value.AsInt32()).AsByte());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd128 AddIntegers(Simd128 left, Simd128 right) => new((left._value.AsInt32() + right._value.AsInt32()).AsByte());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd128 SubtractIntegers(Simd128 left, Simd128 right) => new((left._value.AsInt32() - right._value.AsInt32()).AsByte());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd128 Lookup16(float* table, Simd128 indices) => Lookup(table, new((indices._value.AsInt32() & Vector128.Create(15)).AsByte()));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd128 Lookup(float* table, Simd128 indices)
    {
        Vector128<int> i = indices._value.AsInt32();
        return new(Vector128.Create(table[i.GetElement(0)], table[i.GetElement(1)], table[i.GetElement(2)], table[i.GetElement(3)]).AsByte());
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Pair64(float* table, Simd128 codes, out Simd128 a, out Simd128 b, out Simd128 c, out Simd128 d) => Pair256(table, codes, out a, out b, out c, out d);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void PairSigned(float* table, Simd128 codes, out Simd128 a, out Simd128 b, out Simd128 c, out Simd128 d) => Pair256(table, codes, out a, out b, out c, out d);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Pair256(float* table, Simd128 codes, out Simd128 a, out Simd128 b, out Simd128 c, out Simd128 d)
    {
        // Back to the order of rows.
        Vector128<byte> order = Vector128.Create((byte)0, 1, 8, 9, 2, 3, 10, 11, 4, 5, 12, 13, 6, 7, 14, 15);
        Vector128<int> rows = Vector128.Shuffle(codes._value, order).AsInt32();
        Vector128<int> mask = Vector128.Create(0xFF);
        a = Lookup(table, new((rows & mask).AsByte()));
        b = Lookup(table, new(((rows >>> 8) & mask).AsByte()));
        c = Lookup(table, new(((rows >>> 16) & mask).AsByte()));
        d = Lookup(table, new((rows >>> 24).AsByte()));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd128 LookupBytes(Simd128 table, Simd128 indices) => new(Vector128.Shuffle(table._value, indices._value & Vector128.Create((byte)15)));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd128 RepeatBytes(byte* table) => new(Vector128.Load(table));

    /// <summary>There is no portable operation of four products.</summary>
    public static bool HasDot => false;

    public static Simd128 Dot(Simd128 accumulator, Simd128 codes, Simd128 activations) => throw new NotSupportedException();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd128 MultiplyBytes(Simd128 codes, Simd128 activations)
    {
        if (Ssse3.IsSupported)
        {
            return new(Ssse3.MultiplyAddAdjacent(codes._value, activations._value.AsSByte()).AsByte());
        }

        // Even and odd bytes apart.
        Vector128<short> pairs = activations._value.AsInt16();
        Vector128<short> even = (codes._value.AsUInt16() & Vector128.Create((ushort)0xFF)).AsInt16() * ((pairs << 8) >> 8);
        return new((even + ((codes._value.AsUInt16() >>> 8).AsInt16() * (pairs >> 8))).AsByte());
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd128 AddWords(Simd128 left, Simd128 right) => new((left._value.AsInt16() + right._value.AsInt16()).AsByte());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd128 ShiftRightWords(Simd128 value, int count) => new((value._value.AsUInt16() >>> count).AsByte());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd128 DotWords(Simd128 accumulator, Simd128 left, Simd128 right)
    {
        if (Sse2.IsSupported)
        {
            return new((accumulator._value.AsInt32() + Sse2.MultiplyAddAdjacent(left._value.AsInt16(), right._value.AsInt16())).AsByte());
        }

        Vector128<int> l = left._value.AsInt32();
        Vector128<int> r = right._value.AsInt32();
        return new((accumulator._value.AsInt32() + (((l << 16) >> 16) * ((r << 16) >> 16)) + ((l >> 16) * (r >> 16))).AsByte());
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd128 AddPairs(Simd128 accumulator, Simd128 words) =>
        new((accumulator._value.AsInt32() + ((words._value.AsInt32() << 16) >> 16) + (words._value.AsInt32() >> 16)).AsByte());
}
