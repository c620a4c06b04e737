using System.Runtime.CompilerServices;

namespace ModelPack.Kernels.MatMul;

/// <summary>From codes to the unsigned bytes that are multiplied.</summary>
internal unsafe interface IByteMap
{
    /// <summary>The bytes of a group of codes, four per lane.</summary>
    /// <param name="unit">See <see cref="ICodes.Group"/>.</param>
    /// <param name="group">Constant.</param>
    /// <param name="table">Sixteen bytes, repeated.</param>
    static abstract TSimd Get<TSimd, TCodes>(byte* unit, int group, TSimd table)
        where TSimd : struct, ISimd<TSimd>
        where TCodes : struct, ICodes;
}

/// <summary>Codes are the integers.</summary>
internal readonly unsafe struct SameBytes : IByteMap
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TSimd Get<TSimd, TCodes>(byte* unit, int group, TSimd table)
        where TSimd : struct, ISimd<TSimd>
        where TCodes : struct, ICodes => TCodes.Group<TSimd>(unit, group);
}

/// <summary>A table of 16 bytes.</summary>
internal readonly unsafe struct TableBytes : IByteMap
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TSimd Get<TSimd, TCodes>(byte* unit, int group, TSimd table)
        where TSimd : struct, ISimd<TSimd>
        where TCodes : struct, ICodes => TSimd.LookupBytes(table, TCodes.Low<TSimd>(unit, group));
}
