using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace ModelPack.Numbers;

/// <summary>Sixteen lanes in four 128-bit registers.</summary>
internal readonly partial struct Lanes128(Vector128<float> a, Vector128<float> b, Vector128<float> c, Vector128<float> d) : ILanes16<Lanes128>
{
    private readonly Vector128<float> _a = a;

    private readonly Vector128<float> _b = b;

    private readonly Vector128<float> _c = c;

    private readonly Vector128<float> _d = d;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes128 Load(ref readonly float source) => new(Vector128.LoadUnsafe(in source, 0), Vector128.LoadUnsafe(in source, 4), Vector128.LoadUnsafe(in source, (nuint)8), Vector128.LoadUnsafe(in source, (nuint)12));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes128 LoadU16(ref readonly ushort source) => new(Vector128.WidenLower(Vector128.LoadUnsafe(in source)).AsSingle(), Vector128.WidenUpper(Vector128.LoadUnsafe(in source)).AsSingle(), Vector128.WidenLower(Vector128.LoadUnsafe(in source, 8)).AsSingle(), Vector128.WidenUpper(Vector128.LoadUnsafe(in source, 8)).AsSingle());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes128 FromBytes(Vector128<byte> bytes)
    {
        (Vector128<ushort> low, Vector128<ushort> high) = Vector128.Widen(bytes);
        return new(
            Vector128.WidenLower(low).AsSingle(),
            Vector128.WidenUpper(low).AsSingle(),
            Vector128.WidenLower(high).AsSingle(),
            Vector128.WidenUpper(high).AsSingle());
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes128 Create(float value) => new(Vector128.Create(value), Vector128.Create(value), Vector128.Create(value), Vector128.Create(value));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes128 CreateInt(int value) => new(Vector128.Create(value).AsSingle(), Vector128.Create(value).AsSingle(), Vector128.Create(value).AsSingle(), Vector128.Create(value).AsSingle());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store(Lanes128 value, ref float destination)
    {
        value._a.StoreUnsafe(ref destination);
        value._b.StoreUnsafe(ref destination, 4);
        value._c.StoreUnsafe(ref destination, 8);
        value._d.StoreUnsafe(ref destination, 12);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void StoreU16(Lanes128 value, ref ushort destination)
    {
        Vector128.Narrow(value._a.AsUInt32(), value._b.AsUInt32()).StoreUnsafe(ref destination);
        Vector128.Narrow(value._c.AsUInt32(), value._d.AsUInt32()).StoreUnsafe(ref destination, 8);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<byte> LowBytes(Lanes128 value) => Vector128.Narrow(
        Vector128.Narrow(value._a.AsUInt32(), value._b.AsUInt32()),
        Vector128.Narrow(value._c.AsUInt32(), value._d.AsUInt32()));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes128 Add(Lanes128 a, Lanes128 b) => new(a._a + b._a, a._b + b._b, a._c + b._c, a._d + b._d);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes128 Subtract(Lanes128 a, Lanes128 b) => new(a._a - b._a, a._b - b._b, a._c - b._c, a._d - b._d);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes128 Multiply(Lanes128 a, Lanes128 b) => new(a._a * b._a, a._b * b._b, a._c * b._c, a._d * b._d);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes128 Divide(Lanes128 a, Lanes128 b) => new(a._a / b._a, a._b / b._b, a._c / b._c, a._d / b._d);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes128 Min(Lanes128 a, Lanes128 b) => new(Vector128.MinNative(a._a, b._a), Vector128.MinNative(a._b, b._b), Vector128.MinNative(a._c, b._c), Vector128.MinNative(a._d, b._d));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes128 Max(Lanes128 a, Lanes128 b) => new(Vector128.MaxNative(a._a, b._a), Vector128.MaxNative(a._b, b._b), Vector128.MaxNative(a._c, b._c), Vector128.MaxNative(a._d, b._d));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes128 IntToFloat(Lanes128 a) => new(Vector128.ConvertToSingle(a._a.AsInt32()), Vector128.ConvertToSingle(a._b.AsInt32()), Vector128.ConvertToSingle(a._c.AsInt32()), Vector128.ConvertToSingle(a._d.AsInt32()));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes128 AddInt(Lanes128 a, Lanes128 b) => new((a._a.AsInt32() + b._a.AsInt32()).AsSingle(), (a._b.AsInt32() + b._b.AsInt32()).AsSingle(), (a._c.AsInt32() + b._c.AsInt32()).AsSingle(), (a._d.AsInt32() + b._d.AsInt32()).AsSingle());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes128 SubtractInt(Lanes128 a, Lanes128 b) => new((a._a.AsInt32() - b._a.AsInt32()).AsSingle(), (a._b.AsInt32() - b._b.AsInt32()).AsSingle(), (a._c.AsInt32() - b._c.AsInt32()).AsSingle(), (a._d.AsInt32() - b._d.AsInt32()).AsSingle());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes128 MaxInt(Lanes128 a, Lanes128 b) => new(Vector128.Max(a._a.AsInt32(), b._a.AsInt32()).AsSingle(), Vector128.Max(a._b.AsInt32(), b._b.AsInt32()).AsSingle(), Vector128.Max(a._c.AsInt32(), b._c.AsInt32()).AsSingle(), Vector128.Max(a._d.AsInt32(), b._d.AsInt32()).AsSingle());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes128 And(Lanes128 a, Lanes128 b) => new((a._a.AsInt32() & b._a.AsInt32()).AsSingle(), (a._b.AsInt32() & b._b.AsInt32()).AsSingle(), (a._c.AsInt32() & b._c.AsInt32()).AsSingle(), (a._d.AsInt32() & b._d.AsInt32()).AsSingle());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes128 Or(Lanes128 a, Lanes128 b) => new((a._a.AsInt32() | b._a.AsInt32()).AsSingle(), (a._b.AsInt32() | b._b.AsInt32()).AsSingle(), (a._c.AsInt32() | b._c.AsInt32()).AsSingle(), (a._d.AsInt32() | b._d.AsInt32()).AsSingle());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes128 ShiftLeft(Lanes128 a, int bits) => new((a._a.AsInt32() << bits).AsSingle(), (a._b.AsInt32() << bits).AsSingle(), (a._c.AsInt32() << bits).AsSingle(), (a._d.AsInt32() << bits).AsSingle());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes128 ShiftRight(Lanes128 a, int bits) => new((a._a.AsInt32() >>> bits).AsSingle(), (a._b.AsInt32() >>> bits).AsSingle(), (a._c.AsInt32() >>> bits).AsSingle(), (a._d.AsInt32() >>> bits).AsSingle());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes128 GreaterInt(Lanes128 a, Lanes128 b) => new(Vector128.GreaterThan(a._a.AsInt32(), b._a.AsInt32()).AsSingle(), Vector128.GreaterThan(a._b.AsInt32(), b._b.AsInt32()).AsSingle(), Vector128.GreaterThan(a._c.AsInt32(), b._c.AsInt32()).AsSingle(), Vector128.GreaterThan(a._d.AsInt32(), b._d.AsInt32()).AsSingle());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes128 Select(Lanes128 mask, Lanes128 yes, Lanes128 no) => new(Vector128.ConditionalSelect(mask._a, yes._a, no._a), Vector128.ConditionalSelect(mask._b, yes._b, no._b), Vector128.ConditionalSelect(mask._c, yes._c, no._c), Vector128.ConditionalSelect(mask._d, yes._d, no._d));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float Sum(Lanes128 a)
    {
        Vector128<float> low = (a._a + a._c);
        Vector128<float> high = (a._b + a._d);
        Vector128<float> four = (low + high);
        Vector128<float> two = (four + Vector128.Shuffle(four, Vector128.Create(2, 3, 0, 1)));
        return (two + Vector128.Shuffle(two, Vector128.Create(1, 0, 3, 2))).ToScalar();
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float MinAcross(Lanes128 a)
    {
        Vector128<float> low = Vector128.MinNative(a._a, a._c);
        Vector128<float> high = Vector128.MinNative(a._b, a._d);
        Vector128<float> four = Vector128.MinNative(low, high);
        Vector128<float> two = Vector128.MinNative(four, Vector128.Shuffle(four, Vector128.Create(2, 3, 0, 1)));
        return Vector128.MinNative(two, Vector128.Shuffle(two, Vector128.Create(1, 0, 3, 2))).ToScalar();
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float MaxAcross(Lanes128 a)
    {
        Vector128<float> low = Vector128.MaxNative(a._a, a._c);
        Vector128<float> high = Vector128.MaxNative(a._b, a._d);
        Vector128<float> four = Vector128.MaxNative(low, high);
        Vector128<float> two = Vector128.MaxNative(four, Vector128.Shuffle(four, Vector128.Create(2, 3, 0, 1)));
        return Vector128.MaxNative(two, Vector128.Shuffle(two, Vector128.Create(1, 0, 3, 2))).ToScalar();
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static int MaxIntAcross(Lanes128 a)
    {
        Vector128<int> low = Vector128.Max(a._a.AsInt32(), a._c.AsInt32());
        Vector128<int> high = Vector128.Max(a._b.AsInt32(), a._d.AsInt32());
        Vector128<int> four = Vector128.Max(low, high);
        Vector128<int> two = Vector128.Max(four, Vector128.Shuffle(four, Vector128.Create(2, 3, 0, 1)));
        return Vector128.Max(two, Vector128.Shuffle(two, Vector128.Create(1, 0, 3, 2))).ToScalar();
    }
}
