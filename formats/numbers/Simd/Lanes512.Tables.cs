using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace ModelPack.Numbers;

internal readonly partial struct Lanes512
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes512 Lookup16(Lanes512 table, Lanes512 indexes) => new(Avx512F.IsSupported
        ? Avx512F.PermuteVar16x32(table._v, indexes._v.AsInt32())
        : Vector512.Shuffle(table._v, indexes._v.AsInt32()));

    /// <summary>Lane i of the result is entry <paramref name="indexes"/>[i] mod 32 of 32 entries. Needs AVX-512.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes512 Lookup32(Lanes512 lower, Lanes512 upper, Lanes512 indexes) => new(Avx512F.PermuteVar16x32x2(lower._v, indexes._v.AsInt32(), upper._v));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes512 GreaterFloat(Lanes512 a, Lanes512 b) => new(Vector512.GreaterThan(a._v, b._v));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes512 ShiftLeftEach(Lanes512 a, Lanes512 counts) => Avx512F.IsSupported
        ? new(Avx512F.ShiftLeftLogicalVariable(a._v.AsUInt32(), counts._v.AsUInt32()).AsSingle())
        : new(Vector512.Create(
            Lanes256.ShiftLeftEach(a._v.GetLower(), counts._v.GetLower()),
            Lanes256.ShiftLeftEach(a._v.GetUpper(), counts._v.GetUpper())));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes512 ShiftRightEach(Lanes512 a, Lanes512 counts) => Avx512F.IsSupported
        ? new(Avx512F.ShiftRightLogicalVariable(a._v.AsUInt32(), counts._v.AsUInt32()).AsSingle())
        : new(Vector512.Create(
            Lanes256.ShiftRightEach(a._v.GetLower(), counts._v.GetLower()),
            Lanes256.ShiftRightEach(a._v.GetUpper(), counts._v.GetUpper())));
}
