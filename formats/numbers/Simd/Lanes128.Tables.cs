using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace ModelPack.Numbers;

internal readonly partial struct Lanes128
{
    /// <summary>Four 4-entry shuffles of whole registers, chosen between by bits 2 and 3.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes128 Lookup16(Lanes128 table, Lanes128 indexes) => new(Lookup(table, indexes._a), Lookup(table, indexes._b), Lookup(table, indexes._c), Lookup(table, indexes._d));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes128 GreaterFloat(Lanes128 a, Lanes128 b) => new(Vector128.GreaterThan(a._a, b._a), Vector128.GreaterThan(a._b, b._b), Vector128.GreaterThan(a._c, b._c), Vector128.GreaterThan(a._d, b._d));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes128 ShiftLeftEach(Lanes128 a, Lanes128 counts) =>
        new(ShiftLeftEach(a._a, counts._a), ShiftLeftEach(a._b, counts._b), ShiftLeftEach(a._c, counts._c), ShiftLeftEach(a._d, counts._d));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes128 ShiftRightEach(Lanes128 a, Lanes128 counts) =>
        new(ShiftRightEach(a._a, counts._a), ShiftRightEach(a._b, counts._b), ShiftRightEach(a._c, counts._c), ShiftRightEach(a._d, counts._d));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static Vector128<float> ShiftLeftEach(Vector128<float> a, Vector128<float> counts)
    {
        Vector128<uint> value = a.AsUInt32();
        Vector128<uint> count = counts.AsUInt32();
        return Avx2.IsSupported
            ? Avx2.ShiftLeftLogicalVariable(value, count).AsSingle()
            : Vector128.Create(value[0] << (int)count[0], value[1] << (int)count[1], value[2] << (int)count[2], value[3] << (int)count[3]).AsSingle();
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static Vector128<float> ShiftRightEach(Vector128<float> a, Vector128<float> counts)
    {
        Vector128<uint> value = a.AsUInt32();
        Vector128<uint> count = counts.AsUInt32();
        return Avx2.IsSupported
            ? Avx2.ShiftRightLogicalVariable(value, count).AsSingle()
            : Vector128.Create(value[0] >> (int)count[0], value[1] >> (int)count[1], value[2] >> (int)count[2], value[3] >> (int)count[3]).AsSingle();
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<float> Lookup(Lanes128 table, Vector128<float> indexes)
    {
        Vector128<int> index = indexes.AsInt32();
        Vector128<int> low = index & Vector128.Create(3);
        Vector128<float> bit2 = Vector128.Equals(index & Vector128.Create(4), Vector128.Create(4)).AsSingle();
        Vector128<float> bit3 = Vector128.GreaterThan(index, Vector128.Create(7)).AsSingle();
        return Vector128.ConditionalSelect(
            bit3,
            Vector128.ConditionalSelect(bit2, Vector128.Shuffle(table._d, low), Vector128.Shuffle(table._c, low)),
            Vector128.ConditionalSelect(bit2, Vector128.Shuffle(table._b, low), Vector128.Shuffle(table._a, low)));
    }
}
