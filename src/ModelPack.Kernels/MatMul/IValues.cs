using System.Runtime.CompilerServices;

namespace ModelPack.Kernels.MatMul;

/// <summary>What codes stand for, before the scale.</summary>
internal unsafe interface IValues
{
    /// <summary>Values of one column of a group as f32.</summary>
    /// <param name="unit">See <see cref="ICodes.Group"/>.</param>
    /// <param name="group">Constant.</param>
    /// <param name="column">Constant, 0 to 3.</param>
    /// <param name="table">Values by code, at least 16.</param>
    /// <param name="zero">What linear codes are reduced by, as f32.</param>
    static abstract TSimd Get<TSimd, TCodes>(byte* unit, int group, int column, float* table, TSimd zero)
        where TSimd : struct, ISimd<TSimd>
        where TCodes : struct, ICodes;
}

/// <summary>code - zero point.</summary>
internal readonly unsafe struct LinearValues : IValues
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TSimd Get<TSimd, TCodes>(byte* unit, int group, int column, float* table, TSimd zero)
        where TSimd : struct, ISimd<TSimd>
        where TCodes : struct, ICodes =>
        TSimd.Subtract(TSimd.ToSingle(TSimd.And(TCodes.Lane<TSimd>(unit, group, column), TSimd.Create((1 << TCodes.Bits) - 1))), zero);
}

/// <summary>table[code] of at most 16 values; shorter tables are repeated, so that bits above a code do not matter.</summary>
internal readonly unsafe struct Table16Values : IValues
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TSimd Get<TSimd, TCodes>(byte* unit, int group, int column, float* table, TSimd zero)
        where TSimd : struct, ISimd<TSimd>
        where TCodes : struct, ICodes => TSimd.Lookup16(table, TCodes.Lane<TSimd>(unit, group, column));
}

/// <summary>table[code] of up to 256 values.</summary>
internal readonly unsafe struct TableValues : IValues
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TSimd Get<TSimd, TCodes>(byte* unit, int group, int column, float* table, TSimd zero)
        where TSimd : struct, ISimd<TSimd>
        where TCodes : struct, ICodes =>
        TSimd.Lookup(table, TSimd.And(TCodes.Lane<TSimd>(unit, group, column), TSimd.Create((1 << TCodes.Bits) - 1)));
}
