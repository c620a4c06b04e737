using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace ModelPack.Numbers;

internal readonly partial struct Lanes256
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes256 Lookup16(Lanes256 table, Lanes256 indexes) => new(Lookup(table, indexes._a), Lookup(table, indexes._b));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes256 GreaterFloat(Lanes256 a, Lanes256 b) => new(Vector256.GreaterThan(a._a, b._a), Vector256.GreaterThan(a._b, b._b));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes256 ShiftLeftEach(Lanes256 a, Lanes256 counts) => new(ShiftLeftEach(a._a, counts._a), ShiftLeftEach(a._b, counts._b));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes256 ShiftRightEach(Lanes256 a, Lanes256 counts) => new(ShiftRightEach(a._a, counts._a), ShiftRightEach(a._b, counts._b));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static Vector256<float> ShiftLeftEach(Vector256<float> a, Vector256<float> counts) => Avx2.IsSupported
        ? Avx2.ShiftLeftLogicalVariable(a.AsUInt32(), counts.AsUInt32()).AsSingle()
        : Vector256.Create(Lanes128.ShiftLeftEach(a.GetLower(), counts.GetLower()), Lanes128.ShiftLeftEach(a.GetUpper(), counts.GetUpper()));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static Vector256<float> ShiftRightEach(Vector256<float> a, Vector256<float> counts) => Avx2.IsSupported
        ? Avx2.ShiftRightLogicalVariable(a.AsUInt32(), counts.AsUInt32()).AsSingle()
        : Vector256.Create(Lanes128.ShiftRightEach(a.GetLower(), counts.GetLower()), Lanes128.ShiftRightEach(a.GetUpper(), counts.GetUpper()));

    /// <summary>Both halves of the table by the low three bits, then a choice by bit 3.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<float> Lookup(Lanes256 table, Vector256<float> indexes)
    {
        Vector256<int> index = indexes.AsInt32();
        Vector256<float> high = Vector256.GreaterThan(index, Vector256.Create(7)).AsSingle();
        return Avx2.IsSupported
            ? Vector256.ConditionalSelect(high, Avx2.PermuteVar8x32(table._b, index), Avx2.PermuteVar8x32(table._a, index))
            : Vector256.ConditionalSelect(high, Vector256.Shuffle(table._b, index & Vector256.Create(7)), Vector256.Shuffle(table._a, index & Vector256.Create(7)));
    }
}
