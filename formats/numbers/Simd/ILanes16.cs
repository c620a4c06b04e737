using System.Runtime.Intrinsics;

namespace ModelPack.Numbers;

/// <summary>
/// Sixteen 32-bit lanes, read as f32 or as integers as the operation says: one 512-bit, two 256-bit or four 128-bit registers. A kernel
/// written over these lanes does the same arithmetic in the same order on every instruction set, so its bytes are the same; there is
/// no fused multiply-add among the operations on purpose.
/// </summary>
/// <remarks>Lane i holds element i of a group of 16. Horizontal sums add lanes i and i+8, then i+4, i+2, i+1.</remarks>
internal partial interface ILanes16<TSelf>
    where TSelf : struct, ILanes16<TSelf>
{
    /// <summary>Sixteen consecutive f32 (or 32-bit integers).</summary>
    static abstract TSelf Load(ref readonly float source);

    /// <summary>Sixteen consecutive u16, zero-extended.</summary>
    static abstract TSelf LoadU16(ref readonly ushort source);

    /// <summary>Sixteen u8 as integers, zero-extended.</summary>
    static abstract TSelf FromBytes(Vector128<byte> bytes);

    static abstract TSelf Create(float value);

    static abstract TSelf CreateInt(int value);

    static abstract void Store(TSelf value, ref float destination);

    /// <summary>The low 16 bits of every lane.</summary>
    static abstract void StoreU16(TSelf value, ref ushort destination);

    /// <summary>The low 8 bits of every lane.</summary>
    static abstract Vector128<byte> LowBytes(TSelf value);

    static abstract TSelf Add(TSelf a, TSelf b);

    static abstract TSelf Subtract(TSelf a, TSelf b);

    static abstract TSelf Multiply(TSelf a, TSelf b);

    static abstract TSelf Divide(TSelf a, TSelf b);

    /// <summary>Minimum of f32 without NaN; which zero is returned for +0 and -0 is open.</summary>
    static abstract TSelf Min(TSelf a, TSelf b);

    /// <summary>Maximum of f32 without NaN; which zero is returned for +0 and -0 is open.</summary>
    static abstract TSelf Max(TSelf a, TSelf b);

    /// <summary>Integers to f32.</summary>
    static abstract TSelf IntToFloat(TSelf a);

    static abstract TSelf AddInt(TSelf a, TSelf b);

    static abstract TSelf SubtractInt(TSelf a, TSelf b);

    /// <summary>Signed maximum.</summary>
    static abstract TSelf MaxInt(TSelf a, TSelf b);

    static abstract TSelf And(TSelf a, TSelf b);

    static abstract TSelf Or(TSelf a, TSelf b);

    static abstract TSelf ShiftLeft(TSelf a, int bits);

    /// <summary>Logical shift right.</summary>
    static abstract TSelf ShiftRight(TSelf a, int bits);

    /// <summary>All ones where a &gt; b as signed integers.</summary>
    static abstract TSelf GreaterInt(TSelf a, TSelf b);

    /// <summary>Bits of <paramref name="yes"/> where the mask is set, of <paramref name="no"/> elsewhere.</summary>
    static abstract TSelf Select(TSelf mask, TSelf yes, TSelf no);

    /// <summary>Horizontal sum in the fixed order.</summary>
    static abstract float Sum(TSelf a);

    static abstract float MinAcross(TSelf a);

    static abstract float MaxAcross(TSelf a);

    static abstract int MaxIntAcross(TSelf a);
}
