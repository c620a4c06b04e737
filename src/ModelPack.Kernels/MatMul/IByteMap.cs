using System.Runtime.CompilerServices;

namespace ModelPack.Kernels.MatMul;

/// <summary>From codes to the unsigned bytes that are multiplied.</summary>
internal interface IByteMap
{
    /// <summary>Four codes per lane to four bytes.</summary>
    static abstract TSimd Map<TSimd>(TSimd codes, TSimd table)
        where TSimd : struct, ISimd<TSimd>;
}

/// <summary>Codes are the integers.</summary>
internal readonly struct SameBytes : IByteMap
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TSimd Map<TSimd>(TSimd codes, TSimd table)
        where TSimd : struct, ISimd<TSimd> => codes;
}

/// <summary>A table of 16 bytes.</summary>
internal readonly struct TableBytes : IByteMap
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TSimd Map<TSimd>(TSimd codes, TSimd table)
        where TSimd : struct, ISimd<TSimd> => TSimd.LookupBytes(table, codes);
}
